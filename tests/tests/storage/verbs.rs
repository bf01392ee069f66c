//! Every verb of a phone on which somebody is signed in, what it needs before and what it promises.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use super::Rig;
use super::script::Ledger;
use portal_core::PortalError;
use portal_core::messages::{Draft, NewThread, Recipient};
use portal_server_mock::world::Policy;
use portal_tests::phone::now;
use std::time::Duration;

/// What a verb does, and what it then has promised; `round` makes its words its own.
pub type Verb = fn(&mut Rig, usize) -> Result<(), PortalError>;
pub type Promise = fn(&mut Ledger, usize);

/// One verb with what it needs before.
pub struct Case {
    pub name: &'static str,
    pub before: Verb,
    /// What `before` has promised.
    pub prepared: Promise,
    pub verb: Verb,
    pub promise: Promise,
    /// What it is about: the texts that it writes or takes away.
    pub texts: fn(usize) -> Vec<String>,
}

fn nothing(_: &mut Rig, _: usize) -> Result<(), PortalError> {
    Ok(())
}

fn letter(round: usize) -> String {
    format!("Letter {round}")
}

fn better(round: usize) -> String {
    format!("Better letter {round}")
}

fn write(ledger: &mut Ledger, text: &str) {
    ledger.mine.insert(text.to_owned());
}

fn take_back(ledger: &mut Ledger, text: &str) {
    ledger.mine.remove(text);
}

fn send(rig: &mut Rig, round: usize) -> Result<(), PortalError> {
    now(rig.portal().messages().send(rig.threads[0].clone(), letter(round))).map(|_| ())
}

fn draft(rig: &mut Rig, text: String) -> Result<(), PortalError> {
    let thread = Some(rig.threads[0].clone());
    let draft = Draft { key: None, thread, recipient: None, subject: String::new(), text };
    now(rig.portal().messages().save_draft(draft)).map(|_| ())
}

fn entry(rig: &Rig, text: &str) -> Result<String, PortalError> {
    let entries = now(rig.portal().outbox().entries())?;
    Ok(entries.into_iter().find(|entry| entry.text == text).map(|entry| entry.id).unwrap_or_default())
}

pub fn sync(rig: &mut Rig, _: usize) -> Result<(), PortalError> {
    rig.portal().account().touch();
    now(rig.portal().sync(None)).map(|_| ())
}

fn reply(rig: &mut Rig, round: usize) -> Result<(), PortalError> {
    let thread = rig.threads[1].parse().unwrap();
    rig.practice.act(|world, at| {
        let author = world.all_staff().next().unwrap().id;
        world.reply(author, thread, &format!("From staff {round}"), at).unwrap();
    });
    Ok(())
}

fn longest_message(rig: &Rig, message_max_chars: u32) {
    rig.practice.act(|world, _| {
        let policy = Policy { message_max_chars, ..world.practice().policy.clone() };
        world.set_policy(policy);
    });
}

fn look(rig: &mut Rig, _: usize) -> Result<(), PortalError> {
    now(rig.portal().messages().search("form".into(), 100))?;
    now(rig.portal().messages().print(rig.threads[0].clone()))?;
    now(rig.portal().home().view()).map(|_| ())
}

/// Every verb of a phone on which somebody is signed in.
pub fn cases() -> Vec<Case> {
    let none: Promise = |_, _| {};
    let no_texts: fn(usize) -> Vec<String> = |_| Vec::new();
    vec![
        Case {
            name: "send",
            before: |rig, round| draft(rig, format!("Draft {round}")),
            prepared: |ledger, round| drop(ledger.drafts.insert("reply".into(), format!("Draft {round}"))),
            verb: send,
            promise: |ledger, round| {
                write(ledger, &letter(round));
                ledger.drafts.clear();
            },
            texts: |round| vec![letter(round)],
        },
        Case {
            name: "start",
            before: nothing,
            prepared: none,
            verb: |rig, round| {
                let recipient = Recipient::Route { route: "scheduler".into() };
                let (subject, text) = (format!("Subject {round}"), letter(round));
                now(rig.portal().messages().start(NewThread { recipient, subject, text, draft: None }))
                    .map(|_| ())
            },
            promise: |ledger, round| write(ledger, &letter(round)),
            texts: |round| vec![letter(round)],
        },
        Case {
            name: "save_draft",
            before: nothing,
            prepared: none,
            verb: |rig, round| draft(rig, format!("Draft {round}")),
            promise: |ledger, round| drop(ledger.drafts.insert("reply".into(), format!("Draft {round}"))),
            texts: no_texts,
        },
        Case {
            name: "edit",
            before: send,
            prepared: |ledger, round| write(ledger, &letter(round)),
            verb: |rig, round| {
                let entry = entry(rig, &letter(round))?;
                now(rig.portal().outbox().edit(entry, better(round)))
            },
            promise: |ledger, round| {
                take_back(ledger, &letter(round));
                write(ledger, &better(round));
            },
            texts: |round| vec![letter(round), better(round)],
        },
        Case {
            name: "discard",
            before: send,
            prepared: |ledger, round| write(ledger, &letter(round)),
            verb: |rig, round| {
                let entry = entry(rig, &letter(round))?;
                now(rig.portal().outbox().discard(entry))
            },
            promise: |ledger, round| take_back(ledger, &letter(round)),
            texts: |round| vec![letter(round)],
        },
        Case {
            name: "retry",
            before: |rig, round| {
                // What the round before retried leaves first.
                sync(rig, round)?;
                send(rig, round)?;
                longest_message(rig, 3);
                sync(rig, round)?;
                longest_message(rig, 2_000);
                sync(rig, round)
            },
            prepared: |ledger, round| write(ledger, &letter(round)),
            verb: |rig, round| {
                let entry = entry(rig, &letter(round))?;
                now(rig.portal().outbox().retry(entry))
            },
            promise: none,
            texts: |round| vec![letter(round)],
        },
        Case {
            name: "discard_draft",
            before: |rig, round| draft(rig, format!("Draft {round}")),
            prepared: |ledger, round| drop(ledger.drafts.insert("reply".into(), format!("Draft {round}"))),
            verb: |rig, _| {
                let drafts = now(rig.portal().messages().drafts())?;
                let keys = drafts.into_iter().filter_map(|listed| listed.draft.key);
                keys.into_iter().try_for_each(|key| now(rig.portal().messages().discard_draft(key)))
            },
            promise: |ledger, _| ledger.drafts.clear(),
            texts: no_texts,
        },
        Case {
            name: "sign in again",
            before: send,
            prepared: |ledger, round| write(ledger, &letter(round)),
            verb: |rig, _| rig.sign_in(),
            promise: none,
            texts: |round| vec![letter(round)],
        },
        Case {
            name: "mark_read",
            before: |rig, round| {
                reply(rig, round)?;
                sync(rig, round)
            },
            prepared: none,
            verb: |rig, _| {
                let id = rig.threads[1].clone();
                let view = now(rig.portal().messages().thread(id.clone(), None, 100))?;
                let newest = view.messages.iter().filter_map(|message| message.n).max().unwrap_or(0);
                now(rig.portal().messages().mark_read(id, newest))
            },
            promise: none,
            texts: no_texts,
        },
        Case {
            name: "sync",
            before: |rig, round| {
                reply(rig, round)?;
                send(rig, round)
            },
            prepared: |ledger, round| write(ledger, &letter(round)),
            verb: sync,
            promise: none,
            texts: |round| vec![letter(round)],
        },
        Case {
            name: "sync with a new token",
            before: |rig, round| {
                rig.practice.clock.advance(Duration::from_secs(299));
                rig.portal().account().touch();
                rig.practice.clock.advance(Duration::from_secs(2));
                send(rig, round)
            },
            prepared: |ledger, round| write(ledger, &letter(round)),
            verb: sync,
            promise: none,
            texts: |round| vec![letter(round)],
        },
        Case {
            name: "sync from the start",
            before: |rig, round| {
                rig.practice.act(|world, _| world.expire_cursors());
                send(rig, round)
            },
            prepared: |ledger, round| write(ledger, &letter(round)),
            verb: sync,
            promise: none,
            texts: |round| vec![letter(round)],
        },
        Case {
            name: "unlock",
            before: |rig, _| now(rig.portal().account().lock()),
            prepared: none,
            verb: |rig, _| now(rig.portal().account().unlock()),
            promise: none,
            texts: no_texts,
        },
        Case {
            name: "lock",
            before: |rig, _| now(rig.portal().account().unlock()),
            prepared: none,
            verb: |rig, _| now(rig.portal().account().lock()),
            promise: none,
            texts: no_texts,
        },
        Case {
            name: "suspend",
            before: |rig, round| {
                now(rig.portal().resume())?;
                draft(rig, format!("Draft {round}"))
            },
            prepared: |ledger, round| drop(ledger.drafts.insert("reply".into(), format!("Draft {round}"))),
            verb: |rig, _| now(rig.portal().suspend()),
            promise: none,
            texts: no_texts,
        },
        Case {
            name: "resume",
            before: |rig, _| now(rig.portal().suspend()),
            prepared: none,
            verb: |rig, _| now(rig.portal().resume()),
            promise: none,
            texts: no_texts,
        },
        Case {
            // Nothing of the file is in memory: every page is read from the disk.
            name: "first look after a resume",
            before: |rig, _| {
                now(rig.portal().suspend())?;
                now(rig.portal().resume())
            },
            prepared: none,
            verb: look,
            promise: none,
            texts: no_texts,
        },
        Case {
            name: "search, print and home",
            before: nothing,
            prepared: none,
            verb: look,
            promise: none,
            texts: no_texts,
        },
        Case {
            name: "start of the app",
            before: nothing,
            prepared: none,
            verb: |rig, _| {
                rig.open()?;
                now(rig.portal().account().unlock())
            },
            promise: none,
            texts: no_texts,
        },
    ]
}
