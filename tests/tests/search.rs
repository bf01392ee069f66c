//! Search on the device, in the scripts that clients write.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use portal_tests::phone::{Phone, now};
use portal_tests::practice::Practice;
use portal_tests::story::*;

fn found(phone: &Phone, query: &str) -> Vec<String> {
    let hits = now(phone.portal.messages().search(query.into(), 100)).unwrap();
    hits.into_iter().map(|hit| hit.message.text).collect()
}

/// A text, what finds it, and what must not.
const TEXTS: [(&str, &[&str], &[&str]); 14] = [
    (
        "Où est le café à Zürich, Ängstlichkeit?",
        &["cafe", "CAFÉ", "cafe\u{301}", "zurich", "zür", "ou est", "angstlich"],
        &["afe x", "zürcher"],
    ),
    ("Ze względu na żółć", &["zołc", "ŻÓŁĆ", "wzgl"], &["zołcx"]),
    ("Việt Nam: cuộc hẹn", &["viet", "cuoc hen", "HẸN"], &["hens"]),
    ("İstanbul'da görüşürüz", &["gorusuruz", "görüş"], &["gorusuyor"]),
    ("موعدك القادم يوم الثلاثاء", &["موعدك", "القادم", "الثل", "الثلاثاء موعدك"], &["الأربعاء"]),
    ("הפגישה הבאה ביום שלישי", &["הפגישה", "שלי", "שלישי הבאה"], &["רביעי"]),
    ("您的下次预约是星期二", &["预约", "下次", "星期二", "预约 星期二"], &["约预", "星期三"]),
    ("次の予約は火曜日です。リラックス", &["予約", "火曜日", "リラ", "です"], &["水曜日"]),
    ("นัดหมายครั้งต่อไปวันอังคาร", &["นัดหมาย", "วันอังคาร"], &["วันพุธ"]),
    ("다음 예약은 화요일입니다", &["예약", "화요일", "다음 화요일"], &["수요일"]),
    ("Следующая встреча во вторник", &["ВСТРЕЧА", "втор"], &["среда"]),
    ("See you there 🌻🎈", &["🌻", "🎈", "there"], &["🍄"]),
    ("ＦＵＬＬ ｗｉｄｔｈ ﬁnal", &["full", "width", "final"], &["fullx"]),
    (
        "Salt AND \"pepper\" OR (NEAR) col:umn c++ 50% it's",
        &["and", "OR", "\"pepper\"", "(NEAR)", "col:umn", "50%", "it's", "salt \"pepper\""],
        &["NOT", "pepperx"],
    ),
];

#[test]
fn every_script_is_found_before_and_after_it_is_sent() {
    let practice = Practice::demo(60);
    let phone = Phone::registered(&practice, 131);
    let thread = open_thread(&phone);
    practice.set_online(false);
    for (text, _, _) in TEXTS {
        send(&phone, &thread, text);
    }
    let check = |when: &str| {
        for (text, finds, misses) in TEXTS {
            for query in finds {
                assert_eq!(
                    found(&phone, query).iter().filter(|hit| *hit == text).count(),
                    1,
                    "{when}: {query} in {text}"
                );
            }
            for query in misses {
                assert!(!found(&phone, query).iter().any(|hit| hit == text), "{when}: {query} not in {text}");
            }
        }
    };
    check("waiting");
    practice.set_online(true);
    settle(&phone);
    check("sent");
}

#[test]
fn what_marks_the_vowels_of_arabic_and_hebrew_is_not_needed_to_find_a_word() {
    let practice = Practice::demo(60);
    let phone = Phone::registered(&practice, 132);
    let thread = open_thread(&phone);
    for (text, bare) in [("مُوعِدُكَ الجديد", "موعدك"), ("שָׁלוֹם לְךָ", "שלום"), ("مـــوعـــد", "موعد")]
    {
        send(&phone, &thread, text);
        assert_eq!(found(&phone, bare).iter().filter(|hit| *hit == text).count(), 1, "waiting: {bare}");
        assert!(found(&phone, text).iter().any(|hit| hit == text));
        settle(&phone);
        assert_eq!(found(&phone, bare).iter().filter(|hit| *hit == text).count(), 1, "sent: {bare}");
        assert!(found(&phone, text).iter().any(|hit| hit == text));
    }
}

#[test]
fn a_query_is_plain_words_and_never_syntax() {
    let practice = Practice::demo(60);
    let phone = Phone::registered(&practice, 133);
    for query in [
        "\"",
        "\"\"",
        "a\"b",
        "*",
        "a*",
        "^a",
        "-a",
        "a NOT b",
        "NEAR(a b, 2)",
        "words:a",
        "{words}:a",
        "(",
        ")",
        "a AND",
        "'",
        "';--",
        "a\0b",
        "\u{feff}",
        "%",
        "_",
        "\\",
        " ",
        "",
        "\n\t",
        "🙂",
        "!!",
        "\u{200d}",
    ] {
        let result = now(phone.portal.messages().search(query.into(), 10));
        assert!(result.is_ok(), "{query:?}: {:?}", result.err());
    }
    assert!(found(&phone, "").is_empty() && found(&phone, "  \n").is_empty());
    let long = "word ".repeat(2_000);
    assert!(now(phone.portal.messages().search(long, 10)).is_ok());
}

#[test]
fn several_words_must_all_be_there_and_hits_come_newest_first_within_their_limit() {
    let practice = Practice::demo(1_000);
    let phone = Phone::registered(&practice, 134);
    let all = found(&phone, "session");
    assert!(all.len() > 3, "the demo speaks of sessions: {}", all.len());
    let hits = now(phone.portal.messages().search("session".into(), 100)).unwrap();
    assert!(hits.windows(2).all(|pair| pair[0].message.at.at >= pair[1].message.at.at), "newest first");
    let few = now(phone.portal.messages().search("session".into(), 3)).unwrap();
    assert!(few.len() == 3 && few.iter().zip(&hits).all(|(few, all)| few.message.id == all.message.id));

    let thread = open_thread(&phone);
    reply(&practice, &thread, "A session with a kaleidoscope");
    reply(&practice, &thread, "Only a kaleidoscope");
    sync(&phone).unwrap();
    assert_eq!(found(&phone, "kaleidoscope session"), ["A session with a kaleidoscope"]);
    assert_eq!(found(&phone, "kaleidoscope").len(), 2);
    send(&phone, &thread, "My own kaleidoscope");
    let hits = now(phone.portal.messages().search("KALEIDO".into(), 100)).unwrap();
    assert_eq!(hits[0].message.text, "My own kaleidoscope");
    assert_eq!((hits[0].thread.as_str(), hits.len()), (thread.as_str(), 3));
    assert!(hits.iter().all(|hit| hit.excerpt.contains("kaleidoscope") && !hit.subject.is_empty()));
}
