//! The canonical scenario: sixty acts of a client, their practice and their network, and after each of
//! them what the phone has promised so far.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use super::{Rig, main_client};
use portal_core::PortalError;
use portal_core::messages::{Draft, NewThread, Recipient};
use portal_tests::phone::now;
use portal_tests::practice::{Mishap, locked};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// One act. Conversations are numbered in the practice's order.
#[derive(Clone, Copy, Debug)]
pub enum Act {
    /// The client registers with the invitation.
    Register,
    /// The phone syncs; it has to be complete.
    Sync,
    /// The phone syncs, and the next request to this place is lost.
    SyncLost(&'static str),
    /// The phone syncs, and the answer from this place is lost.
    SyncUnanswered(&'static str),
    /// The phone syncs without a network.
    SyncOffline,
    /// A reply.
    Send(usize, &'static str),
    /// A new conversation, from a draft.
    Start(&'static str, &'static str),
    /// A draft of a new conversation is typed on.
    Draft(&'static str, &'static str),
    /// A draft of a reply is typed on.
    DraftReply(usize, &'static str),
    /// A draft is thrown away.
    DiscardDraft(&'static str),
    /// What waits is changed.
    Edit(&'static str, &'static str),
    /// What waits is thrown away.
    Discard(&'static str),
    /// A conversation is read to its end.
    Read(usize),
    /// The phone locks.
    Lock,
    /// The phone unlocks.
    Unlock,
    /// The system suspends the app.
    Suspend,
    /// The app is back.
    Resume,
    /// The app ends in good order and is opened again.
    Restart,
    /// The network goes.
    Offline,
    /// The network is back.
    Online,
    /// Time passes, in seconds.
    Wait(u64),
    /// Staff reply.
    StaffReply(usize, &'static str),
    /// Staff close a conversation.
    StaffClose(usize),
    /// The practice has forgotten its tombstones: every phone fetches everything again.
    ExpireCursors,
    /// The practice comes back from a backup.
    NewEpoch,
}

/// What the phone has promised: what was answered with Ok.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    pub registered: bool,
    /// Every message that was written and not thrown away.
    pub mine: BTreeSet<String>,
    /// Drafts by their place, with their text.
    pub drafts: BTreeMap<String, String>,
    /// The highest place that was marked as read, by conversation.
    pub marks: BTreeMap<String, u64>,
    /// What staff wrote and a complete sync brought.
    pub received: BTreeSet<String>,
    /// What staff wrote.
    pub staff: BTreeSet<String>,
    /// Conversations that staff closed.
    pub closed: BTreeSet<usize>,
    /// What was written to such a one: the practice has it, or it stands in the outbox, refused.
    pub doubtful: BTreeSet<String>,
}

/// The sixty.
pub fn canonical() -> Vec<Act> {
    use Act::*;
    const OPS: &str = "POST /v1/ops";
    const FEED: &str = "GET /v1/sync";
    vec![
        Register,
        SyncLost(FEED),
        Sync,
        Read(0),
        Draft("n1", "Could we"),
        Draft("n1", "Could we move Thursday?"),
        DraftReply(0, "I slept"),
        Send(0, "I slept better this week."),
        Sync,
        Offline,
        Send(0, "One more thing: the new dose."),
        Send(1, "Is the form still needed?"),
        Edit("One more thing: the new dose.", "One more thing: the new dose makes me tired."),
        Discard("Is the form still needed?"),
        SyncOffline,
        Start("n1", "Could we move Thursday to Friday?"),
        Read(1),
        Suspend,
        Resume,
        Online,
        SyncUnanswered(OPS),
        StaffReply(0, "Thank you for telling me."),
        Wait(61),
        Sync,
        Read(0),
        Lock,
        Unlock,
        Draft("n2", "About the bill"),
        Send(1, "I found the form, it is on its way."),
        SyncLost(OPS),
        StaffReply(1, "Good, thank you."),
        Wait(61),
        Sync,
        ExpireCursors,
        Send(0, "The walks help."),
        Sync,
        Draft("n2", "About the bill of March"),
        Wait(301),
        Unlock,
        SyncUnanswered("POST /oauth/token"),
        StaffClose(1),
        Send(1, "Does this still arrive?"),
        Sync,
        Discard("Does this still arrive?"),
        DiscardDraft("n2"),
        Restart,
        Unlock,
        Send(0, "Written after a restart."),
        NewEpoch,
        SyncUnanswered(FEED),
        Wait(61),
        Sync,
        DraftReply(0, "And on Sunday"),
        DraftReply(0, "And on Sunday I was at the lake."),
        Suspend,
        Resume,
        Send(0, "And on Sunday I was at the lake, with friends."),
        StaffReply(0, "That sounds lovely."),
        Sync,
        Lock,
    ]
}

/// Everything that anybody writes in a script.
pub fn texts(script: &[Act]) -> Vec<String> {
    let written = script.iter().filter_map(|act| match act {
        Act::Send(_, text) | Act::Start(_, text) | Act::Edit(_, text) | Act::StaffReply(_, text) => {
            Some((*text).to_owned())
        }
        _ => None,
    });
    written.collect()
}

impl Act {
    /// Does it.
    pub fn perform(&self, rig: &mut Rig) -> Result<(), PortalError> {
        if let Act::Restart = self {
            return rig.open();
        }
        let (account, messages) = (rig.portal().account(), rig.portal().messages());
        match *self {
            Act::Register => now(account.register(rig.registration())),
            Act::Sync => {
                account.touch();
                let report = now(rig.portal().sync(None))?;
                assert!(report.complete && report.waiting == 0, "{report:?}");
                Ok(())
            }
            Act::SyncLost(place) => unlucky(rig, place, Mishap::LoseRequest),
            Act::SyncUnanswered(place) => unlucky(rig, place, Mishap::LoseAnswer),
            Act::SyncOffline => offline(now(rig.portal().sync(None)).map(|_| ())),
            Act::Send(thread, text) => {
                now(messages.send(rig.threads[thread].clone(), text.into())).map(|_| ())
            }
            Act::Start(slot, text) => {
                let recipient = Recipient::Route { route: "scheduler".into() };
                let (subject, text) = (format!("Subject of {slot}"), text.into());
                let draft = rig.slots.get(slot).cloned();
                now(messages.start(NewThread { recipient, subject, text, draft })).map(|_| ())
            }
            Act::Draft(slot, text) => {
                let draft = Draft {
                    key: rig.slots.get(slot).cloned(),
                    thread: None,
                    recipient: None,
                    subject: format!("Subject of {slot}"),
                    text: text.into(),
                };
                let key = now(messages.save_draft(draft))?;
                rig.slots.insert(slot.to_owned(), key);
                Ok(())
            }
            Act::DraftReply(thread, text) => {
                let thread = Some(rig.threads[thread].clone());
                let (recipient, subject, text) = (None, String::new(), text.into());
                now(messages.save_draft(Draft { key: None, thread, recipient, subject, text })).map(|_| ())
            }
            Act::DiscardDraft(slot) => now(messages.discard_draft(rig.slots[slot].clone())),
            Act::Edit(text, better) => {
                let entry = entry(rig, text)?;
                now(rig.portal().outbox().edit(entry, better.into()))
            }
            Act::Discard(text) => {
                let entry = entry(rig, text)?;
                now(rig.portal().outbox().discard(entry))
            }
            Act::Read(thread) => {
                let id = rig.threads[thread].clone();
                now(messages.mark_read(id, newest(rig, thread)?))
            }
            Act::Lock => now(account.lock()),
            Act::Unlock => now(account.unlock()),
            Act::Suspend => now(rig.portal().suspend()),
            Act::Resume => now(rig.portal().resume()),
            Act::Restart => Ok(()),
            Act::Offline => {
                rig.practice.set_online(false);
                Ok(())
            }
            Act::Online => {
                rig.practice.set_online(true);
                Ok(())
            }
            Act::Wait(seconds) => {
                account.touch();
                rig.practice.clock.advance(Duration::from_secs(seconds));
                Ok(())
            }
            Act::StaffReply(thread, text) => {
                let id = rig.threads[thread].parse().unwrap();
                rig.practice.act(|world, at| {
                    let author = world.all_staff().next().unwrap().id;
                    world.reply(author, id, text, at).unwrap();
                });
                Ok(())
            }
            Act::StaffClose(thread) => {
                let id = rig.threads[thread].parse().unwrap();
                rig.practice.act(|world, _| world.close_thread(id).unwrap());
                Ok(())
            }
            Act::ExpireCursors => {
                rig.practice.act(|world, _| world.expire_cursors());
                Ok(())
            }
            Act::NewEpoch => {
                rig.practice.act(|world, _| world.bump_epoch(None));
                Ok(())
            }
        }
    }

    /// What is promised once it was answered with Ok.
    pub fn promise(&self, ledger: &mut Ledger, rig: &Rig) {
        match *self {
            Act::Register => ledger.registered = true,
            Act::Sync => ledger.received = ledger.staff.clone(),
            Act::Send(thread, text) => {
                ledger.drafts.remove(&format!("reply {thread}"));
                ledger.mine.insert(text.into());
                if ledger.closed.contains(&thread) {
                    ledger.doubtful.insert(text.into());
                }
            }
            Act::Start(slot, text) => {
                ledger.drafts.remove(slot);
                ledger.mine.insert(text.into());
            }
            Act::Draft(slot, text) => drop(ledger.drafts.insert(slot.into(), text.into())),
            Act::DraftReply(thread, text) => {
                ledger.drafts.insert(format!("reply {thread}"), text.into());
            }
            Act::DiscardDraft(slot) => drop(ledger.drafts.remove(slot)),
            Act::Edit(text, better) => {
                ledger.mine.remove(text);
                ledger.mine.insert(better.into());
            }
            Act::Discard(text) => drop(ledger.mine.remove(text)),
            Act::Read(thread) => {
                let newest = newest(rig, thread).unwrap();
                ledger.marks.insert(rig.threads[thread].clone(), newest);
            }
            Act::StaffReply(_, text) => drop(ledger.staff.insert(text.into())),
            Act::StaffClose(thread) => drop(ledger.closed.insert(thread)),
            _ => {}
        }
    }
}

fn unlucky(rig: &Rig, place: &str, mishap: Mishap) -> Result<(), PortalError> {
    rig.portal().account().touch();
    let before = locked(&rig.practice.world).epoch();
    rig.practice.next(place, mishap);
    let result = now(rig.portal().sync(None)).map(|_| ());
    assert_eq!(before, locked(&rig.practice.world).epoch());
    offline(result)
}

/// A sync that the network ended is what was wanted.
fn offline(result: Result<(), PortalError>) -> Result<(), PortalError> {
    match result {
        Err(PortalError::Offline { .. }) => Ok(()),
        other => other,
    }
}

fn entry(rig: &Rig, text: &str) -> Result<String, PortalError> {
    let entries = now(rig.portal().outbox().entries())?;
    Ok(entries.into_iter().find(|entry| entry.text == text).expect("an entry").id)
}

fn newest(rig: &Rig, thread: usize) -> Result<u64, PortalError> {
    let view = now(rig.portal().messages().thread(rig.threads[thread].clone(), None, 100))?;
    Ok(view.messages.iter().filter_map(|message| message.n).max().unwrap_or(0))
}

/// Everything that staff wrote to the main client or the client to staff, by how often it is there.
pub fn arrived(rig: &Rig) -> BTreeMap<String, usize> {
    rig.practice.act(|world, _| {
        let client = main_client(world);
        let mut counts = BTreeMap::new();
        for message in world.threads_of(client).flat_map(|thread| &thread.messages) {
            *counts.entry(message.body.clone()).or_default() += 1;
        }
        counts
    })
}
