//! The arguments, and the help that teaches them.

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use std::net::SocketAddr;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Try it without a practice of your own:
  portal                        a client's day, played by itself in a minute
  portal serve                  a practice with invented people; it prints the next commands

Work with a practice:
  portal register --link https://.../enroll/... --last-name Doe --birth-date 1990-02-28
  portal sign-in                opens with a link for your browser
  portal sync                   sends what waits and fetches what is new
  portal threads --unread       conversations with something new
  portal thread 3f9a            one conversation; the last letters of its id are enough
  echo 'See you at two.' | portal send 3f9a
  portal send --to scheduler --subject 'Next week' 'Could we meet an hour later?'
  portal outbox                 what waits, and why
  portal --json home | jq .     every answer can be had as JSON

Exit codes:
  0 done   1 this program   2 wrong arguments   3 offline   4 signed out   5 locked   6 refused
  7 conflict   8 not found   9 storage   10 a defect (please report the code shown)";

/// The client portal from a terminal, over the same API as the phones.
#[derive(Debug, Parser)]
#[command(name = "portal", version, after_help = EXAMPLES, max_term_width = 100)]
pub(crate) struct Cli {
    /// What to do; the demo when absent.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) place: Place,
    /// Answer in JSON (times in RFC 3339, errors on standard error).
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// Where the records are, and which practice is meant.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// The folder for the encrypted records and the keys [default: portal in your data folder].
    #[arg(long, global = true, env = "PORTAL_DATA", value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// How to reach the practice: a file that `portal serve` writes [default: practice.json in --data].
    #[arg(long, global = true, env = "PORTAL_PRACTICE", value_name = "FILE")]
    pub(crate) practice: Option<PathBuf>,
    /// The name of the development key store, without which a release build does not use it.
    #[arg(long, global = true, env = "PORTAL_SOFT_VAULT", value_name = "NAME", default_value = "")]
    #[arg(hide_default_value = true, hide_short_help = true)]
    pub(crate) soft_vault: String,
}

/// What `portal` can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Play a client's day against the reference practice, and check every step.
    Demo(DemoArgs),
    /// Start the reference practice with invented people, in memory, on this machine.
    Serve(ServeArgs),
    /// Register with an invitation; it signs you in at once.
    Register(RegisterArgs),
    /// Sign in on the practice's page, in your browser.
    SignIn(SignInArgs),
    /// Sign out and destroy the records here; works offline.
    SignOut(SignOutArgs),
    /// Send what waits and fetch what is new.
    Sync(SyncArgs),
    /// What needs your attention, and whom to call.
    Home,
    /// The numbers to call in a crisis: without network, sign-in or key.
    Crisis,
    /// Your conversations, newest first.
    Threads(ThreadsArgs),
    /// Read one conversation; what is shown counts as read.
    Thread(ThreadArgs),
    /// Whom you can write to.
    Recipients,
    /// Write in a conversation, or start one with --to. Works offline: it waits in the outbox.
    Send(SendArgs),
    /// Search all messages, on this machine.
    Search(SearchArgs),
    /// What waits to be sent, and why.
    Outbox(OutboxArgs),
    /// Lock the records: the key leaves memory, and commands ask for `portal unlock`.
    Lock,
    /// Unlock the records with the key store.
    Unlock,
    /// Destroy the keys and all records on this machine, locked or not, with or without network.
    Wipe(WipeArgs),
    /// Print completions for a shell.
    Completions(CompletionsArgs),
    /// The part of the demo that is killed.
    #[command(hide = true)]
    DemoWriter(WriterArgs),
}

/// For the demo.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// How many messages the practice has for the client.
    #[arg(long, default_value_t = portal_server_mock::demo::MESSAGES, value_parser = messages)]
    pub(crate) messages: usize,
}

impl Default for DemoArgs {
    fn default() -> Self {
        Self { messages: portal_server_mock::demo::MESSAGES }
    }
}

/// For the practice.
#[derive(Debug, Args)]
#[command(after_help = "\
The file that it writes (practice.json in --data, or --practice) is what the other commands read:
  {\"url\": \"https://localhost:8443\", \"roots_pem\": \"-----BEGIN CERTIFICATE-----...\", \"pins\": [\"base64\", \"base64\"]}
Write one by hand for a practice of your own; the pins may be left out.")]
pub(crate) struct ServeArgs {
    /// Where to listen on this machine; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8443", value_name = "IP:PORT")]
    pub(crate) addr: SocketAddr,
    /// The same ids, messages and tokens at every start; whoever knows it can compute every token.
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// How many messages the first client has.
    #[arg(long, default_value_t = portal_server_mock::demo::MESSAGES, value_parser = messages)]
    pub(crate) messages: usize,
}

/// For registering.
#[derive(Debug, Args)]
pub(crate) struct RegisterArgs {
    /// The link of the practice's mail.
    #[arg(long, value_name = "URL")]
    pub(crate) link: String,
    /// Your last name as the practice has it.
    #[arg(long, value_name = "NAME")]
    pub(crate) last_name: String,
    /// Your date of birth, YYYY-MM-DD.
    #[arg(long, value_name = "DATE")]
    pub(crate) birth_date: String,
    /// Read the new password from standard input instead of asking for it.
    #[arg(long)]
    pub(crate) password_stdin: bool,
}

/// For signing in.
#[derive(Debug, Args)]
pub(crate) struct SignInArgs {
    /// Ask for the address that the browser ends at, instead of waiting for the browser (which then may
    /// be on another machine).
    #[arg(long)]
    pub(crate) paste: bool,
}

/// For signing out.
#[derive(Debug, Args)]
pub(crate) struct SignOutArgs {
    /// Sign out even if something that you wrote was not sent; it is lost then.
    #[arg(long)]
    pub(crate) discard: bool,
}

/// For a sync.
#[derive(Debug, Args)]
pub(crate) struct SyncArgs {
    /// Stop after so many seconds; the next sync goes on from there.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) deadline: Option<u64>,
}

/// For the list of conversations.
#[derive(Debug, Args)]
pub(crate) struct ThreadsArgs {
    /// Only those with something unread.
    #[arg(long)]
    pub(crate) unread: bool,
    /// At most so many, 1 to 100.
    #[arg(long, default_value_t = 20, value_parser = page())]
    pub(crate) limit: u32,
    /// Leave out so many of the newest.
    #[arg(long, default_value_t = 0)]
    pub(crate) offset: u32,
}

/// For one conversation.
#[derive(Debug, Args)]
pub(crate) struct ThreadArgs {
    /// Its id, or the last letters of it.
    pub(crate) id: String,
    /// At most so many messages, 1 to 100.
    #[arg(long, default_value_t = 20, value_parser = page())]
    pub(crate) limit: u32,
    /// The messages before this number.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) before: Option<u64>,
    /// Do not mark as read what is shown.
    #[arg(long)]
    pub(crate) keep_unread: bool,
    /// The whole conversation in a form for printing.
    #[arg(long, conflicts_with_all = ["before", "limit"])]
    pub(crate) print: bool,
}

/// For writing.
#[derive(Debug, Args)]
#[command(after_help = "\
The text may be an argument, but arguments are kept in your shell's history and seen by others on
this machine; without one, it is read from standard input.")]
pub(crate) struct SendArgs {
    /// Start a conversation with this person or desk; see `portal recipients`.
    #[arg(long, value_name = "WHO", requires = "subject")]
    pub(crate) to: Option<String>,
    /// What the new conversation is about.
    #[arg(long, requires = "to")]
    pub(crate) subject: Option<String>,
    /// The conversation (not with --to), then the text.
    #[arg(num_args = 0..=2, value_name = "ID or TEXT")]
    pub(crate) words: Vec<String>,
}

/// For a search.
#[derive(Debug, Args)]
pub(crate) struct SearchArgs {
    /// Words, or beginnings of words, in any script.
    pub(crate) query: String,
    /// At most so many, 1 to 100.
    #[arg(long, default_value_t = 20, value_parser = page())]
    pub(crate) limit: u32,
}

/// For the outbox.
#[derive(Debug, Args)]
pub(crate) struct OutboxArgs {
    /// What to do; the list when absent.
    #[command(subcommand)]
    pub(crate) act: Option<OutboxAct>,
}

/// What can be done with an entry of the outbox.
#[derive(Debug, Subcommand)]
pub(crate) enum OutboxAct {
    /// What waits, and why.
    List,
    /// Try an entry again.
    Retry {
        /// Its id, or the last letters of it.
        id: String,
    },
    /// Change the text of an entry that was refused or still waits, and send it again.
    Edit {
        /// Its id, or the last letters of it.
        id: String,
        /// The new text; from standard input when absent.
        text: Option<String>,
    },
    /// Give up an entry: it is not sent, and its text is lost.
    Discard {
        /// Its id, or the last letters of it.
        id: String,
    },
}

/// For a wipe.
#[derive(Debug, Args)]
pub(crate) struct WipeArgs {
    /// Do not ask.
    #[arg(long)]
    pub(crate) yes: bool,
}

/// For completions.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// Which shell.
    pub(crate) shell: Shell,
}

/// For the part of the demo that is killed.
#[derive(Debug, Args)]
pub(crate) struct WriterArgs {
    /// The conversation to write in.
    pub(crate) thread: String,
    /// How many messages, if nobody kills it.
    pub(crate) count: u32,
}

fn page() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=100)
}

/// Fewer would leave nothing to tell, more do not fit in memory.
fn messages(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 100..=1_000_000) => Ok(count),
        _ => Err("a number from 100 to 1000000".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_tree_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn nothing_means_the_demo_and_passwords_are_no_arguments() {
        assert!(Cli::try_parse_from(["portal"]).is_ok_and(|cli| cli.command.is_none()));
        let mut every = Cli::command();
        every.build();
        let takes_password = |command: &clap::Command| {
            command
                .get_arguments()
                .any(|a| a.get_id().as_str().contains("password") && a.get_action().takes_values())
        };
        assert!(!every.get_subcommands().any(takes_password));
    }

    #[test]
    fn send_needs_a_subject_with_a_recipient() {
        assert!(Cli::try_parse_from(["portal", "send", "--to", "scheduler", "hello"]).is_err());
        assert!(
            Cli::try_parse_from(["portal", "send", "--to", "scheduler", "--subject", "s", "hello"]).is_ok()
        );
        assert!(Cli::try_parse_from(["portal", "send", "3f9a", "hello"]).is_ok());
    }
}
