//! What needs no token: the practice, registering, and the pages.

use super::{
    input::Call,
    oauth::whole_seconds,
    reply::{self, Problem, Reply},
};
use crate::{
    World, openapi, pages,
    rules::{apps::App, ids, secrets, times},
    world::{Enrollment, EnrollmentRefusal, Grant, InvitationState, LinkState, Mail},
};
use http::StatusCode;
use serde::Serialize;
use serde_json::Value;

#[derive(Serialize)]
struct Registered<'a> {
    login_id: &'a str,
    code: &'a str,
    iss: &'a str,
}

#[derive(Serialize)]
struct Mailbox<'a> {
    mails: Vec<&'a Mail>,
}

pub(super) fn index(_: &Call<'_>, world: &mut World) -> Reply {
    Ok(reply::page(StatusCode::OK, pages::index(&world.practice().name)))
}

pub(super) fn openapi(_: &Call<'_>, _: &mut World) -> Reply {
    Ok(reply::json(StatusCode::OK, &openapi::document()))
}

pub(super) fn practice(_: &Call<'_>, world: &mut World) -> Reply {
    Ok(reply::json(StatusCode::OK, world.practice()))
}

/// The page of an invitation link. Looking at it consumes nothing, since mail scanners look first.
pub(super) fn enroll_page(call: &Call<'_>, world: &mut World) -> Reply {
    let (status, state) = match world.link_state(call.param(), call.now) {
        LinkState::Unknown => (StatusCode::NOT_FOUND, "unknown"),
        LinkState::Known(InvitationState::Sent) => (StatusCode::OK, "sent"),
        LinkState::Known(InvitationState::Registered) => (StatusCode::GONE, "registered"),
        LinkState::Known(InvitationState::Expired) => (StatusCode::GONE, "expired"),
        LinkState::Known(InvitationState::Withdrawn) => (StatusCode::GONE, "withdrawn"),
        LinkState::Known(InvitationState::Replaced) => (StatusCode::GONE, "replaced"),
    };
    Ok(reply::page(status, pages::enroll(&world.practice().name, state)))
}

pub(super) fn mailbox_page(_: &Call<'_>, world: &mut World) -> Reply {
    Ok(reply::page(StatusCode::OK, pages::mailbox(&world.practice().name, world.mails())))
}

pub(super) fn mailbox(call: &Call<'_>, world: &mut World) -> Reply {
    let query = call.query();
    let (to, kind) = (query.get("to"), query.get("kind"));
    let wanted = |mail: &&Mail| {
        to.is_none_or(|to| mail.to == to) && kind.is_none_or(|kind| mail.kind.as_str() == kind)
    };
    let mails = world.mails().iter().filter(wanted).collect();
    Ok(reply::json(StatusCode::OK, &Mailbox { mails }))
}

pub(super) fn register(call: &Call<'_>, world: &mut World) -> Reply {
    call.check_core_version(world)?;
    let enrollment = enrollment(&call.json()?)?;
    let (login_id, code) = world.enroll(enrollment, call.now).map_err(refusal)?;
    let body = Registered { login_id: &login_id, code: &code, iss: world.issuer() };
    Ok(reply::json(StatusCode::CREATED, &body))
}

fn enrollment(body: &Value) -> Result<Enrollment, Problem> {
    let wrong = |field| Problem::malformed().field(field);
    let text = |field| body.get(field).and_then(Value::as_str).ok_or(wrong(field));
    let app = App::from_id(text("client_id")?).ok_or(wrong("client_id"))?;
    let redirect_uri = text("redirect_uri")?;
    if !app.accepts_redirect(redirect_uri) {
        return Err(wrong("redirect_uri"));
    }
    let challenge = text("code_challenge")?;
    if !secrets::is_challenge(challenge) {
        return Err(wrong("code_challenge"));
    }
    if text("code_challenge_method")? != "S256" {
        return Err(wrong("code_challenge_method"));
    }
    Ok(Enrollment {
        token: text("token")?.to_owned(),
        last_name: text("last_name")?.to_owned(),
        date_of_birth: times::date(text("date_of_birth")?).ok_or(wrong("date_of_birth"))?,
        password: text("password")?.to_owned(),
        grant: Grant {
            app,
            redirect_uri: redirect_uri.to_owned(),
            challenge: challenge.to_owned(),
            offline: true,
        },
        install: ids::parse(text("install_id")?).ok_or(wrong("install_id"))?,
    })
}

fn refusal(refusal: EnrollmentRefusal) -> Problem {
    let gone = |code| Problem::new(StatusCode::GONE, code);
    match refusal {
        EnrollmentRefusal::Ended(InvitationState::Expired) => gone("invitation_expired"),
        EnrollmentRefusal::Ended(InvitationState::Registered) => gone("invitation_used"),
        EnrollmentRefusal::Ended(InvitationState::Withdrawn) => gone("invitation_withdrawn"),
        EnrollmentRefusal::Ended(InvitationState::Replaced) => gone("invitation_replaced"),
        EnrollmentRefusal::Ended(InvitationState::Sent) | EnrollmentRefusal::Refused => {
            Problem::new(StatusCode::FORBIDDEN, "registration_refused")
        }
        EnrollmentRefusal::Locked(remaining) => {
            let locked = Problem::new(StatusCode::TOO_MANY_REQUESTS, "registration_locked");
            locked.retry_after(whole_seconds(remaining))
        }
        EnrollmentRefusal::Password(why) => {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, why.code()).field("password")
        }
    }
}
