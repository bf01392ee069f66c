//! What must hold of a phone that was cut off from its power and opened again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use super::script::{Ledger, arrived};
use super::{Rig, main_client};
use crate::lab;
use portal_core::account::SessionState;
use portal_core::messages::{MessageState, ThreadFilter};
use portal_core::outbox::OutboxState;
use portal_core::{PortalError, Reason};
use portal_tests::phone::now;
use std::collections::BTreeMap;
use std::time::Duration;

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// It does not open, or not without somebody's help.
    Unopenable(String),
    /// What was promised is gone.
    Lost(String),
    /// Something is there twice.
    Doubled(String),
    /// Anything else.
    Other(String),
}

/// What one reopened phone went through.
#[derive(Clone, Copy, Debug, Default)]
pub struct Passed {
    /// The client had to sign in again.
    pub signed_in_again: bool,
    /// The act that was under way had been done.
    pub act_was_done: bool,
}

fn unopenable(what: &str) -> impl Fn(PortalError) -> Wrong {
    move |error| Wrong::Unopenable(format!("{what}: {error}"))
}

/// Opens the phone, compares it with what was promised before the act under way or after it, lets it
/// come to rest, and compares it with the practice.
pub fn reopened(rig: &mut Rig, before: &Ledger, after: &Ledger) -> Result<Passed, Wrong> {
    let mut passed = Passed::default();
    rig.open().map_err(unopenable("open"))?;
    match now(rig.portal().account().unlock()) {
        Ok(()) => {}
        // The registration was not finished: there is nobody here yet, and the client begins again.
        Err(PortalError::SignedOut { reason: Reason::NotSignedIn }) if !before.registered => {
            match now(rig.portal().account().register(rig.registration())) {
                Ok(()) => {}
                Err(PortalError::Refused { reason: Reason::InvitationUsed, .. }) => {
                    rig.sign_in().map_err(unopenable("sign in"))?;
                }
                Err(error) => return Err(unopenable("register")(error)),
            }
        }
        Err(error) => return Err(unopenable("unlock")(error)),
    }
    let ledger = match (shows(rig, before), before == after) {
        (Ok(()), _) => before,
        (Err(wrong), true) => return Err(wrong),
        (Err(wrong), false) => {
            // Of an act that had not returned all is there, or nothing.
            shows(rig, after).map_err(|_| wrong)?;
            passed.act_was_done = true;
            after
        }
    };
    rig.practice.set_online(true);
    let late = "Written while the phone was off.";
    let thread = rig.threads[0].parse().unwrap();
    rig.practice.act(|world, at| {
        let author = world.all_staff().next().unwrap().id;
        world.reply(author, thread, late, at).unwrap();
    });
    passed.signed_in_again = settles(rig)?;
    shows(rig, ledger)?;
    let shown = shown(rig).map_err(unopenable("views"))?;
    if shown.texts.get(late) != Some(&1) {
        return Err(Wrong::Lost("what came while the phone was off".into()));
    }
    agrees(rig, ledger)?;
    Ok(passed)
}

/// Syncs until nothing is left; whether the client had to sign in again.
pub fn settles(rig: &Rig) -> Result<bool, Wrong> {
    let mut signed_in_again = false;
    for _ in 0..20 {
        rig.portal().account().touch();
        match now(rig.portal().sync(None)) {
            Ok(report) if report.complete => return Ok(signed_in_again),
            Ok(_) | Err(PortalError::Offline { .. }) => rig.practice.clock.advance(Duration::from_secs(61)),
            Err(PortalError::SignedOut { reason: Reason::SessionEnded }) if !signed_in_again => {
                signed_in_again = true;
                assert_eq!(rig.portal().account().session().state, SessionState::Expired);
                rig.sign_in().map_err(unopenable("sign in again"))?;
            }
            Err(error) => return Err(Wrong::Other(format!("sync: {error}"))),
        }
    }
    Err(Wrong::Other("it does not come to rest".into()))
}

/// What the phone shows.
struct Shown {
    /// Messages by their text.
    texts: BTreeMap<String, usize>,
    drafts: Vec<String>,
    refused: Vec<String>,
    /// Places that staff wrote and that are not read, by conversation: the lowest.
    unread: BTreeMap<String, u64>,
}

fn shown(rig: &Rig) -> Result<Shown, PortalError> {
    let messages = rig.portal().messages();
    let (mut texts, mut unread) = (BTreeMap::new(), BTreeMap::new());
    for listed in now(messages.threads(ThreadFilter::All, 0, 100))?.threads {
        let mut before = None;
        loop {
            let view = now(messages.thread(listed.id.clone(), before, 100))?;
            for message in view.messages {
                *texts.entry(message.text).or_default() += 1;
                if let (MessageState::Received { read: false }, Some(n)) = (message.state, message.n) {
                    let lowest = unread.entry(listed.id.clone()).or_insert(n);
                    *lowest = n.min(*lowest);
                }
            }
            before = view.earlier;
            if before.is_none() {
                break;
            }
        }
    }
    now(rig.portal().home().view())?;
    let mut drafts: Vec<String> = now(messages.drafts())?.into_iter().map(|one| one.draft.text).collect();
    drafts.sort();
    let entries = now(rig.portal().outbox().entries())?.into_iter();
    let refused = entries.filter(|entry| matches!(entry.state, OutboxState::Refused { .. }));
    Ok(Shown { texts, drafts, refused: refused.map(|entry| entry.text).collect(), unread })
}

/// Whether every view shows what this ledger promises, once, and nothing else of ours.
pub fn shows(rig: &Rig, ledger: &Ledger) -> Result<(), Wrong> {
    let shown = shown(rig).map_err(unopenable("views"))?;
    let mut drafts: Vec<String> = ledger.drafts.values().cloned().collect();
    drafts.sort();
    if shown.drafts != drafts {
        return Err(Wrong::Lost(format!("drafts {:?}, promised {drafts:?}", shown.drafts)));
    }
    for text in &rig.texts {
        let times = shown.texts.get(text).copied().unwrap_or(0);
        match (ledger.mine.contains(text) || ledger.received.contains(text), times) {
            (true, 0) => return Err(Wrong::Lost(text.clone())),
            (true, 1) => {}
            (false, 0) => {}
            (false, 1) if ledger.staff.contains(text) => {}
            (false, _) if !ledger.staff.contains(text) => {
                return Err(Wrong::Other(format!("shown and never promised: {text}")));
            }
            _ => return Err(Wrong::Doubled(text.clone())),
        }
    }
    for (thread, mark) in &ledger.marks {
        if let Some(lowest) = shown.unread.get(thread).filter(|lowest| *lowest <= mark) {
            return Err(Wrong::Lost(format!("read up to {mark}, and {lowest} is unread")));
        }
    }
    Ok(())
}

/// At rest: the practice has every promised message once, and the phone has the practice's rows.
pub fn agrees(rig: &Rig, ledger: &Ledger) -> Result<(), Wrong> {
    let (arrived, shown) = (arrived(rig), shown(rig).map_err(unopenable("views"))?);
    for text in rig.texts.iter().filter(|text| !ledger.staff.contains(*text)) {
        let refused = shown.refused.iter().filter(|refused| *refused == text).count();
        let times = arrived.get(text).copied().unwrap_or(0);
        let promised = ledger.mine.contains(text);
        match (promised, times) {
            (true, 0) if refused == 1 && ledger.doubtful.contains(text) => {}
            (true, 0) => return Err(Wrong::Lost(format!("never arrived: {text}"))),
            (true, 1) if refused == 0 => {}
            (false, 0) => {}
            (false, 1) => return Err(Wrong::Other(format!("arrived and was never promised: {text}"))),
            _ => return Err(Wrong::Doubled(format!("arrived {times} times, refused {refused}: {text}"))),
        }
    }
    let (base, rows) = (base(rig), rows(rig));
    if base != rows {
        let differ = rows.iter().find(|(key, row)| base.get(*key) != Some(row)).map(|(key, _)| key);
        let differ = differ.or_else(|| base.keys().find(|key| !rows.contains_key(*key)));
        return Err(Wrong::Other(format!("base and practice differ: {differ:?}")));
    }
    Ok(())
}

type Rows = BTreeMap<(String, uuid::Uuid), (u64, u64, String)>;

/// The practice's rows for the main client.
fn rows(rig: &Rig) -> Rows {
    let rows = rig.practice.act(|world, _| {
        let client = main_client(world);
        world.feed_rows(world.client(client).unwrap().account)
    });
    rows.into_iter().map(|row| ((row.entity.to_owned(), row.id), (row.seq, row.ver, row.data))).collect()
}

/// The rows that the phone holds, read beside the core.
fn base(rig: &Rig) -> Rows {
    let user = lab::users(&rig.root).remove(0);
    let key = lab::database_key(&lab::master_key(&user, rig.vault.as_ref()));
    let database = lab::database(&user.join("portal.db"), &key).unwrap();
    let known = ["practice", "client", "staff", "thread", "message", "read_mark"];
    let selects = known.map(|table| format!("SELECT '{table}', id, seq, ver, body FROM {table}"));
    let all =
        format!("{} UNION ALL SELECT entity, id, seq, ver, body FROM parked", selects.join(" UNION ALL "));
    let mut statement = database.prepare(&all).unwrap();
    let rows = statement.query_map([], |row| {
        let id = uuid::Uuid::from_slice(&row.get::<_, Vec<u8>>(1)?).unwrap();
        let number = |at| row.get::<_, i64>(at).map(i64::unsigned_abs);
        Ok(((row.get(0)?, id), (number(2)?, number(3)?, row.get(4)?)))
    });
    rows.unwrap().collect::<Result<_, _>>().unwrap()
}
