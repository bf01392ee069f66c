//! The reference practice with the demo's people on a real TLS socket of this machine.

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
