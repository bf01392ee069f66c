//! Sends what waits and fetches what is new.

use crate::args::SyncArgs;
use crate::commands::Desk;
use crate::failure::Failure;
use indicatif::ProgressBar;
use portal_core::change::Change;
use portal_core::sync::SyncReport;
use portal_core::{Portal, PortalError};

pub(crate) async fn run(args: &SyncArgs, desk: &Desk) -> Result<(), Failure> {
    let portal = desk.ready().await?;
    let bar = desk.out.progress("Syncing");
    let deadline = args.deadline.map(|seconds| seconds.saturating_mul(1000));
    let report = with_progress(&portal, deadline, &bar).await?;
    desk.out.answer(&report, || text(&report));
    Ok(())
}

/// A sync whose progress the bar shows.
pub(crate) async fn with_progress(
    portal: &Portal,
    deadline_ms: Option<u64>,
    bar: &ProgressBar,
) -> Result<SyncReport, PortalError> {
    let changes = portal.changes();
    let sync = portal.sync(deadline_ms);
    tokio::pin!(sync);
    let report = loop {
        tokio::select! {
            report = &mut sync => break report,
            change = changes.next() => if let Some(Change::Syncing { done, total }) = change {
                bar.set_length(total.max(done));
                bar.set_position(done);
            },
        }
    };
    bar.finish_and_clear();
    report
}

fn text(report: &SyncReport) -> String {
    let SyncReport { complete, received, sent, waiting, refused, quarantined, .. } = report;
    let mut text = format!("{received} changes received, {sent} sent.");
    text.push_str(match (complete, waiting) {
        (true, 0) => " Everything is in step.",
        _ => " Not everything yet: call portal sync again.",
    });
    if *waiting > 0 {
        text.push_str(&format!("\n{waiting} still wait to be sent: portal outbox"));
    }
    if *refused > 0 {
        text.push_str(&format!("\n{refused} were refused and need you: portal outbox"));
    }
    if *quarantined > 0 {
        text.push_str(&format!(
            "\n{quarantined} records are not what the practice may send and were set aside; please tell the practice."
        ));
    }
    text
}
