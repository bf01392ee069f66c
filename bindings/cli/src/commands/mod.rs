//! The subcommands, one module a subject. Each opens the portal, asks one thing, and draws it.

pub(crate) mod home;
pub(crate) mod messages;
pub(crate) mod outbox;
pub(crate) mod session;
pub(crate) mod sync;

use crate::args::{Cli, CompletionsArgs};
use crate::failure::Failure;
use crate::listen;
use crate::out::Out;
use crate::practice::{Folder, Practice};
use crate::words;
use clap::CommandFactory;
use portal_core::store::SoftVault;
use portal_core::{Portal, PortalConfig};
use std::cell::RefCell;
use std::io::Read;
use std::sync::Arc;

/// By what the practice knows this program.
const CLIENT_ID: &str = "org.portal.cli";

/// Where a sign-in returns when no browser is awaited. Any port of this machine is allowed; nobody
/// listens there, and the person copies the address.
const NOBODYS_PORT: u16 = 49_152;

/// Texts from standard input are cut off here; the practice accepts far less.
const MOST_INPUT: u64 = 1 << 20;

/// What every subcommand works with.
pub(crate) struct Desk {
    pub(crate) out: Out,
    pub(crate) folder: Folder,
    soft_vault: String,
    opened: RefCell<Option<Arc<Portal>>>,
}

impl Desk {
    pub(crate) fn new(out: Out, folder: Folder, soft_vault: String) -> Self {
        Self { out, folder, soft_vault, opened: RefCell::new(None) }
    }

    /// Opens the portal as it stands: signed out, or locked.
    pub(crate) async fn open(&self) -> Result<Arc<Portal>, Failure> {
        self.open_for(listen::redirect_uri(NOBODYS_PORT)).await
    }

    /// The same, for a sign-in that returns to this address.
    pub(crate) async fn open_for(&self, redirect_uri: String) -> Result<Arc<Portal>, Failure> {
        let practice = Practice::read(&self.folder.practice_file())?;
        let vault = SoftVault::open(&self.folder.keys(), &self.soft_vault)?;
        let pins = practice.pin_sets();
        let config = PortalConfig {
            practice_url: practice.url,
            client_id: CLIENT_ID.to_owned(),
            redirect_uri,
            roots_pem: practice.roots_pem,
            pins,
            data_dir: self.folder.records().display().to_string(),
            // The file says http or https; the core allows http to this machine only.
            allow_loopback_http: true,
        };
        let portal = Portal::open(config, Arc::new(vault)).await?;
        self.opened.replace(Some(portal.clone()));
        Ok(portal)
    }

    /// Closes the records' file, as a phone's system asks before it suspends an app.
    pub(crate) async fn close(&self) {
        let opened = self.opened.take();
        if let Some(portal) = opened {
            // The command is done, well or not: nothing can be made of a failure here.
            let _ = portal.suspend().await;
        }
    }

    /// Opens the portal and the records, unless the person locked them.
    pub(crate) async fn ready(&self) -> Result<Arc<Portal>, Failure> {
        let portal = self.open().await?;
        if !self.folder.is_locked() {
            portal.account().unlock().await?;
        }
        Ok(portal)
    }

    /// Gives what was just written a moment to leave. It is saved already, so a failure is a hint.
    async fn deliver(&self, portal: &Portal) {
        if let Err(error) = portal.sync(Some(DELIVERY_MS)).await {
            let words = words::of(error.reason().code());
            self.out.hint(format_args!("Saved, but not sent yet. {} {}", words.said, words.next));
        }
    }
}

/// How long a command waits for what it wrote to arrive.
const DELIVERY_MS: u64 = 10_000;

/// Prints completions for a shell.
pub(crate) fn completions(args: &CompletionsArgs, out: Out) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "portal", &mut script);
    out.raw(&String::from_utf8_lossy(&script));
    Ok(())
}

/// All of standard input, without the line break at its end.
fn standard_input() -> Result<String, Failure> {
    let mut text = String::new();
    std::io::stdin()
        .take(MOST_INPUT)
        .read_to_string(&mut text)
        .map_err(|_| Failure::NoInput("standard input"))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// The one id that ends in these letters. A whole id is taken as it is: the core knows best.
fn find(ids: impl IntoIterator<Item = String>, end: &str) -> Result<String, Failure> {
    const WHOLE: usize = 36;
    if end.len() >= WHOLE {
        return Ok(end.to_owned());
    }
    let end = end.to_ascii_lowercase();
    let mut fitting = ids.into_iter().filter(|id| !end.is_empty() && id.ends_with(&end));
    match (fitting.next(), fitting.next()) {
        (Some(id), None) => Ok(id),
        (Some(_), Some(_)) => Err(Failure::Id("more than one id ends in these letters")),
        (None, _) => Err(Failure::Id("no id ends in these letters")),
    }
}

/// The last letters of an id, enough to name it.
fn short(id: &str) -> &str {
    id.char_indices().rev().nth(5).and_then(|(from, _)| id.get(from..)).unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_letters_of_an_id_are_enough_if_unique() {
        let ids = ["018f4c2e-7b1a-7c3d-9e4f-0123456789ab", "018f4c2e-7b1a-7c3d-9e4f-0123456780ab"];
        let all = || ids.map(str::to_owned);
        assert!(find(all(), "9AB").is_ok_and(|id| id == ids[0]));
        assert!(find(all(), short(ids[1])).is_ok_and(|id| id == ids[1]));
        assert!(matches!(find(all(), "ab"), Err(Failure::Id(why)) if why.starts_with("more")));
        assert!(matches!(find(all(), "zz"), Err(Failure::Id(why)) if why.starts_with("no")));
        assert!(find(all(), "").is_err());
        assert!(find([], ids[0]).is_ok_and(|id| id == ids[0]), "a whole id is for the core to judge");
        assert_eq!(short("12"), "12");
    }
}
