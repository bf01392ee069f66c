//! The authorization server: authorization code with PKCE (RFC 6749, 7636), rotation, RFC 7009,
//! discovery (RFC 8414). The person signs in on its pages in the system browser (RFC 8252).
//!
//! An error of the `oauth2` crate is never formatted: one of its kinds holds the raw token answer.

use super::Config;
use super::api::{self, Call, Failure};
use super::install::{Endpoints, PendingSignIn, Tombstone};
use crate::error::{PortalError, Reason};
use crate::net::problem::{Class, classify};
use crate::ports::{Entropy, Exchange, Ports, TransportError};
use crate::values::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use oauth2::basic::{BasicRevocationErrorResponse, BasicTokenIntrospectionResponse, BasicTokenType};
use oauth2::{
    AuthUrl, AuthorizationCode, ClientId, CsrfToken, EndpointNotSet, EndpointSet, HttpRequest, HttpResponse,
    PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RefreshToken, RequestTokenError, RevocationUrl, Scope,
    StandardRevocableToken, StandardTokenResponse, TokenResponse, TokenUrl,
};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;
use url::Url;

/// A token answer is small; one that is not is not a token answer.
const MAX_BODY: usize = 64 * 1024;
const TIMEOUT: Duration = Duration::from_secs(20);

/// What a person gets at a sign-in.
#[derive(Clone)]
pub(crate) struct Tokens {
    pub(crate) subject: String,
    pub(crate) login_id: String,
    pub(crate) access: Secret<String>,
    pub(crate) refresh: Secret<String>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Extra {
    sub: String,
    login_id: String,
}

impl fmt::Debug for Extra {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Extra { .. }")
    }
}

impl oauth2::ExtraTokenFields for Extra {}

/// RFC 6749 §5.2 with the practice's own `code` beside it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Refusal {
    error: String,
    #[serde(default)]
    code: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("refused")
    }
}

impl oauth2::ErrorResponse for Refusal {}

type Client = oauth2::Client<
    Refusal,
    StandardTokenResponse<Extra, BasicTokenType>,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
    EndpointSet,
>;

fn client(config: &Config, endpoints: &Endpoints) -> Result<Client, PortalError> {
    let bad = |_| PortalError::offline(Reason::BadAnswer);
    Ok(oauth2::Client::new(ClientId::new(config.client_id.clone()))
        .set_auth_uri(AuthUrl::new(endpoints.authorization.clone()).map_err(bad)?)
        .set_token_uri(TokenUrl::new(endpoints.token.clone()).map_err(bad)?)
        .set_revocation_url(RevocationUrl::new(endpoints.revocation.clone()).map_err(bad)?)
        .set_redirect_uri(RedirectUrl::new(config.redirect_uri.clone()).map_err(bad)?))
}

/// 256 random bits as the wire likes them: `state`, and the PKCE verifier (43 characters).
pub(crate) fn random_token(entropy: &dyn Entropy) -> zeroize::Zeroizing<String> {
    let mut bytes = zeroize::Zeroizing::new([0u8; 32]);
    entropy.fill(bytes.as_mut());
    URL_SAFE_NO_PAD.encode(bytes.as_ref()).into()
}

/// The S256 challenge of a verifier.
pub(crate) fn challenge(verifier: &str) -> String {
    PkceCodeChallenge::from_code_verifier_sha256(&PkceCodeVerifier::new(verifier.to_owned()))
        .as_str()
        .to_owned()
}

/// Reads the server's metadata. Its issuer must be the configured one to the byte, its endpoints of
/// the practice's origin.
pub(crate) async fn discover(ports: &Ports, config: &Config) -> Result<Endpoints, PortalError> {
    #[derive(Deserialize)]
    struct Metadata {
        issuer: String,
        authorization_endpoint: String,
        token_endpoint: String,
        revocation_endpoint: String,
        code_challenge_methods_supported: Vec<String>,
        #[serde(default)]
        authorization_response_iss_parameter_supported: bool,
    }
    let url = config.url("/.well-known/oauth-authorization-server")?;
    let response = api::send(ports, Call { method: Method::GET, url, token: None, json: None }).await?;
    let metadata: Metadata = api::parse(&response)?;
    let usable = metadata.issuer == config.issuer
        && metadata.authorization_response_iss_parameter_supported
        && metadata.code_challenge_methods_supported.iter().any(|method| method == "S256")
        && [&metadata.authorization_endpoint, &metadata.token_endpoint, &metadata.revocation_endpoint]
            .iter()
            .all(|endpoint| Url::parse(endpoint).is_ok_and(|url| url.origin() == config.practice.origin()));
    if !usable {
        return Err(PortalError::refused(Reason::IssuerMismatch));
    }
    Ok(Endpoints {
        authorization: metadata.authorization_endpoint,
        token: metadata.token_endpoint,
        revocation: metadata.revocation_endpoint,
    })
}

/// Where the system browser is sent.
pub(crate) fn authorize_url(config: &Config, pending: &PendingSignIn) -> Result<String, PortalError> {
    let verifier = PkceCodeVerifier::new(pending.verifier.to_string());
    let state = pending.state.to_string();
    let (url, _) = client(config, &pending.endpoints)?
        .authorize_url(move || CsrfToken::new(state))
        .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier))
        .add_scope(Scope::new("portal".to_owned()))
        .add_scope(Scope::new("offline_access".to_owned()))
        .url();
    Ok(url.into())
}

/// Turns a code into tokens.
pub(crate) async fn redeem(
    ports: &Ports,
    config: &Config,
    pending: PendingSignIn,
    code: &str,
) -> Result<Tokens, PortalError> {
    let answer = client(config, &pending.endpoints)?
        .exchange_code(AuthorizationCode::new(code.to_owned()))
        .set_pkce_verifier(PkceCodeVerifier::new(pending.verifier.to_string()))
        .add_extra_param("install_id", pending.install_id)
        .request_async(&|request| carry(ports.clone(), request))
        .await;
    match answer {
        Ok(answer) => tokens(&answer),
        Err(RequestTokenError::ServerResponse(refusal)) if refusal.code == "access_revoked" => {
            Err(PortalError::signed_out(Reason::AccessRevoked))
        }
        Err(RequestTokenError::ServerResponse(_)) => Err(PortalError::refused(Reason::CodeRefused)),
        Err(RequestTokenError::Request(Carried { reason, .. })) => Err(PortalError::offline(reason)),
        Err(RequestTokenError::Parse(..) | RequestTokenError::Other(_)) => {
            Err(PortalError::offline(Reason::BadAnswer))
        }
    }
}

/// Rotates the refresh token.
pub(crate) async fn refresh(
    ports: &Ports,
    config: &Config,
    endpoints: &Endpoints,
    token: &Secret<String>,
) -> Result<Tokens, Failure> {
    let answer = client(config, endpoints)
        .map_err(|_| api::bad_answer())?
        .exchange_refresh_token(&RefreshToken::new(token.expose().clone()))
        .request_async(&|request| carry(ports.clone(), request))
        .await;
    match answer {
        Ok(answer) => tokens(&answer).map_err(|_| api::bad_answer()),
        Err(RequestTokenError::ServerResponse(refusal)) if refusal.code == "access_revoked" => {
            Err(Failure::Revoked)
        }
        Err(RequestTokenError::ServerResponse(refusal)) if refusal.error == "invalid_grant" => {
            Err(Failure::Unauthorized)
        }
        Err(RequestTokenError::Request(Carried { reason, wait })) => Err(Failure::Later { reason, wait }),
        Err(_) => Err(api::bad_answer()),
    }
}

/// Tells the server that a refresh token is no longer wanted.
pub(crate) async fn revoke(ports: &Ports, config: &Config, tombstone: &Tombstone) -> Result<(), PortalError> {
    let form = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("token", &tombstone.refresh_token)
        .append_pair("client_id", &config.client_id)
        .finish();
    let request = http::Request::builder()
        .method(Method::POST)
        .uri(&tombstone.endpoint)
        .header(http::header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(form.into_bytes())
        .map_err(|_| PortalError::bug(Reason::Impossible))?;
    // RFC 7009: 200 whether or not the token was known; anything else is worth another try.
    match carry(ports.clone(), request).await {
        Ok(response) if response.status().is_success() => Ok(()),
        Ok(_) => Err(PortalError::offline(Reason::ServerError)),
        Err(Carried { reason, .. }) => Err(PortalError::offline(reason)),
    }
}

fn tokens(answer: &StandardTokenResponse<Extra, BasicTokenType>) -> Result<Tokens, PortalError> {
    let bad = || PortalError::offline(Reason::BadAnswer);
    if !matches!(answer.token_type(), BasicTokenType::Bearer) || answer.extra_fields().sub.is_empty() {
        return Err(bad());
    }
    Ok(Tokens {
        subject: answer.extra_fields().sub.clone(),
        login_id: answer.extra_fields().login_id.clone(),
        access: Secret::new(answer.access_token().secret().clone()),
        refresh: Secret::new(answer.refresh_token().ok_or_else(bad)?.secret().clone()),
    })
}

/// Why no OAuth answer came. The crate drops headers of an error answer, so "later" is read here.
#[derive(Debug, thiserror::Error)]
#[error("not answered")]
struct Carried {
    reason: Reason,
    wait: Option<Duration>,
}

impl From<TransportError> for Carried {
    fn from(error: TransportError) -> Self {
        Self { reason: error.into(), wait: None }
    }
}

async fn carry(ports: Ports, request: HttpRequest) -> Result<HttpResponse, Carried> {
    let response = ports.transport.send(Exchange { request, max_body: MAX_BODY, timeout: TIMEOUT }).await?;
    match classify(&response) {
        Class::Busy { retry_after, .. } => Err(Carried { reason: Reason::Busy, wait: retry_after }),
        Class::ServerError => Err(Carried { reason: Reason::ServerError, wait: None }),
        _ => Ok(response),
    }
}
