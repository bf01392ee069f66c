//! What a phone does all day: a random mixture of every verb that promises something.

use crate::child::{Phone, tell};
use crate::raw;
use crate::words::{Act, Bug, Made, Report};
use portal_core::PortalError;
use portal_core::account::SessionState;
use portal_core::messages::{Draft, NewThread, Recipient};
use portal_core::outbox::{OutboxEntry, OutboxState};
use portal_tests::points::Scene;
use std::time::{Duration, Instant};

/// How long a life lasts that nobody ends earlier.
const LIFE: Duration = Duration::from_millis(100);
/// How long coming to rest may take.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone, Copy)]
enum Deed {
    Send,
    Start,
    Draft,
    DropDraft,
    Edit,
    Discard,
    Retry,
    Mark,
    Sync,
    Lock,
    Suspend,
    SignIn,
}

use Deed::{Discard, DropDraft, Edit, Lock, Mark, Retry, Send, SignIn, Start, Suspend, Sync};

/// What a scene is made of; a deed that stands there twice is twice as likely.
fn deeds(scene: Scene) -> &'static [Deed] {
    match scene {
        Scene::Offline => &[Send, Send, Send, Start, Deed::Draft, Edit, Edit, Discard, Discard, Mark, Sync],
        Scene::Refused => &[Sync, Edit, Retry, Edit, Discard, Retry, Send],
        Scene::Doors => &[Send, Lock, Suspend, Deed::Draft, Lock, SignIn],
        Scene::Refresh | Scene::Gone | Scene::Restored => &[Send, Sync, Sync, Mark, Deed::Draft, Start],
        _ => &[
            Send,
            Send,
            Send,
            Send,
            Start,
            Deed::Draft,
            Deed::Draft,
            DropDraft,
            Edit,
            Discard,
            Retry,
            Mark,
            Mark,
            Sync,
            Sync,
        ],
    }
}

/// What leads to a point that is looked for.
fn leads_to(point: &str) -> &'static [Deed] {
    match point.split('.').next().unwrap_or_default() {
        "send" => &[Send],
        "start" => &[Start],
        "draft" => &[Deed::Draft],
        "mark" => &[Mark],
        "change" => &[Edit, Discard],
        "lock" | "close" => &[Lock],
        "suspend" | "resume" => &[Suspend],
        "sign-in" => &[SignIn],
        "push" | "outbox" | "tokens" => &[Send, Sync],
        "pull" | "feed" | "sync" => &[Sync],
        _ => &[],
    }
}

/// Acts until it is killed or has lived long enough.
pub(crate) async fn work(phone: &mut Phone, scene: Scene) -> Result<(), String> {
    let (began, usual) = (Instant::now(), deeds(scene));
    let sought = phone.order.point.as_ref().map(|(name, _)| leads_to(name)).unwrap_or_default();
    while began.elapsed() < LIFE {
        let deeds = if !sought.is_empty() && phone.below(3) > 0 { sought } else { usual };
        let place = phone.below(deeds.len());
        let Some(deed) = deeds.get(place) else { continue };
        one(phone, *deed).await?;
    }
    Ok(())
}

async fn one(phone: &mut Phone, deed: Deed) -> Result<(), String> {
    match deed {
        Send => send(phone).await,
        Start => start(phone).await,
        Deed::Draft => draft(phone).await,
        DropDraft => drop_draft(phone).await,
        Edit | Discard | Retry => change(phone, deed).await,
        Mark => mark(phone).await,
        Sync => match phone.portal.sync(Some(2_000)).await {
            Ok(_) | Err(PortalError::Offline { .. }) => Ok(()),
            Err(error) if phone.tolerates(&error) => Ok(()),
            Err(error) => Err(format!("sync: {error}")),
        },
        Lock => {
            phone.portal.account().lock().await.map_err(|error| format!("lock: {error}"))?;
            phone.portal.account().unlock().await.map_err(|error| format!("unlock: {error}"))
        }
        Suspend => {
            phone.portal.suspend().await.map_err(|error| format!("suspend: {error}"))?;
            phone.portal.resume().await.map_err(|error| format!("resume: {error}"))
        }
        SignIn => match phone.sign_in().await {
            Ok(()) | Err(PortalError::Offline { .. } | PortalError::Refused { .. }) => {
                match phone.portal.account().session().state {
                    SessionState::Active => Ok(()),
                    state => Err(format!("{state:?} after a sign-in")),
                }
            }
            Err(error) => Err(format!("sign-in: {error}")),
        },
    }
}

async fn send(phone: &mut Phone) -> Result<(), String> {
    let place = phone.below(phone.threads.len());
    let Some(thread) = phone.threads.get(place).cloned() else { return start(phone).await };
    let (text, messages) = (phone.text(), phone.portal.messages());
    let act = Act::Send { thread: thread.clone(), text: text.clone() };
    let twice = phone.order.bug == Some(Bug::Twice);
    phone
        .promise(act, async move {
            if twice {
                messages.send(thread.clone(), text.clone()).await?;
            }
            let id = messages.send(thread, text).await?;
            Ok(Made { id: Some(id), thread: None })
        })
        .await
}

async fn start(phone: &mut Phone) -> Result<(), String> {
    let (text, messages) = (phone.text(), phone.portal.messages());
    let draft = match phone.below(3) {
        0 => drafts(phone).await?.into_iter().find(|key| key.starts_with("new:")),
        _ => None,
    };
    let act = Act::Start { text: text.clone(), draft: draft.clone() };
    let recipient = Recipient::Route { route: "scheduler".to_owned() };
    let thread = NewThread { recipient, subject: format!("About {text}"), text, draft };
    phone
        .promise(act, async move {
            let started = messages.start(thread).await?;
            Ok(Made { id: Some(started.message), thread: Some(started.thread) })
        })
        .await
}

async fn drafts(phone: &Phone) -> Result<Vec<String>, String> {
    match phone.portal.messages().drafts().await {
        Ok(drafts) => Ok(drafts.into_iter().filter_map(|one| one.draft.key).collect()),
        Err(error) if phone.tolerates(&error) => Ok(Vec::new()),
        Err(error) => Err(format!("drafts: {error}")),
    }
}

async fn draft(phone: &mut Phone) -> Result<(), String> {
    let (text, messages) = (phone.text(), phone.portal.messages());
    let keys = drafts(phone).await?;
    let place = phone.below(phone.threads.len().max(1) + keys.len());
    let (key, thread) = match (phone.threads.get(place), keys.get(place.saturating_sub(phone.threads.len())))
    {
        (Some(thread), _) => (Some(format!("thread:{thread}")), Some(thread.clone())),
        (None, Some(key)) => (Some(key.clone()), key.strip_prefix("thread:").map(ToOwned::to_owned)),
        (None, None) => (None, None),
    };
    // A phone with hundreds of drafts only makes the run slower.
    let key = if keys.len() > 8 { keys.first().cloned() } else { key };
    let thread = if keys.len() > 8 {
        key.as_deref().and_then(|key| key.strip_prefix("thread:")).map(ToOwned::to_owned)
    } else {
        thread
    };
    let act = Act::Draft { key: key.clone(), text: text.clone() };
    let draft = Draft {
        key: key.filter(|key| key.starts_with("new:")),
        thread,
        recipient: None,
        subject: String::new(),
        text,
    };
    phone
        .promise(act, async move {
            let key = messages.save_draft(draft).await?;
            Ok(Made { id: Some(key), thread: None })
        })
        .await
}

async fn drop_draft(phone: &mut Phone) -> Result<(), String> {
    let Some(key) = drafts(phone).await?.pop() else { return Ok(()) };
    let messages = phone.portal.messages();
    phone
        .promise(Act::DropDraft { key: key.clone() }, async move {
            messages.discard_draft(key).await?;
            Ok(Made::default())
        })
        .await
}

/// Nothing while a damaged file is replaced.
async fn entries(phone: &Phone) -> Result<Option<Vec<OutboxEntry>>, String> {
    match phone.portal.outbox().entries().await {
        Ok(entries) => Ok(Some(entries)),
        Err(error) if phone.tolerates(&error) => Ok(None),
        Err(error) => Err(format!("outbox: {error}")),
    }
}

/// Edits, takes back or tries again what is in the outbox, the newest first.
async fn change(phone: &mut Phone, deed: Deed) -> Result<(), String> {
    let entries = entries(phone).await?.unwrap_or_default();
    let refused = |entry: &OutboxEntry| matches!(entry.state, OutboxState::Refused { .. });
    let entry = entries.iter().find(|entry| refused(entry)).or(entries.last());
    let Some(entry) = entry.cloned() else { return Ok(()) };
    let (outbox, refused, old) = (phone.portal.outbox(), refused(&entry), entry.text.clone());
    let (act, new) = match deed {
        Discard => (Act::Discard { text: old }, None),
        Retry => (Act::Retry { text: old, refused }, None),
        _ => {
            let new = phone.text();
            (Act::Edit { old, new: new.clone(), refused }, Some(new))
        }
    };
    let taken_back = matches!(deed, Discard);
    phone
        .promise(act, async move {
            match (taken_back, new) {
                (true, _) => outbox.discard(entry.id).await?,
                (false, Some(new)) => outbox.edit(entry.id, new).await?,
                (false, None) => outbox.retry(entry.id).await?,
            }
            Ok(Made::default())
        })
        .await
}

async fn mark(phone: &mut Phone) -> Result<(), String> {
    let place = phone.below(phone.threads.len());
    let Some(thread) = phone.threads.get(place).cloned() else { return Ok(()) };
    let messages = phone.portal.messages();
    let upto = match messages.thread(thread.clone(), None, 1).await {
        Ok(view) => view.messages.iter().filter_map(|message| message.n).max().unwrap_or(0),
        Err(PortalError::NotFound { .. }) => 0,
        Err(error) if phone.tolerates(&error) => 0,
        Err(error) => return Err(format!("thread: {error}")),
    };
    if upto == 0 {
        return Ok(());
    }
    phone
        .promise(Act::Mark { thread: thread.clone(), upto }, async move {
            messages.mark_read(thread, upto).await?;
            Ok(Made::default())
        })
        .await
}

/// Syncs until nothing is left, takes back what the practice refused, and shows the file.
pub(crate) async fn rest(phone: &mut Phone) -> Result<(), String> {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        let report = match phone.portal.sync(Some(5_000)).await {
            Ok(report) => Some(report),
            Err(PortalError::Offline { .. }) => None,
            Err(error) if phone.tolerates(&error) => None,
            Err(error) => return Err(format!("does not come to rest: {error}")),
        };
        let Some(entries) = entries(phone).await? else { continue };
        if report.is_some_and(|report| report.complete && report.waiting == 0) && entries.is_empty() {
            phone.portal.account().lock().await.map_err(|error| format!("lock: {error}"))?;
            let rest = raw::rest(&phone.order.place).map_err(|error| format!("cannot look: {error}"))?;
            tell(&Report::Rest(rest));
            return Ok(());
        }
        if entries.iter().any(|entry| matches!(entry.state, OutboxState::Refused { .. })) {
            change(phone, Discard).await?;
        }
    }
    Err("does not come to rest".to_owned())
}
