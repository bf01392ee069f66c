//! `portal-server-mock`: the reference practice as a program.
#![forbid(unsafe_code)]

use std::error::Error;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::PoisonError;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Parser;
use portal_server_mock::serve::{self, Options, Running, Tls};
use portal_server_mock::world::{MailKind, Policy, PracticeRecord, Route, RouteLabel};
use portal_server_mock::{Setup, World, demo};
use ring::rand::{SecureRandom, SystemRandom};
use tracing_subscriber::EnvFilter;

/// What OWASP asks of PBKDF2-HMAC-SHA256.
const PASSWORD_ITERATIONS: u32 = 600_000;

/// A reference practice for the client portal: the portal API with its real rules, sign-in pages, a
/// mailbox in place of the clients' mail, and a staff API. Everything is in memory and gone at the
/// end.
#[derive(Parser)]
#[command(
    version,
    after_help = "\
Examples:
  portal-server-mock --demo
      A practice full of invented people. Prints what is needed to sign in.
  portal-server-mock --demo --tls-dir ~/.portal-practice
      The same, with certificates that stay: trust ca.pem on a device once.
  portal-server-mock --demo --seed 1 --messages 200
      The same people and letters at every start, and fewer letters."
)]
struct Arguments {
    /// Fill the practice with staff, clients and two years of letters
    #[arg(long)]
    demo: bool,

    /// Where to listen; port 0 lets the system choose
    #[arg(long, default_value = "127.0.0.1:8443", value_name = "IP:PORT")]
    addr: SocketAddr,

    /// Make ids, letters and tokens repeatable. Whoever knows the seed can compute every token
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// How many messages the main client of the demo has
    #[arg(long, default_value_t = demo::MESSAGES, value_name = "N")]
    messages: usize,

    /// Keep the certificates' keys in this folder and use them again
    #[arg(long, value_name = "DIR", conflicts_with = "plain_http")]
    tls_dir: Option<PathBuf>,

    /// Speak HTTP without TLS, on a loopback address only
    #[arg(long)]
    plain_http: bool,

    /// The bearer key of the staff API; a new one at every start if absent
    #[arg(long, env = "PORTAL_STAFF_KEY", hide_env_values = true, value_name = "KEY")]
    staff_key: Option<String>,

    /// Let other machines in. The certificate stays one for localhost, and the demo's passwords are
    /// known to everybody
    #[arg(long)]
    allow_any_address: bool,
}

fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).init();
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            // Nobody is left to tell if standard error is closed too.
            let _ = writeln!(io::stderr(), "portal-server-mock: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    if !arguments.addr.ip().is_loopback() && !arguments.allow_any_address {
        return Err(format!(
            "{} can be reached from other machines: use a loopback address such as 127.0.0.1, or \
             say --allow-any-address",
            arguments.addr
        )
        .into());
    }
    let staff_key = match &arguments.staff_key {
        Some(key) => key.clone(),
        None => URL_SAFE_NO_PAD.encode(random::<32>()?),
    };
    let seed = match arguments.seed {
        Some(seed) => seed,
        None => u64::from_le_bytes(random()?),
    };
    let options = Options {
        addr: arguments.addr,
        tls: match &arguments.tls_dir {
            Some(folder) => Tls::Directory(folder.clone()),
            None if arguments.plain_http => Tls::Off,
            None => Tls::Memory,
        },
        ..Options::default()
    };
    let now = (options.clock)();
    let practice = serve::start(options, |issuer| {
        let setup = Setup {
            seed,
            issuer: issuer.to_owned(),
            password_iterations: PASSWORD_ITERATIONS,
            staff_key: staff_key.clone(),
        };
        if arguments.demo {
            demo::build(setup, arguments.messages, now)
        } else {
            World::new(setup, new_practice())
        }
    })?;
    io::stdout().write_all(greeting(&practice, &staff_key, arguments.demo).as_bytes())?;
    wait_for_the_end()?;
    practice.stop();
    Ok(())
}

/// A practice that nobody works at yet: its staff arrive through the staff API.
fn new_practice() -> PracticeRecord {
    PracticeRecord {
        id: uuid::Uuid::from_u128(0x018f_3c5a_7d20_7c41_8e1d_5b2a_90c4_2000),
        name: "New practice".into(),
        zone: "America/New_York".into(),
        phones: Vec::new(),
        crisis: Vec::new(),
        banner: None,
        policy: Policy {
            idle_lock_s: 300,
            background_lock_s: 60,
            reply_hours: 48,
            message_max_chars: 5_000,
            start_threads: true,
        },
        sites: Vec::new(),
        routes: vec![
            RouteLabel { route: Route::Scheduler, label: "Appointments".into() },
            RouteLabel { route: Route::Biller, label: "Billing".into() },
        ],
    }
}

/// What one needs to know to use it.
fn greeting(practice: &Running, staff_key: &str, demo: bool) -> String {
    let base = practice.base_url();
    let world = practice.world().lock().unwrap_or_else(PoisonError::into_inner);
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        // Writing into a `String` cannot fail.
        let _ = writeln!(text, "{name:<14}{value}");
    };
    line("Practice", &world.practice().name);
    line("Listening", &format!("{base}  ({})", practice.address()));
    line("Mailbox", &format!("{base}/mailbox"));
    line("Contract", &format!("{base}/openapi.json"));
    line("Staff key", staff_key);
    if let (Some(leaf), Some(backup)) = (practice.leaf_spki_sha256(), practice.backup_spki_sha256()) {
        line("Pin", &format!("sha256/{leaf}"));
        line("Backup pin", &format!("sha256/{backup}"));
    }
    if let Some(file) = practice.ca_file() {
        line("CA", &file.display().to_string());
    }
    if demo {
        line("Registered", demo::REGISTERED_LOGIN);
        line("  password", demo::REGISTERED_PASSWORD);
        line("Invited", demo::INVITED_EMAIL);
        line("  last name", demo::INVITED_FAMILY_NAME);
        line("  born", demo::INVITED_BIRTH_DATE);
        let invitation = world
            .mails()
            .iter()
            .rev()
            .find(|mail| mail.kind == MailKind::Invitation && mail.to == demo::INVITED_EMAIL);
        if let Some(link) = invitation.and_then(|mail| mail.link.as_deref()) {
            line("  link", link);
        }
    }
    if let (None, Some(pem)) = (practice.ca_file(), practice.ca_pem()) {
        text.push_str("\nTrust this development CA, which lives as long as this process:\n");
        text.push_str(pem);
    }
    text.push_str("\nEnd with Ctrl-C.\n");
    text
}

fn random<const N: usize>() -> Result<[u8; N], Box<dyn Error>> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| "the system gives no random numbers")?;
    Ok(bytes)
}

/// Until somebody presses Ctrl-C or the system asks the process to end.
fn wait_for_the_end() -> io::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let mut ended = signal(SignalKind::terminate())?;
            tokio::select! {
                pressed = tokio::signal::ctrl_c() => pressed,
                _ = ended.recv() => Ok(()),
            }
        }
        #[cfg(not(unix))]
        tokio::signal::ctrl_c().await
    })
}
