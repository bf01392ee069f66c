//! `portal serve`: the reference practice on this machine, and the commands to go on with.

use crate::args::ServeArgs;
use crate::failure::Failure;
use crate::out::Out;
use crate::practice::{Folder, Practice};
use portal_server_mock::serve::{self, Options, Running};
use portal_server_mock::{Setup, World, demo};
use serde::Serialize;
use std::net::SocketAddr;
use std::sync::PoisonError;

/// What OWASP asks of PBKDF2-HMAC-SHA256.
const PASSWORD_ITERATIONS: u32 = 600_000;

/// What `portal serve` says.
#[derive(Serialize)]
struct Started {
    url: String,
    mailbox: String,
    staff_key: String,
    practice_file: String,
    invitation: Invitation,
    registered: Registered,
}

/// What the first client needs to register.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Invitation {
    pub(crate) link: String,
    pub(crate) last_name: &'static str,
    pub(crate) birth_date: &'static str,
}

/// A client who can sign in at once.
#[derive(Serialize)]
struct Registered {
    login_id: &'static str,
    password: &'static str,
}

/// Starts the practice, writes how to reach it, and answers until it is killed.
pub(crate) fn run(args: &ServeArgs, folder: &Folder, out: Out) -> Result<(), Failure> {
    // Its passwords are printed in its manual.
    if !args.addr.ip().is_loopback() {
        return Err(Failure::NotLoopback(args.addr));
    }
    out.hint(format_args!("Starting a practice with {} messages ...", args.messages));
    let staff_key = format!("{:016x}{:016x}", random()?, random()?);
    let seed = args.seed.map_or_else(random, Ok)?;
    let running = start(args.addr, args.messages, seed, &staff_key)?;
    let file = folder.practice_file();
    Practice::running(&running).write(&file)?;
    let started = Started {
        url: running.base_url().to_owned(),
        mailbox: format!("{}/mailbox", running.base_url()),
        staff_key,
        practice_file: file.display().to_string(),
        invitation: invitation(&running)?,
        registered: Registered { login_id: demo::REGISTERED_LOGIN, password: demo::REGISTERED_PASSWORD },
    };
    out.answer(&started, || text(&started));
    loop {
        std::thread::park();
    }
}

/// The practice of the demo, with so many messages for its first client.
pub(crate) fn start(
    addr: SocketAddr,
    messages: usize,
    seed: u64,
    staff_key: &str,
) -> Result<Running, Failure> {
    let options = Options { addr, ..Options::default() };
    let now = (options.clock)();
    let build = |issuer: &str| -> World {
        let setup = Setup {
            seed,
            issuer: issuer.to_owned(),
            password_iterations: PASSWORD_ITERATIONS,
            staff_key: staff_key.to_owned(),
        };
        demo::build(setup, messages, now)
    };
    Ok(serve::start(options, build)?)
}

/// The newest invitation in the first client's mailbox.
pub(crate) fn invitation(running: &Running) -> Result<Invitation, Failure> {
    let world = running.world().lock().unwrap_or_else(PoisonError::into_inner);
    let link = world.mails().iter().rev().find(|mail| mail.to == demo::INVITED_EMAIL && mail.link.is_some());
    let link = link.and_then(|mail| mail.link.clone());
    let link = link.ok_or_else(|| Failure::NotAsTold("there is no invitation in the mailbox".to_owned()))?;
    Ok(Invitation { link, last_name: demo::INVITED_FAMILY_NAME, birth_date: demo::INVITED_BIRTH_DATE })
}

/// From the system, by way of the TLS library.
fn random() -> Result<u64, Failure> {
    let mut bytes = [0; 8];
    let filled = rustls::crypto::ring::default_provider().secure_random.fill(&mut bytes);
    filled.map(|()| u64::from_le_bytes(bytes)).map_err(|_| Failure::NoRandomness)
}

fn text(started: &Started) -> String {
    let Started { url, mailbox, staff_key, practice_file, invitation, registered } = started;
    let portal = std::env::args().next().unwrap_or_else(|| "portal".to_owned());
    format!(
        "The practice listens at {url}. Its people are invented, it keeps nothing, and Ctrl-C ends it.
Mails and texts that it sends: {mailbox}   Contract: {url}/openapi.json   Staff key: {staff_key}
How to reach it is in {practice_file}, where the other commands look for it.

In a second terminal, register as its first client:
  {portal} register --link {link} --last-name \"{last_name}\" --birth-date {birth_date}
  {portal} sync
  {portal} home
Or sign in in a browser, which will warn that nobody vouches for this practice, as {login}
with the password \"{password}\":
  {portal} sign-in",
        link = invitation.link,
        last_name = invitation.last_name,
        birth_date = invitation.birth_date,
        login = registered.login_id,
        password = registered.password,
    )
}
