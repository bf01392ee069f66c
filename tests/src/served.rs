//! The reference practice with the demo's people on a real TLS socket of this machine.

use crate::phone::Scratch;
use portal_core::PortalConfig;
use portal_core::net::PinSet;
use portal_server_mock::serve::{self, Options, Running, ServeError};
use portal_server_mock::{Setup, demo};

/// Starts one with so many messages for its main client; it ends with what this returns.
///
/// # Errors
/// When no socket or certificate can be had.
pub fn practice(seed: u64, messages: usize) -> Result<Running, ServeError> {
    serve::start(Options::default(), |issuer| {
        let (issuer, staff_key) = (issuer.to_owned(), "staff".to_owned());
        let setup = Setup { seed, issuer, password_iterations: 10, staff_key };
        demo::build(setup, messages, chrono::Utc::now())
    })
}

/// What a phone with its files at this place is told of it: its authority and both of its keys.
pub fn config(practice: &Running, place: &Scratch) -> PortalConfig {
    let keys = [practice.leaf_spki_sha256(), practice.backup_spki_sha256()];
    PortalConfig {
        practice_url: practice.base_url().to_owned(),
        client_id: "org.portal.phone".to_owned(),
        redirect_uri: "org.portal.phone:/signed-in".to_owned(),
        roots_pem: practice.ca_pem().unwrap_or_default().to_owned(),
        pins: vec![PinSet {
            spki_sha256: keys.into_iter().flatten().map(str::to_owned).collect(),
            expires_at: None,
        }],
        data_dir: place.path().join("data").to_string_lossy().into_owned(),
        allow_loopback_http: false,
    }
}
