//! Who is signed in, and whether the records are open.

use crate::args::{RegisterArgs, SignInArgs, SignOutArgs, WipeArgs};
use crate::commands::Desk;
use crate::failure::Failure;
use crate::listen::Doorstep;
use portal_core::account::{Registration, SessionState, SessionView, Unsent};
use std::io::{BufRead, IsTerminal};

pub(crate) async fn register(args: RegisterArgs, desk: &Desk) -> Result<(), Failure> {
    let portal = desk.open().await?;
    let registration = Registration {
        invitation_link: args.link,
        last_name: args.last_name,
        date_of_birth: args.birth_date,
        password: new_password(args.password_stdin)?,
    };
    portal.account().register(registration).await?;
    welcome(desk, &portal.account().session())
}

pub(crate) async fn sign_in(args: &SignInArgs, desk: &Desk) -> Result<(), Failure> {
    let portal = if args.paste {
        let portal = desk.open().await?;
        let url = portal.account().sign_in_begin().await?;
        show_link(desk, &url);
        desk.out.hint("The browser ends at a page that does not load. Copy its whole address here:");
        portal.account().sign_in_finish(line("terminal")?).await?;
        portal
    } else {
        let doorstep = Doorstep::new().await.map_err(Failure::NoRedirect)?;
        let portal = desk.open_for(doorstep.redirect_uri()).await?;
        let url = portal.account().sign_in_begin().await?;
        show_link(desk, &url);
        desk.out.hint("Waiting for the browser (Ctrl-C to give up) ...");
        let redirect = doorstep.wait().await.map_err(Failure::NoRedirect)?;
        portal.account().sign_in_finish(redirect).await?;
        portal
    };
    welcome(desk, &portal.account().session())
}

fn show_link(desk: &Desk, url: &str) {
    // Not an answer: with --json, standard output holds the session alone.
    desk.out.fault(&format!("Open this link in your browser and sign in there:\n\n{url}\n"));
}

fn welcome(desk: &Desk, session: &SessionView) -> Result<(), Failure> {
    desk.folder.set_locked(false)?;
    desk.out.answer(session, || "Signed in. Fetch your records: portal sync".to_owned());
    Ok(())
}

pub(crate) async fn sign_out(args: &SignOutArgs, desk: &Desk) -> Result<(), Failure> {
    let portal = desk.ready().await?;
    let unsent = if args.discard { Unsent::Discard } else { Unsent::Keep };
    portal.account().sign_out(unsent).await?;
    desk.folder.set_locked(false)?;
    let session = portal.account().session();
    desk.out
        .answer(&session, || "Signed out. The keys and records on this machine are destroyed.".to_owned());
    Ok(())
}

pub(crate) async fn lock(desk: &Desk) -> Result<(), Failure> {
    let portal = desk.open().await?;
    if portal.account().session().state == SessionState::SignedOut {
        // Says why, with the next step.
        return Ok(portal.account().unlock().await?);
    }
    portal.account().lock().await?;
    desk.folder.set_locked(true)?;
    desk.out.answer(&portal.account().session(), || "Locked. Open again: portal unlock".to_owned());
    Ok(())
}

pub(crate) async fn unlock(desk: &Desk) -> Result<(), Failure> {
    let portal = desk.open().await?;
    portal.account().unlock().await?;
    desk.folder.set_locked(false)?;
    desk.out.answer(&portal.account().session(), || "Unlocked.".to_owned());
    Ok(())
}

pub(crate) async fn wipe(args: &WipeArgs, desk: &Desk) -> Result<(), Failure> {
    let portal = desk.open().await?;
    if !args.yes && portal.account().session().state != SessionState::SignedOut {
        if !std::io::stdin().is_terminal() {
            return Err(Failure::NotConfirmed);
        }
        desk.out.prompt("Destroy all records on this machine, and what was not sent? Type yes: ");
        if line("terminal")? != "yes" {
            return Err(Failure::NotConfirmed);
        }
    }
    portal.account().wipe().await?;
    desk.folder.set_locked(false)?;
    let session = portal.account().session();
    desk.out.answer(&session, || "The keys are destroyed, and the records with them.".to_owned());
    Ok(())
}

/// The password is never an argument: those are kept in the shell's history and seen by others.
fn new_password(from_standard_input: bool) -> Result<String, Failure> {
    if from_standard_input {
        return line("standard input");
    }
    let ask = |text| rpassword::prompt_password(text).map_err(|_| Failure::NoInput("terminal"));
    loop {
        let password = ask("New password (12 characters or more; it is not shown): ")?;
        if ask("Once more: ")? == password {
            return Ok(password);
        }
    }
}

fn line(from: &'static str) -> Result<String, Failure> {
    let mut line = String::new();
    match std::io::stdin().lock().read_line(&mut line) {
        Ok(count) if count > 0 => Ok(line.trim_end_matches(['\r', '\n']).to_owned()),
        _ => Err(Failure::NoInput(from)),
    }
}
