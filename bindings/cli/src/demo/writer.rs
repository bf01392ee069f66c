//! The part of the demo that is killed: writes messages and confirms each one on standard output
//! once the core has promised to keep it.

use crate::args::WriterArgs;
use crate::commands::Desk;
use crate::demo::killed;
use crate::failure::Failure;

pub(crate) async fn run(args: &WriterArgs, desk: &Desk) -> Result<(), Failure> {
    let portal = desk.ready().await?;
    for number in 1..=args.count {
        portal.messages().send(args.thread.clone(), killed::text(number)).await?;
        desk.out.raw(&number.to_string());
    }
    Ok(())
}
