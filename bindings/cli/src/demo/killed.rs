//! A real process that writes, and is killed in the middle of it.

use crate::demo::story::told;
use crate::failure::Failure;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

/// No writer takes this long for one message.
const PATIENCE: Duration = Duration::from_secs(60);

/// The text of the writer's message with this number.
pub(crate) fn text(number: u32) -> String {
    format!("Written just before the power went, no. {number} ✍️")
}

/// Starts `portal demo-writer` on the records, lets it confirm `confirmed` messages, and kills it with
/// SIGKILL while it writes on. Returns how many it confirmed, which may be more by then.
pub(crate) async fn write_and_kill(
    data: &Path,
    practice: &Path,
    thread: &str,
    confirmed: u32,
) -> Result<u32, Failure> {
    let strange = |what: &str| Failure::NotAsTold(what.to_owned());
    let program = std::env::current_exe().map_err(|_| strange("this program does not find itself"))?;
    let mut child = Command::new(program)
        .arg("--data")
        .arg(data)
        .arg("--practice")
        .arg(practice)
        .args(["--soft-vault", portal_core::store::SoftVault::NAME])
        // More than it can write before it is killed.
        .args(["demo-writer", thread, "1000"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|_| strange("a second process did not start"))?;
    let pipe = child.stdout.take().ok_or_else(|| strange("the second process has no voice"))?;
    let mut lines = BufReader::new(pipe).lines();
    let mut heard = 0;
    while heard < confirmed {
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await;
        match line {
            Ok(Ok(Some(_))) => heard += 1,
            _ => return Err(strange("the second process fell silent")),
        }
    }
    child.kill().await.map_err(|_| strange("the second process could not be killed"))?;
    let status = child.wait().await.map_err(|_| strange("the second process could not be killed"))?;
    told(!status.success(), || "the second process ended by itself".to_owned())?;
    // What it had confirmed in the meantime is promised, too.
    while let Ok(Some(_)) = lines.next_line().await {
        heard += 1;
    }
    Ok(heard)
}
