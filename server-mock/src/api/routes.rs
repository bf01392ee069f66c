//! Which path and method leads where.

use super::{
    input::Call,
    oauth, ops, public,
    reply::{Problem, Reply, Response},
    staff, sync,
};
use crate::World;
use chrono::{DateTime, Utc};
use http::{Method, Request, StatusCode};

type Handler = fn(&Call<'_>, &mut World) -> Reply;

/// The longest body that is looked at.
const BODY_MAX: usize = 1024 * 1024;

/// Path patterns, where `{}` is one variable part, with what answers there.
static ROUTES: [(&str, Method, Handler); 40] = [
    ("/", Method::GET, public::index),
    ("/openapi.json", Method::GET, public::openapi),
    ("/enroll/{}", Method::GET, public::enroll_page),
    ("/mailbox", Method::GET, public::mailbox_page),
    ("/mailbox.json", Method::GET, public::mailbox),
    ("/v1/practice", Method::GET, public::practice),
    ("/v1/registrations", Method::POST, public::register),
    ("/v1/sync", Method::GET, sync::sync),
    ("/v1/ops", Method::POST, ops::ops),
    ("/.well-known/oauth-authorization-server", Method::GET, oauth::metadata),
    ("/oauth/authorize", Method::GET, oauth::show_sign_in),
    ("/oauth/authorize", Method::POST, oauth::sign_in),
    ("/oauth/token", Method::POST, oauth::token),
    ("/oauth/revoke", Method::POST, oauth::revoke),
    ("/staff/clients", Method::GET, staff::clients),
    ("/staff/clients", Method::POST, staff::add_client),
    ("/staff/clients/{}/invitation", Method::POST, staff::invite),
    ("/staff/clients/{}/invitation/resend", Method::POST, staff::resend),
    ("/staff/clients/{}/invitation/withdraw", Method::POST, staff::withdraw_invitation),
    ("/staff/clients/{}/revoke", Method::POST, staff::revoke),
    ("/staff/clients/{}/reactivate", Method::POST, staff::reactivate),
    ("/staff/clients/{}/logins", Method::GET, staff::logins),
    ("/staff/clients/{}/threads", Method::GET, staff::threads),
    ("/staff/clients/{}/threads", Method::POST, staff::write_to_client),
    ("/staff/threads/{}", Method::GET, staff::thread),
    ("/staff/threads/{}/messages", Method::POST, staff::reply),
    ("/staff/threads/{}/read", Method::POST, staff::mark_read),
    ("/staff/threads/{}/close", Method::POST, staff::close),
    ("/staff/threads/{}/withdraw", Method::POST, staff::withdraw_thread),
    ("/staff/staff", Method::GET, staff::all_staff),
    ("/staff/staff", Method::POST, staff::add_staff),
    ("/staff/staff/{}/deactivate", Method::POST, staff::deactivate),
    ("/staff/routes", Method::GET, staff::routes),
    ("/staff/routes/{}", Method::PUT, staff::change_route),
    ("/staff/banner", Method::PUT, staff::set_banner),
    ("/staff/policy", Method::PUT, staff::set_policy),
    ("/staff/core-version", Method::PUT, staff::set_core_version),
    ("/staff/epoch", Method::POST, staff::bump_epoch),
    ("/staff/faults", Method::PUT, staff::set_faults),
    ("/staff/effects", Method::GET, staff::effects),
];

/// Answers a request, faults aside.
pub(super) fn respond(request: &Request<Vec<u8>>, world: &mut World, now: DateTime<Utc>) -> Response {
    answer(request, world, now).unwrap_or_else(Problem::into_response)
}

fn answer(request: &Request<Vec<u8>>, world: &mut World, now: DateTime<Utc>) -> Reply {
    if request.body().len() > BODY_MAX {
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"));
    }
    let path = request.uri().path();
    let mut call = Call { request, params: Vec::new(), now };
    if path.starts_with("/staff/") {
        // before the path is looked at: a stranger learns nothing
        staff::check_key(&call, world)?;
    }
    let mut allowed = Vec::new();
    for (pattern, method, handler) in &ROUTES {
        let Some(params) = matched(pattern, path) else { continue };
        if method == request.method() {
            call.params = params;
            return handler(&call, world);
        }
        allowed.push(method.as_str());
    }
    if allowed.is_empty() {
        Err(Problem::new(StatusCode::NOT_FOUND, "not_found"))
    } else {
        Err(Problem::wrong_method(&allowed.join(", ")))
    }
}

/// The variable parts of a path, if it is of this pattern.
fn matched<'a>(pattern: &str, path: &'a str) -> Option<Vec<&'a str>> {
    let mut params = Vec::new();
    let mut parts = path.split('/');
    for expected in pattern.split('/') {
        let part = parts.next()?;
        if expected == "{}" && !part.is_empty() {
            params.push(part);
        } else if expected != part {
            return None;
        }
    }
    parts.next().is_none().then_some(params)
}
