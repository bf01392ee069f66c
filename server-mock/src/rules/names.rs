//! A8: when two last names, and two login ids, are the same.

use caseless::Caseless;
use unicode_normalization::UnicodeNormalization;

/// A last name in the form that is compared: NFC, trimmed, case folded, with one hyphen and one
/// apostrophe for all their variants. Nothing fuzzier.
pub(crate) fn comparable_name(name: &str) -> String {
    let folded: String = name.trim().chars().nfd().default_case_fold().nfc().collect();
    folded.chars().map(fold_punctuation).collect()
}

/// A login id in the form that is compared.
pub(crate) fn comparable_login(login_id: &str) -> String {
    login_id.trim().chars().nfd().default_case_fold().nfc().collect()
}

fn fold_punctuation(c: char) -> char {
    match c {
        // hyphens, dashes and the minus sign that keyboards and word processors put into names
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{FE58}' | '\u{FE63}' | '\u{FF0D}' => '-',
        // quotes, primes, accents and modifier letters that stand for an apostrophe
        '\u{2018}' | '\u{2019}' | '\u{201B}' | '\u{02BC}' | '\u{02BB}' | '\u{02B9}' | '\u{02C8}'
        | '\u{2032}' | '\u{00B4}' | '\u{0060}' | '\u{FF07}' | '\u{A78C}' => '\'',
        other => other,
    }
}
