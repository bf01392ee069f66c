//! The staff API. The rules are methods of [`World`]; here is only JSON.

use super::{
    input::Call,
    reply::{self, Problem, Reply},
};
use crate::{
    Faults, World,
    rules::{ids, times},
    world::{
        Access, Banner, Client, Effect, InvitationState, LoginEvent, Mail, NewClient, NewStaff, Policy,
        Route, Staff, StaffError, Thread,
    },
};
use chrono::{DateTime, Utc};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

#[derive(Serialize)]
struct Chart<'a> {
    #[serde(flatten)]
    client: &'a Client,
    login_id: Option<&'a str>,
    access: Option<Access>,
    invitation: Option<InvitationState>,
}

#[derive(Serialize)]
struct Sent<'a> {
    mail: Uuid,
    to: &'a str,
}

/// A thread without its messages.
#[derive(Serialize)]
struct Summary<'a> {
    id: Uuid,
    subject: &'a str,
    route: Option<Route>,
    participants: &'a [Uuid],
    created_at: String,
    closed: bool,
    withdrawn: bool,
    newest: String,
    read_upto: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Letter {
    staff: Uuid,
    subject: String,
    body: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    staff: Uuid,
    body: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reader {
    staff: Uuid,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Desk {
    staff: Vec<Uuid>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CoreVersion {
    min: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewEpoch {
    #[serde(default)]
    lanes_back_to: Option<DateTime<Utc>>,
}

impl From<StaffError> for Problem {
    fn from(error: StaffError) -> Self {
        let status = match error {
            StaffError::ClientUnknown
            | StaffError::StaffUnknown
            | StaffError::ThreadUnknown
            | StaffError::MessageUnknown
            | StaffError::AppointmentUnknown => StatusCode::NOT_FOUND,
            StaffError::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            _ => StatusCode::CONFLICT,
        };
        let problem = Problem::new(status, error.code());
        match error {
            StaffError::Invalid(field) => problem.field(field),
            _ => problem,
        }
    }
}

/// Lets staff in, and nobody else.
pub(super) fn check_key(call: &Call<'_>, world: &World) -> Result<(), Problem> {
    let known = call.bearer().is_some_and(|key| world.is_staff_key(key));
    if known { Ok(()) } else { Err(Problem::unauthorized("staff_key_unknown")) }
}

pub(super) fn clients(call: &Call<'_>, world: &mut World) -> Reply {
    let charts: Vec<Chart<'_>> = world
        .clients()
        .map(|client| Chart {
            client,
            login_id: world.login_id(client.id),
            access: world.access(client.id),
            invitation: world.invitation_state(client.id, call.now).ok().flatten(),
        })
        .collect();
    Ok(reply::json(StatusCode::OK, &json!({ "clients": charts })))
}

pub(super) fn add_client(call: &Call<'_>, world: &mut World) -> Reply {
    let id = world.add_client(call.json_as::<NewClient>()?, call.now)?;
    Ok(reply::json(StatusCode::CREATED, &json!({ "id": id })))
}

pub(super) fn invite(call: &Call<'_>, world: &mut World) -> Reply {
    Ok(sent(&world.invite(id(call)?, call.now)?))
}

pub(super) fn resend(call: &Call<'_>, world: &mut World) -> Reply {
    Ok(sent(&world.resend(id(call)?, call.now)?))
}

pub(super) fn withdraw_invitation(call: &Call<'_>, world: &mut World) -> Reply {
    world.withdraw_invitation(id(call)?, call.now)?;
    done()
}

pub(super) fn revoke(call: &Call<'_>, world: &mut World) -> Reply {
    world.revoke_access(id(call)?, call.now)?;
    done()
}

pub(super) fn reactivate(call: &Call<'_>, world: &mut World) -> Reply {
    world.reactivate(id(call)?)?;
    done()
}

pub(super) fn logins(call: &Call<'_>, world: &mut World) -> Reply {
    let logins: &[LoginEvent] = world.logins(id(call)?).ok_or(StaffError::ClientUnknown)?;
    Ok(reply::json(StatusCode::OK, &json!({ "logins": logins })))
}

pub(super) fn threads(call: &Call<'_>, world: &mut World) -> Reply {
    let client = id(call)?;
    world.client(client).ok_or(StaffError::ClientUnknown)?;
    let threads: Vec<Summary<'_>> = world.threads_of(client).map(summary).collect();
    Ok(reply::json(StatusCode::OK, &json!({ "threads": threads })))
}

pub(super) fn write_to_client(call: &Call<'_>, world: &mut World) -> Reply {
    let Letter { staff, subject, body } = call.json_as()?;
    let thread = world.write_to_client(staff, id(call)?, &subject, &body, call.now)?;
    Ok(reply::json(StatusCode::CREATED, &json!({ "id": thread })))
}

pub(super) fn thread(call: &Call<'_>, world: &mut World) -> Reply {
    let thread: &Thread = world.thread(id(call)?).ok_or(StaffError::ThreadUnknown)?;
    Ok(reply::json(StatusCode::OK, thread))
}

pub(super) fn reply(call: &Call<'_>, world: &mut World) -> Reply {
    let Answer { staff, body } = call.json_as()?;
    let message = world.reply(staff, id(call)?, &body, call.now)?;
    Ok(reply::json(StatusCode::CREATED, &json!({ "id": message })))
}

pub(super) fn mark_read(call: &Call<'_>, world: &mut World) -> Reply {
    let Reader { staff } = call.json_as()?;
    world.mark_thread_read(staff, id(call)?)?;
    done()
}

pub(super) fn close(call: &Call<'_>, world: &mut World) -> Reply {
    world.close_thread(id(call)?)?;
    done()
}

pub(super) fn withdraw_thread(call: &Call<'_>, world: &mut World) -> Reply {
    world.withdraw_thread(id(call)?, call.now)?;
    done()
}

pub(super) fn all_staff(_: &Call<'_>, world: &mut World) -> Reply {
    let staff: Vec<&Staff> = world.all_staff().collect();
    Ok(reply::json(StatusCode::OK, &json!({ "staff": staff })))
}

pub(super) fn add_staff(call: &Call<'_>, world: &mut World) -> Reply {
    let id = world.add_staff(call.json_as::<NewStaff>()?, call.now)?;
    Ok(reply::json(StatusCode::CREATED, &json!({ "id": id })))
}

pub(super) fn deactivate(call: &Call<'_>, world: &mut World) -> Reply {
    world.deactivate_staff(id(call)?)?;
    done()
}

pub(super) fn routes(_: &Call<'_>, world: &mut World) -> Reply {
    let routes = json!({
        "scheduler": world.route(Route::Scheduler),
        "biller": world.route(Route::Biller),
    });
    Ok(reply::json(StatusCode::OK, &json!({ "routes": routes })))
}

pub(super) fn change_route(call: &Call<'_>, world: &mut World) -> Reply {
    let route = match call.param() {
        "scheduler" => Route::Scheduler,
        "biller" => Route::Biller,
        _ => return Err(Problem::new(StatusCode::NOT_FOUND, "route_unknown")),
    };
    let Desk { staff } = call.json_as()?;
    world.change_routes(route, staff)?;
    done()
}

/// A banner, or `null` for none.
pub(super) fn set_banner(call: &Call<'_>, world: &mut World) -> Reply {
    world.set_banner(call.json_as::<Option<Banner>>()?);
    done()
}

pub(super) fn set_policy(call: &Call<'_>, world: &mut World) -> Reply {
    world.set_policy(call.json_as::<Policy>()?);
    done()
}

pub(super) fn set_core_version(call: &Call<'_>, world: &mut World) -> Reply {
    let CoreVersion { min } = call.json_as()?;
    world.set_min_core_version(min.as_deref())?;
    done()
}

pub(super) fn bump_epoch(call: &Call<'_>, world: &mut World) -> Reply {
    let NewEpoch { lanes_back_to } = call.json_as()?;
    world.bump_epoch(lanes_back_to);
    Ok(reply::json(StatusCode::OK, &json!({ "epoch": world.epoch() })))
}

pub(super) fn set_faults(call: &Call<'_>, world: &mut World) -> Reply {
    let faults: Faults = call.json_as()?;
    if !faults.are_probabilities() {
        return Err(StaffError::Invalid("faults").into());
    }
    world.set_faults(faults);
    done()
}

pub(super) fn effects(_: &Call<'_>, world: &mut World) -> Reply {
    let effects: &[Effect] = world.effects();
    Ok(reply::json(StatusCode::OK, &json!({ "effects": effects })))
}

fn id(call: &Call<'_>) -> Result<Uuid, Problem> {
    ids::parse(call.param()).ok_or(Problem::new(StatusCode::NOT_FOUND, "not_found"))
}

fn sent(mail: &Mail) -> reply::Response {
    reply::json(StatusCode::CREATED, &Sent { mail: mail.id, to: &mail.to })
}

fn done() -> Reply {
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

fn summary(thread: &Thread) -> Summary<'_> {
    Summary {
        id: thread.id,
        subject: &thread.subject,
        route: thread.route,
        participants: &thread.participants,
        created_at: times::text(thread.created_at),
        closed: thread.closed,
        withdrawn: thread.withdrawn,
        newest: thread.newest().to_string(),
        read_upto: thread.read_upto.to_string(),
    }
}
