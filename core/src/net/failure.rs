//! From the client's error chain to one kind. Nothing of the chain is kept: it holds addresses.

use crate::ports::TransportError;
use rustls::CertificateError as Cert;
use std::error::Error;
use std::io::ErrorKind;

/// The kind of a failed exchange.
pub(super) fn of(error: &reqwest::Error) -> TransportError {
    if error.is_connect() { before_the_request(error) } else { after_the_request(error) }
}

/// Nothing was sent yet: no connection, or TLS did not come about.
fn before_the_request(error: &reqwest::Error) -> TransportError {
    if let Some(tls) = chain(error).find_map(<dyn Error>::downcast_ref::<rustls::Error>) {
        return of_tls(tls);
    }
    match innermost_io(error) {
        Some(ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
            TransportError::ConnectionLost
        }
        _ => TransportError::NoConnection,
    }
}

/// The request, or a part of it, may have arrived.
fn after_the_request(error: &reqwest::Error) -> TransportError {
    if error.is_timeout() {
        return TransportError::TimedOut;
    }
    let Some(http) = chain(error).find_map(<dyn Error>::downcast_ref::<hyper::Error>) else {
        // Not the connection's fault: a coding that could not be undone.
        return if error.is_decode() { TransportError::BadAnswer } else { TransportError::ConnectionLost };
    };
    match innermost_io(http) {
        Some(ErrorKind::InvalidData | ErrorKind::InvalidInput) => TransportError::BadAnswer,
        _ if http.is_parse() => TransportError::BadAnswer,
        _ => TransportError::ConnectionLost,
    }
}

fn of_tls(error: &rustls::Error) -> TransportError {
    let rustls::Error::InvalidCertificate(certificate) = error else {
        return TransportError::TlsFailed;
    };
    match certificate {
        Cert::Expired | Cert::ExpiredContext { .. } | Cert::NotValidYet | Cert::NotValidYetContext { .. } => {
            TransportError::CertificateExpired
        }
        Cert::UnknownIssuer => TransportError::CertificateUnknownAuthority,
        Cert::NotValidForName | Cert::NotValidForNameContext { .. } => TransportError::CertificateWrongHost,
        // Only our own verifier says so.
        Cert::ApplicationVerificationFailure => TransportError::CertificateWrongPin,
        _ => TransportError::TlsFailed,
    }
}

fn innermost_io(error: &(dyn Error + 'static)) -> Option<ErrorKind> {
    chain(error).filter_map(<dyn Error>::downcast_ref::<std::io::Error>).last().map(std::io::Error::kind)
}

/// The error and everything under it. An `io::Error` skips what it wraps when asked for its source,
/// so it is opened instead.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| match error.downcast_ref::<std::io::Error>() {
        Some(io) => io.get_ref().map(|inner| inner as &(dyn Error + 'static)),
        None => error.source(),
    })
}
