//! `portal`: the client portal from a terminal, over the same API as the phones. It draws what the
//! core returns and decides nothing; `portal --help` teaches it.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod args;
mod commands;
mod demo;
mod failure;
mod listen;
mod out;
mod practice;
mod serve;
mod when;
mod words;

use args::{Cli, Command};
use clap::Parser;
use failure::Failure;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let out = out::Out::new(cli.json);
    // The place only: the text of a panic may hold what a record says (SECURITY 10).
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        out.fault(&format_args!("A defect of this program, at {place}. Please report this place."));
    }));
    match run(cli, out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.tell(out);
            ExitCode::from(failure.code())
        }
    }
}

fn run(cli: Cli, out: out::Out) -> Result<(), Failure> {
    let command = cli.command.unwrap_or_else(|| Command::Demo(args::DemoArgs::default()));
    // The practice brings its own threads, and completions need none.
    let command = match command {
        Command::Completions(args) => return commands::completions(&args, out),
        Command::Serve(args) => return serve::run(&args, &practice::Folder::of(&cli.place)?, out),
        other => other,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|_| Failure::NoThreads)?;
    runtime.block_on(async {
        // It needs neither a practice nor a folder of the user's.
        if let Command::Demo(args) = &command {
            return demo::run(args, out).await;
        }
        let folder = practice::Folder::of(&cli.place)?;
        let desk = commands::Desk::new(out, folder, cli.place.soft_vault);
        let done = act(command, &desk).await;
        desk.close().await;
        done
    })
}

async fn act(command: Command, desk: &commands::Desk) -> Result<(), Failure> {
    match command {
        Command::Demo(_) | Command::Completions(_) | Command::Serve(_) => Ok(()),
        Command::DemoWriter(args) => demo::writer::run(&args, desk).await,
        Command::Register(args) => commands::session::register(args, desk).await,
        Command::SignIn(args) => commands::session::sign_in(&args, desk).await,
        Command::SignOut(args) => commands::session::sign_out(&args, desk).await,
        Command::Lock => commands::session::lock(desk).await,
        Command::Unlock => commands::session::unlock(desk).await,
        Command::Wipe(args) => commands::session::wipe(&args, desk).await,
        Command::Sync(args) => commands::sync::run(&args, desk).await,
        Command::Home => commands::home::home(desk).await,
        Command::Crisis => commands::home::crisis(desk).await,
        Command::Recipients => commands::messages::recipients(desk).await,
        Command::Threads(args) => commands::messages::threads(&args, desk).await,
        Command::Thread(args) => commands::messages::thread(&args, desk).await,
        Command::Send(args) => commands::messages::send(args, desk).await,
        Command::Search(args) => commands::messages::search(args, desk).await,
        Command::Outbox(args) => commands::outbox::run(args, desk).await,
    }
}
