//! `GET /v1/sync`: pages of an account's feed.

use super::{
    input::Call,
    reply::{self, Problem, Reply},
};
use crate::{
    World,
    rules::numbers,
    world::{Body, Cursor, Entry, Pull, UnderWay},
};
use http::StatusCode;
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use uuid::Uuid;

const LIMIT_DEFAULT: usize = 500;
const LIMIT_MAX: usize = 1000;

#[derive(Serialize)]
struct Page<'a> {
    epoch: Uuid,
    from: &'a str,
    next: String,
    checkpoint: String,
    has_more: bool,
    acked: BTreeMap<&'a str, String>,
    changes: Vec<Change<'a>>,
}

#[derive(Serialize)]
struct Change<'a> {
    seq: String,
    entity: &'static str,
    id: Uuid,
    ver: String,
    op: &'static str,
    /// The row's text as it was committed; it is not parsed again.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'static str>,
}

pub(super) fn sync(call: &Call<'_>, world: &mut World) -> Reply {
    let caller = call.caller(world)?;
    call.check_core_version(world)?;
    let query = call.query();
    if query.repeats_any(&["cursor", "limit"]) {
        return Err(Problem::malformed());
    }
    let limit = query.get("limit").map_or(Ok(LIMIT_DEFAULT), limit)?;
    let from = query.get("cursor");
    let cursor = from.map(cursor).transpose()?;
    let epoch = world.epoch();
    let account = world.account_mut(caller.account).ok_or(Problem::unauthorized("token_unknown"))?;
    let head = account.feed.head();
    let pull = match cursor {
        None => Pull { position: 0, checkpoint: head, full: true },
        Some(cursor) => {
            let known = cursor.epoch == epoch && cursor.account == caller.account;
            let pull = resumed(cursor, head);
            // a full pull has nothing yet that a tombstone could remove
            let missed = !pull.full && account.feed.has_expired(pull.position, call.now);
            if !known || pull.checkpoint > head || pull.position > head || missed {
                return Err(Problem::new(StatusCode::GONE, "cursor_expired"));
            }
            if cursor.under_way.is_none() && cursor.position == head {
                return Ok(reply::empty(StatusCode::NOT_MODIFIED));
            }
            pull
        }
    };
    let shown = account.feed.page(pull, limit);
    let under_way = shown.has_more.then_some(UnderWay { checkpoint: pull.checkpoint, full: pull.full });
    let next = Cursor { epoch, account: caller.account, position: shown.position, under_way };
    let page = Page {
        epoch,
        from: from.unwrap_or_default(),
        next: next.encode(),
        checkpoint: pull.checkpoint.to_string(),
        has_more: shown.has_more,
        acked: account.lanes.acked(caller.install, pull.checkpoint),
        changes: shown.entries.into_iter().map(change).collect(),
    };
    Ok(reply::json(StatusCode::OK, &page))
}

/// The pull that a cursor goes on with, or the one that starts at it.
fn resumed(cursor: Cursor, head: u64) -> Pull {
    match cursor.under_way {
        Some(UnderWay { checkpoint, full }) => Pull { position: cursor.position, checkpoint, full },
        None => Pull { position: cursor.position, checkpoint: head, full: false },
    }
}

fn change(entry: &Entry) -> Change<'_> {
    let (op, data, why) = match &entry.body {
        Body::Put(data) => ("put", Some(data.as_ref()), None),
        Body::Del(why) => ("del", None, Some(why.as_str())),
    };
    Change {
        seq: entry.seq.to_string(),
        entity: entry.entity.as_str(),
        id: entry.id,
        ver: entry.ver.to_string(),
        op,
        data,
        why,
    }
}

fn limit(text: &str) -> Result<usize, Problem> {
    let limit = numbers::parse(text).and_then(|limit| usize::try_from(limit).ok());
    let limit = limit.filter(|limit| (1..=LIMIT_MAX).contains(limit));
    limit.ok_or(Problem::malformed().field("limit"))
}

fn cursor(text: &str) -> Result<Cursor, Problem> {
    let malformed = Problem::new(StatusCode::BAD_REQUEST, "cursor_malformed").field("cursor");
    Cursor::decode(text).ok_or(malformed)
}
