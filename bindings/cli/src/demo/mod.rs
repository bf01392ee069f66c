//! `portal demo`: a client's day, through the real core, over real TLS sockets, against the reference
//! practice, with an encrypted file on disk. Each fact that it tells has been checked, most of them in
//! the practice's own books; the first one that is not as told ends it.

mod browser;
mod day;
mod killed;
mod practice_side;
mod story;
pub(crate) mod writer;

use crate::args::DemoArgs;
use crate::failure::Failure;
use crate::out::Out;
use day::Day;
use serde::Serialize;
use story::{Story, count};

/// How the day went.
#[derive(Serialize)]
struct Summary {
    messages_synced: usize,
    messages_written: usize,
    arrived_once: usize,
    lost: usize,
    seconds: f64,
}

pub(crate) async fn run(args: &DemoArgs, out: Out) -> Result<(), Failure> {
    let story = Story::new(out);
    out.line("A client's day with the portal, played by itself. Every person in it is invented.");
    let mut day = Day::begin(story, args.messages).await?;
    let played = play(&mut day).await;
    day.close().await;
    let summary = played?;
    out.line("");
    out.answer(&summary, || {
        format!(
            "A client's day in {:.1} s: {} messages synced, {} written, each arrived once, none lost.",
            summary.seconds,
            count(summary.messages_synced),
            summary.messages_written,
        )
    });
    Ok(())
}

async fn play(day: &mut Day) -> Result<Summary, Failure> {
    day.sign_up().await?;
    let messages_synced = day.sync_all().await?;
    day.look().await?;
    day.search().await?;
    day.write().await?;
    day.lose_the_network().await?;
    day.lock_and_unlock().await?;
    day.be_killed().await?;
    let (messages_written, arrived_once) = day.find_the_network().await?;
    let seconds = day.leave().await?.as_secs_f64();
    let lost = messages_written - arrived_once;
    Ok(Summary { messages_synced, messages_written, arrived_once, lost, seconds })
}
