//! Which new passwords are refused: length, the common ones, and those made from the login id.

use super::names::comparable_login;
use unicode_normalization::UnicodeNormalization;

/// Why a new password is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PasswordRefusal {
    /// Under 12 characters.
    TooShort,
    /// Over 128 characters.
    TooLong,
    /// Among the first that anybody tries.
    TooCommon,
    /// Holds the login id or its part before the `@`.
    ContainsLogin,
}

impl PasswordRefusal {
    /// The stable code on the wire.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::TooShort => "password_too_short",
            Self::TooLong => "password_too_long",
            Self::TooCommon => "password_too_common",
            Self::ContainsLogin => "password_contains_login",
        }
    }
}

/// A password in the form that is hashed: NFC (RFC 8265), so that every keyboard types the same one.
pub(crate) fn prepared(password: &str) -> String {
    password.nfc().collect()
}

/// Judges a new password that is [`prepared`].
pub(crate) fn check(password: &str, login_id: &str) -> Result<(), PasswordRefusal> {
    let length = password.chars().count();
    let folded = comparable_login(password);
    if length < 12 {
        Err(PasswordRefusal::TooShort)
    } else if length > 128 {
        Err(PasswordRefusal::TooLong)
    } else if is_common(&folded) {
        Err(PasswordRefusal::TooCommon)
    } else if contains_login(&folded, login_id) {
        Err(PasswordRefusal::ContainsLogin)
    } else {
        Ok(())
    }
}

fn is_common(folded: &str) -> bool {
    COMMON.contains(&folded) || is_repetition(folded) || is_run(folded)
}

/// `aaaaaaaaaaaa`, `abcabcabcabc`, `passwordpassword`: a short piece over and over.
fn is_repetition(text: &str) -> bool {
    let chars: Vec<char> = text.chars().collect();
    (1..=chars.len() / 2).any(|piece| chars.iter().zip(chars.iter().skip(piece)).all(|(a, b)| a == b))
}

/// `123456789012`, `abcdefghijkl`, `qwertyuiopas`: along the digits, the alphabet or the keyboard.
fn is_run(text: &str) -> bool {
    let reversed: String = text.chars().rev().collect();
    [text, reversed.as_str()].iter().any(|text| ROWS.iter().any(|row| row.contains(text)))
}

fn contains_login(folded: &str, login_id: &str) -> bool {
    let login = comparable_login(login_id);
    let local = login.split('@').next().unwrap_or(&login);
    // a local part of three letters would forbid half the dictionary
    folded.contains(&login) || (local.chars().count() >= 4 && folded.contains(local))
}

const ROWS: [&str; 3] = [
    "01234567890123456789012345678901234567890",
    "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz",
    "qwertyuiopasdfghjklzxcvbnmqwertyuiopasdfghjklzxcvbnm",
];

/// Passwords of at least twelve characters from the public lists of leaked ones, folded.
const COMMON: [&str; 48] = [
    "1q2w3e4r5t6y",
    "1q2w3e4r5t6y7u",
    "1q2w3e4r5t6y7u8i9o0p",
    "1qaz2wsx3edc",
    "1qaz2wsx3edc4rfv",
    "1qazxsw23edc",
    "q1w2e3r4t5y6",
    "qazwsxedcrfv",
    "qazwsxedc123",
    "zaq12wsxcde3",
    "zaq1xsw2cde3",
    "qwerty123456",
    "qwertyuiop12",
    "qwertyuiop123",
    "qwertyuiop[]",
    "qweasdzxc123",
    "qwerty654321",
    "password1234",
    "password12345",
    "password123456",
    "password123!",
    "password2024",
    "password2025",
    "password2026",
    "mypassword12",
    "mypassword123",
    "thisismypassword",
    "passw0rd1234",
    "p@ssw0rd1234",
    "p@ssword1234",
    "p@ssw0rd123!",
    "correcthorsebatterystaple",
    "iloveyou1234",
    "iloveyou12345",
    "iloveyouforever",
    "iloveyousomuch",
    "letmein12345",
    "welcome12345",
    "welcome123456",
    "administrator",
    "admin1234567",
    "changeme1234",
    "changeme12345",
    "football1234",
    "princess1234",
    "sunshine1234",
    "trustno1trustno1",
    "abcd1234abcd",
];
