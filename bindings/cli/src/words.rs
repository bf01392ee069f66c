//! What every reason code means, in words, and what to do next. The core has codes only; these are
//! the words of this shell. A test finds a code without words.

/// A reason in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Words {
    /// What happened, one sentence.
    pub(crate) said: &'static str,
    /// What to do next, one sentence.
    pub(crate) next: &'static str,
}

/// What is said of a code that this version does not know.
const UNKNOWN: Words =
    Words { said: "The practice could not do this.", next: "Try again later, or call the practice." };

/// The words of a reason code.
pub(crate) fn of(code: &str) -> Words {
    let known = TABLE.iter().find(|(known, ..)| *known == code);
    known.map_or(UNKNOWN, |&(_, said, next)| Words { said, next })
}

const LATER: &str = "Nothing is lost: try again later.";
const CHECK_PRACTICE: &str = "Nothing was sent. Check the file of --practice, or ask the practice.";
const BEGIN_AGAIN: &str = "Begin again: portal sign-in";
const REPORT: &str = "What you did before is safe. Please report this code.";

/// Code, what happened, what to do next.
const TABLE: &[(&str, &str, &str)] = &[
    // Offline
    ("no_connection", "The practice cannot be reached.", LATER),
    ("timed_out", "The practice took too long to answer.", LATER),
    ("connection_lost", "The connection broke in the middle of an answer.", LATER),
    ("server_error", "The practice's server has a problem of its own.", LATER),
    ("busy", "The practice's server is busy and asks to wait.", "Try again in a minute."),
    (
        "bad_answer",
        "What answered is not the practice's portal.",
        "A network that asks you to sign in first may be in the way: open a web page, then try again.",
    ),
    (
        "answer_too_large",
        "The answer was larger than any that a practice may send.",
        "Please tell the practice.",
    ),
    ("redirected", "The server pointed elsewhere, which the portal never follows.", CHECK_PRACTICE),
    (
        "certificate_expired",
        "The certificate of the practice's server has expired, or this machine's clock is wrong.",
        "Nothing was sent. Check the clock, then ask the practice.",
    ),
    (
        "certificate_unknown_authority",
        "The server's certificate is not signed by an authority of this practice.",
        CHECK_PRACTICE,
    ),
    ("certificate_wrong_host", "The server's certificate is for another host.", CHECK_PRACTICE),
    (
        "certificate_wrong_pin",
        "The server's key is none of those that this practice announced.",
        CHECK_PRACTICE,
    ),
    ("tls_failed", "No secure connection could be made.", CHECK_PRACTICE),
    ("address_not_allowed", "The address is not the practice's, or is not https.", CHECK_PRACTICE),
    // Session
    (
        "not_signed_in",
        "Nobody is signed in here.",
        "Sign in: portal sign-in (or portal register with an invitation)",
    ),
    (
        "session_ended",
        "The session has ended; everything that you wrote is still here.",
        "Sign in again: portal sign-in",
    ),
    (
        "access_revoked",
        "The practice has withdrawn the access, and the records on this device are destroyed.",
        "Call the practice if you did not expect that.",
    ),
    (
        "update_required",
        "The practice asks for a newer version of this program.",
        "Update it, then try again.",
    ),
    ("locked_now", "The records are locked.", "Unlock them: portal unlock"),
    ("locked_idle", "The records locked themselves after a while without use.", "Unlock them: portal unlock"),
    ("vault_refused", "The key store did not hand out the key.", "Try again: portal unlock"),
    (
        "vault_key_gone",
        "The key of these records is gone, and with it the records here.",
        "Sign in again: portal sign-in",
    ),
    (
        "vault_failed",
        "The key store failed.",
        "Look at the folder of --data: is it readable, is the disk full?",
    ),
    (
        "wrong_key",
        "The key store handed out a key that does not fit.",
        "Check --data: do the keys belong to these records?",
    ),
    // Sign-in
    ("no_pending_sign_in", "No sign-in is under way.", BEGIN_AGAIN),
    ("redirect_wrong_address", "This is not the address to which the sign-in returns.", BEGIN_AGAIN),
    ("redirect_malformed", "This is not a whole address.", "Copy it once more, from http to its end."),
    ("redirect_duplicate", "The address says something twice, which no practice does.", BEGIN_AGAIN),
    ("redirect_fragment", "The address has a part behind a #, which no practice sends.", BEGIN_AGAIN),
    ("redirect_incomplete", "The address is not complete.", "Copy it once more, from http to its end."),
    ("redirect_ambiguous", "The address says both yes and no.", BEGIN_AGAIN),
    ("state_mismatch", "The answer belongs to another sign-in.", "Use the newest link: portal sign-in"),
    ("issuer_mismatch", "The answer comes from somebody else than this practice.", BEGIN_AGAIN),
    ("sign_in_denied", "The sign-in was ended on the practice's page.", BEGIN_AGAIN),
    ("code_refused", "The practice did not accept the answer any more.", BEGIN_AGAIN),
    // Registration
    (
        "invitation_malformed",
        "This link is not an invitation of this practice.",
        "Copy the whole link from the practice's mail.",
    ),
    ("invitation_expired", "The invitation is older than 7 days.", "Ask the practice to send it again."),
    ("invitation_used", "The invitation has been used.", "Sign in instead: portal sign-in"),
    (
        "invitation_withdrawn",
        "The practice has withdrawn the invitation.",
        "Call the practice if you did not expect that.",
    ),
    ("invitation_replaced", "There is a newer invitation.", "Use the link of the newest mail."),
    (
        "registration_refused",
        "The link, the last name and the date of birth do not belong together.",
        "Write them as the practice has them; after 5 tries the link is locked for half an hour.",
    ),
    ("registration_locked", "Too many tries with this link.", "Wait half an hour, or ask the practice."),
    (
        "password_too_short",
        "The password is too short.",
        "Choose one of 12 characters or more: a few words do well.",
    ),
    ("password_too_long", "The password is too long.", "Choose one of at most 128 characters."),
    (
        "password_too_common",
        "The password is one that everybody tries first.",
        "Choose another: a few words do well.",
    ),
    ("password_contains_login", "The password contains your login.", "Choose another: a few words do well."),
    // Input and rules
    ("malformed", "This is not written as it has to be.", "portal help tells the form of each argument."),
    ("body_empty", "The text is empty.", "Write something first."),
    ("body_too_long", "The text is longer than the practice accepts.", "Shorten it, or send it in parts."),
    ("subject_empty", "The subject is empty.", "Give one with --subject."),
    ("subject_too_long", "The subject is longer than 200 characters.", "Shorten it."),
    ("recipient_unknown", "There is no such person at the practice.", "See who is there: portal recipients"),
    (
        "recipient_inactive",
        "This person does not take messages now.",
        "Write to somebody else: portal recipients",
    ),
    (
        "route_empty",
        "Nobody at the practice is assigned to this now.",
        "Write to somebody else: portal recipients",
    ),
    ("threads_disabled", "This practice does not let clients start conversations.", "Call the practice."),
    ("thread_closed", "The practice has closed this conversation.", "Start a new one: portal send --to"),
    ("thread_unknown", "There is no such conversation (any more).", "See which there are: portal threads"),
    ("id_taken", "The practice has something else under this id.", "Write it once more as a new message."),
    (
        "op_unknown",
        "The practice's server does not know how to do this yet.",
        "Try again after its next update, or call.",
    ),
    (
        "on_its_way",
        "This is on its way, and what became of it is not known yet.",
        "Try again after the next portal sync.",
    ),
    (
        "deadline_passed",
        "Its time was over before it could be sent, so it was not sent.",
        "Look at it (portal outbox) and decide anew, or call the practice.",
    ),
    (
        "changed_meanwhile",
        "What it was about has changed in the meantime, so it was not sent.",
        "Look at it (portal outbox) and decide anew.",
    ),
    ("entry_unknown", "There is no such entry in the outbox (any more).", "See what waits: portal outbox"),
    (
        "unsent_work",
        "Something that you wrote has not been sent, and would be lost.",
        "Send it (portal sync) or look at it (portal outbox), or give it up: portal sign-out --discard",
    ),
    // Configuration
    ("bad_configuration", "The settings for this practice cannot be used.", "Check the file of --practice."),
    (
        "soft_vault_refused",
        "The key store for development protects nothing, so a release build refuses it.",
        "If you know what that means: add --soft-vault soft-vault-without-hardware",
    ),
    // Storage
    ("disk_full", "The disk is full.", "Nothing that was there is lost. Make room, then try again."),
    ("file_unavailable", "A file cannot be read or written.", "Look at the folder of --data."),
    ("damaged", "The file with the records is damaged; it was put aside.", "Sign in again: portal sign-in"),
    ("newer_version", "The records were written by a newer version of this program.", "Update this program."),
    ("suspended", "The records are put to sleep.", "Try again."),
    ("in_use", "Another program is using these records just now.", "Wait for it to end, then try again."),
    // Ours
    ("panicked", "A part of the program failed; the rest is unharmed.", REPORT),
    ("impossible", "The program is in a state that cannot be.", REPORT),
];

#[cfg(test)]
mod tests {
    use super::*;
    use portal_core::error::Reason;

    #[test]
    fn every_reason_has_words_and_no_words_are_left_over() {
        let reasons = Reason::all();
        let missing: Vec<_> = reasons.iter().map(Reason::code).filter(|code| of(code) == UNKNOWN).collect();
        assert_eq!(missing, Vec::<&str>::new(), "these reasons have no words");
        let known = |code: &str| reasons.iter().any(|reason| reason.code() == code);
        let left_over: Vec<_> = TABLE.iter().map(|(code, ..)| *code).filter(|code| !known(code)).collect();
        assert_eq!(left_over, Vec::<&str>::new(), "these words are for no reason");
        assert_eq!(TABLE.len(), reasons.len(), "a code is there twice");
    }

    #[test]
    fn a_code_of_a_newer_practice_gets_a_general_sentence() {
        assert_eq!(of("tea_time"), UNKNOWN);
    }

    #[test]
    fn words_are_sentences() {
        for (code, said, next) in TABLE {
            assert!(said.ends_with('.') && said.starts_with(char::is_uppercase), "{code}: {said}");
            assert!(next.starts_with(char::is_uppercase) || next.starts_with("portal "), "{code}: {next}");
        }
    }
}
