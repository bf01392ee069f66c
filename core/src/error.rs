//! Errors as kinds with a stable code. Words for people belong to the shell; nothing here holds
//! text of the server, of SQL or of the client.

use std::fmt;

/// What a verb can answer instead of its result. Every kind carries a [`Reason`] whose
/// [`code`](Reason::code) is stable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, uniffi::Error)]
pub enum PortalError {
    /// The practice could not be reached, or what answered was not the practice. Nothing was lost;
    /// the same call may work later.
    #[error("offline: {reason}")]
    Offline {
        /// Why not.
        reason: Reason,
    },
    /// Nobody is signed in, or the session ended. Drafts and the outbox are kept unless the reason
    /// says that the practice withdrew the access.
    #[error("signed out: {reason}")]
    SignedOut {
        /// Why not.
        reason: Reason,
    },
    /// The records are locked: unlock with the device's key first.
    #[error("locked: {reason}")]
    Locked {
        /// Why.
        reason: Reason,
    },
    /// A rule says no. Trying again without changing anything will not help.
    #[error("refused: {reason}")]
    Refused {
        /// Which rule.
        reason: Reason,
        /// The input that is to blame, when one is.
        field: Option<String>,
    },
    /// Somebody else changed the same thing first.
    #[error("conflict: {reason}")]
    Conflict {
        /// What collided.
        reason: Reason,
    },
    /// There is no such thing (any more).
    #[error("not found: {reason}")]
    NotFound {
        /// What is missing.
        reason: Reason,
    },
    /// The device's storage or key store failed.
    #[error("storage: {reason}")]
    Storage {
        /// How.
        reason: Reason,
    },
    /// Our mistake. What was done before is safe.
    #[error("bug: {reason}")]
    Bug {
        /// Where it showed.
        reason: Reason,
    },
}

impl PortalError {
    /// The reason, whichever the kind.
    pub fn reason(&self) -> &Reason {
        match self {
            Self::Offline { reason }
            | Self::SignedOut { reason }
            | Self::Locked { reason }
            | Self::Refused { reason, .. }
            | Self::Conflict { reason }
            | Self::NotFound { reason }
            | Self::Storage { reason }
            | Self::Bug { reason } => reason,
        }
    }

    pub(crate) fn offline(reason: Reason) -> Self {
        Self::Offline { reason }
    }

    pub(crate) fn signed_out(reason: Reason) -> Self {
        Self::SignedOut { reason }
    }

    pub(crate) fn locked(reason: Reason) -> Self {
        Self::Locked { reason }
    }

    pub(crate) fn refused(reason: Reason) -> Self {
        Self::Refused { reason, field: None }
    }

    pub(crate) fn refused_field(reason: Reason, field: &str) -> Self {
        Self::Refused { reason, field: Some(field.to_owned()) }
    }

    pub(crate) fn not_found(reason: Reason) -> Self {
        Self::NotFound { reason }
    }

    pub(crate) fn storage(reason: Reason) -> Self {
        Self::Storage { reason }
    }

    pub(crate) fn bug(reason: Reason) -> Self {
        Self::Bug { reason }
    }
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident = $code:literal,)+) => {
        /// Why. Each reason has a stable code, as which it prints; a code that this version does not know arrives as
        /// `Other` and is to be shown as "the practice could not do this".
        #[derive(Clone, Debug, PartialEq, Eq, uniffi::Enum)]
        #[uniffi::export(Display)]
        pub enum Reason {
            $($(#[doc = $doc])+ $variant,)+
            /// A code of a newer server, already checked to be lower-case letters, digits and `_`.
            Other {
                /// The code.
                code: String,
            },
        }

        impl Reason {
            /// The stable code.
            pub fn code(&self) -> &str {
                match self {
                    $(Self::$variant => $code,)+
                    Self::Other { code } => code,
                }
            }

            /// The reason of a code; unknown ones survive as `Other`, and text that is no code at
            /// all becomes [`Reason::BadAnswer`].
            pub fn from_code(code: &str) -> Self {
                match code {
                    $($code => Self::$variant,)+
                    other if is_code(other) => Self::Other { code: other.to_owned() },
                    _ => Self::BadAnswer,
                }
            }

            /// Every reason that this version knows, for snapshots and for shells' word lists.
            pub fn all() -> Vec<Self> {
                vec![$(Self::$variant),+]
            }
        }
    };
}

reasons! {
    // Offline
    /// No connection could be made.
    NoConnection = "no_connection",
    /// The answer took too long.
    TimedOut = "timed_out",
    /// The connection ended in the middle of an answer.
    ConnectionLost = "connection_lost",
    /// The practice's server answered with an error of its own.
    ServerError = "server_error",
    /// The practice asks to wait (429 or 503).
    Busy = "busy",
    /// What answered is not the practice's portal (a hotel's sign-in page, say) or is broken.
    BadAnswer = "bad_answer",
    /// The answer is larger than any that the practice may send.
    AnswerTooLarge = "answer_too_large",
    /// The server sent a redirect, which the portal never follows.
    Redirected = "redirected",
    /// The certificate has expired or is not yet valid.
    CertificateExpired = "certificate_expired",
    /// The certificate is not signed by an authority that this practice uses.
    CertificateUnknownAuthority = "certificate_unknown_authority",
    /// The certificate is for another host.
    CertificateWrongHost = "certificate_wrong_host",
    /// The key is none of those that this practice announced.
    CertificateWrongPin = "certificate_wrong_pin",
    /// TLS failed in another way.
    TlsFailed = "tls_failed",
    /// Plain HTTP, or an address that is not the practice's.
    AddressNotAllowed = "address_not_allowed",
    // Session
    /// Nobody has signed in on this device.
    NotSignedIn = "not_signed_in",
    /// The session ended: sign in again, everything typed is still there.
    SessionEnded = "session_ended",
    /// The practice withdrew the access; the records on this device are destroyed.
    AccessRevoked = "access_revoked",
    /// The practice asks for a newer version of the app.
    UpdateRequired = "update_required",
    /// Locked by the client or by the app going to the background.
    LockedNow = "locked_now",
    /// Locked after a time without a touch.
    LockedIdle = "locked_idle",
    /// The device's key store did not hand out the key (cancelled or refused).
    VaultRefused = "vault_refused",
    /// The device's key is gone (a new fingerprint was enrolled, say): sign in again.
    VaultKeyGone = "vault_key_gone",
    /// The device's key store failed.
    VaultFailed = "vault_failed",
    /// The key store handed out a key that is not this account's.
    WrongKey = "wrong_key",
    // Sign-in
    /// No sign-in is under way (any more): begin again.
    NoPendingSignIn = "no_pending_sign_in",
    /// The address is not the one that sign-in returns to.
    RedirectWrongAddress = "redirect_wrong_address",
    /// The address is not well-formed.
    RedirectMalformed = "redirect_malformed",
    /// A parameter appears twice.
    RedirectDuplicate = "redirect_duplicate",
    /// The address carries a fragment.
    RedirectFragment = "redirect_fragment",
    /// A required parameter is missing.
    RedirectIncomplete = "redirect_incomplete",
    /// Both a code and an error.
    RedirectAmbiguous = "redirect_ambiguous",
    /// The answer belongs to another sign-in.
    StateMismatch = "state_mismatch",
    /// The answer comes from another issuer.
    IssuerMismatch = "issuer_mismatch",
    /// The client, or the practice's server, ended the sign-in.
    SignInDenied = "sign_in_denied",
    /// The code was refused: begin again.
    CodeRefused = "code_refused",
    // Registration
    /// The link is not an invitation of this practice.
    InvitationMalformed = "invitation_malformed",
    /// The invitation is older than 7 days: ask the practice to resend it.
    InvitationExpired = "invitation_expired",
    /// The invitation was used: sign in instead.
    InvitationUsed = "invitation_used",
    /// The practice withdrew the invitation.
    InvitationWithdrawn = "invitation_withdrawn",
    /// A newer invitation was sent: use that one.
    InvitationReplaced = "invitation_replaced",
    /// Link, last name and date of birth do not belong together.
    RegistrationRefused = "registration_refused",
    /// Too many tries: wait half an hour or ask the practice.
    RegistrationLocked = "registration_locked",
    /// Under the minimum length.
    PasswordTooShort = "password_too_short",
    /// Over the maximum length.
    PasswordTooLong = "password_too_long",
    /// Everybody's password.
    PasswordTooCommon = "password_too_common",
    /// It contains the login.
    PasswordContainsLogin = "password_contains_login",
    // Input and rules
    /// Not of the form that the documentation gives.
    Malformed = "malformed",
    /// The text is empty.
    BodyEmpty = "body_empty",
    /// The text is longer than the practice accepts.
    BodyTooLong = "body_too_long",
    /// The subject is empty.
    SubjectEmpty = "subject_empty",
    /// The subject is longer than 200 characters.
    SubjectTooLong = "subject_too_long",
    /// No such person at the practice.
    RecipientUnknown = "recipient_unknown",
    /// This person does not take messages now.
    RecipientInactive = "recipient_inactive",
    /// Nobody is assigned to this route.
    RouteEmpty = "route_empty",
    /// The practice does not let clients start conversations.
    ThreadsDisabled = "threads_disabled",
    /// The conversation is closed.
    ThreadClosed = "thread_closed",
    /// No such conversation (any more).
    ThreadUnknown = "thread_unknown",
    /// The id is taken by something else.
    IdTaken = "id_taken",
    /// The server does not know this operation.
    OpUnknown = "op_unknown",
    /// This entry of the outbox is on its way: its outcome is not known yet.
    OnItsWay = "on_its_way",
    /// Its time was over before it could be sent; it was not sent.
    DeadlinePassed = "deadline_passed",
    /// What it was about changed before it could be sent; it was not sent.
    ChangedMeanwhile = "changed_meanwhile",
    /// No such entry of the outbox (any more).
    EntryUnknown = "entry_unknown",
    /// Unsent entries would be lost: send or discard them first, or sign out with `discard`.
    UnsentWork = "unsent_work",
    // Configuration
    /// The configuration cannot be used.
    BadConfiguration = "bad_configuration",
    /// The development key store in a release build.
    SoftVaultRefused = "soft_vault_refused",
    // Storage
    /// The disk is full.
    DiskFull = "disk_full",
    /// The file cannot be read or written.
    FileUnavailable = "file_unavailable",
    /// The file is damaged.
    Damaged = "damaged",
    /// The file was written by a newer version of the app.
    NewerVersion = "newer_version",
    /// The store is suspended: call `resume`.
    Suspended = "suspended",
    /// Another process uses the account's file just now.
    InUse = "in_use",
    // Ours
    /// A part of the core panicked; it was contained.
    Panicked = "panicked",
    /// A state that cannot be.
    Impossible = "impossible",
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl serde::Serialize for Reason {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

fn is_code(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_round_trip() {
        let all = Reason::all();
        let codes: std::collections::BTreeSet<_> = all.iter().map(Reason::code).collect();
        assert_eq!(codes.len(), all.len());
        assert!(
            all.iter().all(|reason| Reason::from_code(reason.code()) == *reason && is_code(reason.code()))
        );
    }

    #[test]
    fn an_unknown_code_survives_and_text_does_not() {
        assert_eq!(Reason::from_code("tea_time").code(), "tea_time");
        assert_eq!(Reason::from_code("Renée has PTSD").code(), "bad_answer");
        assert_eq!(Reason::from_code(&"x".repeat(65)).code(), "bad_answer");
    }
}
