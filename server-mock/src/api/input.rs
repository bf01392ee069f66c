//! Reading what a request brings, strictly.

use super::reply::Problem;
use crate::{
    World,
    world::{Caller, TokenRefusal},
};
use chrono::{DateTime, Utc};
use http::{
    Request, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::form_urlencoded;

/// The version of the core that asks.
const CORE_VERSION: &str = "portal-core-version";

/// One request, with what its path matched.
pub(super) struct Call<'a> {
    pub(super) request: &'a Request<Vec<u8>>,
    /// The variable parts of the path, in order.
    pub(super) params: Vec<&'a str>,
    pub(super) now: DateTime<Utc>,
}

/// The fields of a form or a query, in order.
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// The value of a field.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// Whether any of these is there more than once, which OAuth forbids (RFC 6749 §3.1).
    pub(super) fn repeats_any(&self, names: &[&str]) -> bool {
        let count = |name: &str| self.0.iter().filter(|(field, _)| field == name).count();
        names.iter().any(|name| count(name) > 1)
    }
}

impl Call<'_> {
    /// The one variable part of the path.
    pub(super) fn param(&self) -> &str {
        self.params.first().copied().unwrap_or_default()
    }

    /// The body as JSON.
    pub(super) fn json(&self) -> Result<Value, Problem> {
        self.check_type("application/json")?;
        serde_json::from_slice(self.request.body()).map_err(|_| Problem::malformed())
    }

    /// The body as JSON of one form.
    pub(super) fn json_as<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        serde_json::from_value(self.json()?).map_err(|_| Problem::malformed())
    }

    /// The body as a form.
    pub(super) fn form(&self) -> Result<Fields, Problem> {
        self.check_type("application/x-www-form-urlencoded")?;
        std::str::from_utf8(self.request.body()).map_err(|_| Problem::malformed())?;
        Ok(fields(self.request.body()))
    }

    /// The query of the address.
    pub(super) fn query(&self) -> Fields {
        fields(self.request.uri().query().unwrap_or_default().as_bytes())
    }

    /// Who asks.
    pub(super) fn caller(&self, world: &World) -> Result<Caller, Problem> {
        let token = self.bearer().ok_or(Problem::unauthorized("token_unknown"))?;
        world.authenticate(token, self.now).map_err(|refusal| match refusal {
            TokenRefusal::Unknown => Problem::unauthorized("token_unknown"),
            TokenRefusal::Expired => Problem::unauthorized("token_expired"),
            TokenRefusal::AccessRevoked => Problem::new(StatusCode::FORBIDDEN, "access_revoked"),
        })
    }

    /// Refuses a core that is older than the practice asks for.
    pub(super) fn check_core_version(&self, world: &World) -> Result<(), Problem> {
        let header = self.request.headers().get(CORE_VERSION);
        let version = header.map(|value| value.to_str().unwrap_or_default());
        if world.accepts_core(version) {
            Ok(())
        } else {
            Err(Problem::new(StatusCode::UPGRADE_REQUIRED, "update_required"))
        }
    }

    /// The token of `Authorization: Bearer`.
    pub(super) fn bearer(&self) -> Option<&str> {
        let header = self.request.headers().get(AUTHORIZATION)?.to_str().ok()?;
        let (scheme, token) = header.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    }

    fn check_type(&self, expected: &str) -> Result<(), Problem> {
        let header = self.request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let essence = header.and_then(|value| value.split(';').next()).unwrap_or_default();
        if essence.trim().eq_ignore_ascii_case(expected) {
            Ok(())
        } else {
            Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_type_unsupported"))
        }
    }
}

fn fields(bytes: &[u8]) -> Fields {
    Fields(form_urlencoded::parse(bytes).into_owned().collect())
}
