//! Words for full-text search: the same function over what is indexed and what is asked.

use std::borrow::Cow;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Compatibility-normalised text in which every character of a script without spaces stands alone,
/// so that FTS5's tokenizer finds it. Case and accents are folded by the tokenizer.
pub(super) fn indexed(text: &str) -> Cow<'_, str> {
    // Plain ASCII, which most letters are, is normal already.
    if text.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_control()) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.nfkc().filter(|c| !is_silent(*c)) {
        if c.is_control() {
            // A NUL would end the query for SQLite.
            out.push(' ');
        } else if stands_alone(c) {
            out.push(' ');
            out.push(c);
            out.push(' ');
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// An FTS5 query that asks for every term as a prefix phrase; `None` when no term has a letter or
/// digit (an emoji, say), which the index cannot know.
pub(super) fn query(asked: &str) -> Option<String> {
    let terms: Vec<String> = asked
        .split_whitespace()
        .filter(|term| term.chars().any(char::is_alphanumeric))
        .map(|term| format!("\"{}\"*", indexed(term).replace('"', " ")))
        .collect();
    (!terms.is_empty()).then(|| terms.join(" "))
}

/// Whether a text has every term, for what is not indexed yet.
pub(super) fn matches(text: &str, asked: &str) -> bool {
    let text = folded(text);
    asked.split_whitespace().all(|term| text.contains(&folded(term)))
}

/// Case and accents folded, as the index does.
fn folded(text: &str) -> String {
    let bare = text.nfkd().filter(|c| !is_combining_mark(*c) && !is_silent(*c));
    caseless::default_case_fold_str(&bare.collect::<String>())
}

/// About 160 characters around the first term.
pub(super) fn excerpt(text: &str, asked: &str) -> String {
    const BEFORE: usize = 40;
    const LENGTH: usize = 160;
    let chars: Vec<char> = text.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).collect();
    let first = asked.split_whitespace().next().unwrap_or_default();
    let needle = folded(first);
    let start = (0..chars.len())
        .find(|start| {
            let window: String = chars.iter().skip(*start).take(needle.chars().count() + 2).collect();
            folded(&window).starts_with(&needle)
        })
        .unwrap_or(0)
        .saturating_sub(BEFORE);
    let mut out: String = chars.iter().skip(start).take(LENGTH).collect();
    if start > 0 {
        out.insert(0, '…');
    }
    if start + LENGTH < chars.len() {
        out.push('…');
    }
    out
}

/// What Arabic and Hebrew may leave out: marks of vowels, and the line that only stretches a word.
/// The tokenizer would take them for the ends of words.
fn is_silent(c: char) -> bool {
    c == '\u{640}' || (('\u{590}'..='\u{8ff}').contains(&c) && is_combining_mark(c))
}

/// Scripts that write no spaces between words: Thai to Myanmar, kana, and Han with its extensions.
fn stands_alone(c: char) -> bool {
    matches!(u32::from(c),
        0x0E00..=0x0EFF | 0x1000..=0x109F | 0x1780..=0x17FF | 0x3040..=0x30FF | 0x31F0..=0x31FF
        | 0x3400..=0x4DBF | 0x4E00..=0x9FFF | 0xF900..=0xFAFF | 0x20000..=0x323AF)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_term_is_a_quoted_prefix() {
        assert_eq!(query("sleep diary").as_deref(), Some("\"sleep\"* \"diary\"*"));
        assert_eq!(query("a\"b OR NEAR(").as_deref(), Some("\"a b\"* \"OR\"* \"NEAR(\"*"));
        assert_eq!(query("🙂 !!"), None);
        assert_eq!(query("预约").as_deref(), Some("\" 预  约 \"*"));
    }

    #[test]
    fn what_is_not_indexed_is_found_alike() {
        assert!(matches("Merci, Renée !", "renee merci"));
        assert!(matches("STRASSE", "straße"));
        assert!(!matches("Merci", "demain"));
    }

    #[test]
    fn an_excerpt_shows_the_term() {
        let text = format!("{}the sleep diary{}", "x ".repeat(200), " y".repeat(200));
        let excerpt = excerpt(&text, "SLEEP");
        assert!(excerpt.contains("the sleep diary") && excerpt.starts_with('…') && excerpt.ends_with('…'));
        assert_eq!(super::excerpt("short\ntext", "none"), "short text");
    }
}
