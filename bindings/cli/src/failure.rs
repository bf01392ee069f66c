//! What can go wrong in a command, with its words and its exit code.

use crate::out::Out;
use crate::words;
use portal_core::error::PortalError;
use portal_server_mock::serve::ServeError;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The core said no.
    #[error(transparent)]
    Portal(#[from] PortalError),
    /// The reference practice does not start.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// No practice is known.
    #[error("it is not known which practice is meant: there is no file {0}")]
    NoPractice(PathBuf),
    /// The file with the practice's address is not one.
    #[error("{0} does not say how to reach a practice")]
    BadPractice(PathBuf),
    /// A file of this program's own.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// No place for the records is known.
    #[error("there is no home folder to keep the records in")]
    NoHome,
    /// What was typed or piped in could not be read.
    #[error("nothing could be read from the {0}")]
    NoInput(&'static str),
    /// More than one thing, or none, ends in the given letters.
    #[error("{0}")]
    Id(&'static str),
    /// The sign-in page did not come back in time.
    #[error("the sign-in page did not come back")]
    NoRedirect(#[source] std::io::Error),
    /// The system refuses threads.
    #[error("the system gives this program no threads")]
    NoThreads,
    /// The system refuses randomness.
    #[error("the system gives no random numbers")]
    NoRandomness,
    /// A practice for trying out that others could reach.
    #[error("{0} can be reached from other machines")]
    NotLoopback(std::net::SocketAddr),
    /// `--to` names nobody, or more than one.
    #[error("{0}")]
    Recipient(&'static str),
    /// A question that was answered with no.
    #[error("nothing was done")]
    NotConfirmed,
    /// The demo met something that is not as told.
    #[error("{0}")]
    NotAsTold(String),
}

impl Failure {
    /// For a closure of `map_err`.
    pub(crate) fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }

    /// The exit code; the list is in the help text.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Portal(error) => match error {
                PortalError::Offline { .. } => 3,
                PortalError::SignedOut { .. } => 4,
                PortalError::Locked { .. } => 5,
                PortalError::Refused { .. } => 6,
                PortalError::Conflict { .. } => 7,
                PortalError::NotFound { .. } => 8,
                PortalError::Storage { .. } => 9,
                PortalError::Bug { .. } => 10,
            },
            Self::Id(_) | Self::Recipient(_) => 8,
            _ => 1,
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Portal(error) => match error {
                PortalError::Offline { .. } => "offline",
                PortalError::SignedOut { .. } => "signed_out",
                PortalError::Locked { .. } => "locked",
                PortalError::Refused { .. } => "refused",
                PortalError::Conflict { .. } => "conflict",
                PortalError::NotFound { .. } => "not_found",
                PortalError::Storage { .. } => "storage",
                PortalError::Bug { .. } => "bug",
            },
            Self::Id(_) | Self::Recipient(_) => "not_found",
            _ => "program",
        }
    }

    /// Says it on standard error: what happened, what to do next, and the code to search for.
    pub(crate) fn tell(&self, out: Out) {
        let (said, next) = self.words();
        let (reason, field) = match self {
            Self::Portal(error) => (Some(error.reason().code()), field(error)),
            _ => (None, None),
        };
        let value = json!({"error": {
            "kind": self.kind(), "reason": reason, "field": field, "said": said, "next": next,
        }});
        if out.fault_as_json(&value) {
            return;
        }
        let mut text = said;
        if let Some(field) = field {
            text.push_str(&format!(" ({field})"));
        }
        if let Some(next) = next {
            text.push_str(&format!("\n{next}"));
        }
        if let Some(reason) = reason {
            text.push_str(&format!("\n[{}: {reason}]", self.kind()));
        }
        out.fault(&text);
    }

    fn words(&self) -> (String, Option<String>) {
        if let Self::Portal(error) = self {
            let words = words::of(error.reason().code());
            return (words.said.to_owned(), Some(words.next.to_owned()));
        }
        let next = match self {
            Self::NoPractice(_) => {
                "Start one for trying out (portal serve), or name a file with --practice FILE."
            }
            Self::BadPractice(_) => "portal serve writes such a file; portal serve --help shows its form.",
            Self::File { .. } => "Check that the folder is there and yours, or choose another with --data.",
            Self::NoHome => "Choose a folder with --data.",
            Self::NoInput(_) => "Type the text, or pipe it in.",
            Self::Id(_) => {
                "portal threads and portal outbox show the ids; the last letters are enough if they are unique."
            }
            Self::NoRedirect(_) => {
                "Begin again (portal sign-in), or use portal sign-in --paste where the browser is on another machine."
            }
            Self::NoThreads | Self::NoRandomness => "Close some programs, then try again.",
            Self::NotLoopback(_) => {
                "Choose a loopback address such as 127.0.0.1:8443, or run portal-server-mock."
            }
            Self::Recipient(_) => "See whom you can write to: portal recipients",
            Self::NotConfirmed => "Say --yes to do it without a question.",
            Self::NotAsTold(_) => "This is a defect: please report the story above.",
            Self::Serve(_) | Self::Portal(_) => return (sentence(self), None),
        };
        (sentence(self), Some(next.to_owned()))
    }
}

fn field(error: &PortalError) -> Option<&str> {
    match error {
        PortalError::Refused { field, .. } => field.as_deref(),
        _ => None,
    }
}

fn sentence(failure: &Failure) -> String {
    let text = failure.to_string();
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use portal_core::error::Reason;

    #[test]
    fn every_kind_has_its_exit_code() {
        let reason = Reason::Impossible;
        let kinds = [
            PortalError::Offline { reason: reason.clone() },
            PortalError::SignedOut { reason: reason.clone() },
            PortalError::Locked { reason: reason.clone() },
            PortalError::Refused { reason: reason.clone(), field: None },
            PortalError::Conflict { reason: reason.clone() },
            PortalError::NotFound { reason: reason.clone() },
            PortalError::Storage { reason: reason.clone() },
            PortalError::Bug { reason },
        ];
        let codes: Vec<u8> = kinds.into_iter().map(|kind| Failure::from(kind).code()).collect();
        assert_eq!(codes, [3, 4, 5, 6, 7, 8, 9, 10]);
    }

    #[test]
    fn own_faults_are_sentences_with_a_next_step() {
        let (said, next) = Failure::NoPractice("practice.json".into()).words();
        assert_eq!(said, "It is not known which practice is meant: there is no file practice.json.");
        assert!(next.is_some_and(|next| next.contains("portal serve")));
    }
}
