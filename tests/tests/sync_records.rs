//! Records of a newer practice are kept, records that are wrong are set aside, and the rest arrives.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use portal_core::messages::MessageState;
use portal_core::people::Role;
use portal_core::sync::SyncReport;
use portal_tests::phone::{Phone, now, registration};
use portal_tests::practice::{Mishap, Practice};
use portal_tests::story::*;
use serde_json::{Value, json};

/// The next page has its changes edited on the way.
fn alter(practice: &Practice, edit: impl Fn(&mut Vec<Value>) + Send + 'static) {
    practice.next(
        "GET /v1/sync",
        Mishap::Change(Box::new(move |response| {
            edited(response, |page| {
                edit(page["changes"].as_array_mut().unwrap());
            })
        })),
    );
}

fn of<'a>(changes: &'a mut [Value], entity: &str) -> &'a mut Value {
    changes.iter_mut().find(|change| change["entity"] == entity).unwrap()
}

/// A reply of the practice arrives with its record edited.
fn receive(
    phone: &Phone,
    thread: &str,
    text: &str,
    edit: impl Fn(&mut Value) + Send + 'static,
) -> SyncReport {
    reply(&phone.practice, thread, text);
    alter(&phone.practice, move |changes| edit(of(changes, "message")));
    sync(phone).unwrap()
}

#[test]
fn i35_records_of_kinds_that_this_version_does_not_know_are_kept_and_shown_nowhere() {
    let practice = Practice::demo(60);
    let phone = Phone::new(&practice, 71);
    now(phone.portal.account().register(registration(&practice))).unwrap();
    alter(&practice, |changes| {
        assert!(changes.iter().any(|change| change["entity"] == "appointment"), "the demo has some");
        changes.push(
            json!({"seq":"1","entity":"aura","id":"018f4c2e-7b1a-7c3d-9e4f-0123456789ab","ver":"1","op":"put",
            "data":{"colour":"green"}}),
        );
        changes.push(
            json!({"seq":"2","entity":"aura","id":"018f4c2e-7b1a-7c3d-9e4f-0123456789ac","ver":"1","op":"del",
            "why":"faded"}),
        );
    });
    let report = sync(&phone).unwrap();
    assert!(report.complete && report.quarantined == 0, "{report:?}");
    assert!(!shows(&phone).to_string().contains("Individual session"));
    assert!(sync(&phone).unwrap().complete);
}

#[test]
fn i35_values_of_a_newer_version_are_shown_as_other() {
    let practice = Practice::demo(60);
    let phone = Phone::new(&practice, 72);
    now(phone.portal.account().register(registration(&practice))).unwrap();
    alter(&practice, |changes| {
        of(changes, "staff")["data"]["role"] = "wizard".into();
        of(changes, "practice")["data"]["routes"][0]["route"] = "front_desk".into();
        of(changes, "practice")["data"]["policy"]["tea"] = json!({"milk": true});
        of(changes, "thread")["data"]["route"] = "front_desk".into();
        of(changes, "message")["data"]["author"]["kind"] = "system".into();
        for change in changes {
            change["shape"] = "round".into();
            change["data"]["unheard_of"] = json!([1, {"a": null}]);
        }
    });
    let report = sync(&phone).unwrap();
    assert_eq!((report.complete, report.quarantined), (true, 0));
    let recipients = now(phone.portal.messages().recipients()).unwrap();
    assert!(
        recipients
            .choices
            .iter()
            .any(|choice| choice.person.as_ref().is_some_and(|person| person.role == Role::Other))
    );
    assert!(recipients.choices.iter().any(|choice| choice.label == "Appointments and scheduling"));
    let count: usize = threads(&phone).iter().map(|listed| thread(&phone, &listed.id).messages.len()).sum();
    assert_eq!(count, 60);
}

#[test]
fn one_bad_record_is_set_aside_and_counted_and_the_rest_arrives() {
    let practice = Practice::demo(60);
    let phone = Phone::registered(&practice, 73);
    let thread_id = open_thread(&phone);
    type Spoil = fn(&mut Value);
    let spoils: [(&str, Spoil); 12] = [
        ("a number for a text", |change| change["data"]["body"] = 7.into()),
        ("no author", |change| change["data"]["author"] = Value::Null),
        ("place zero", |change| change["data"]["n"] = "0".into()),
        ("a place beyond numbers", |change| change["data"]["n"] = "99999999999999999999".into()),
        ("a time that is none", |change| change["data"]["sent_at"] = "yesterday".into()),
        ("a year that no chart has", |change| change["data"]["sent_at"] = "9999-01-01T00:00:00.000Z".into()),
        ("no thread", |change| change["data"]["thread"] = "".into()),
        ("data that is a list", |change| change["data"] = json!([])),
        ("an id that is none", |change| change["id"] = "../../etc/passwd".into()),
        ("no data", |change| drop(change.as_object_mut().unwrap().remove("data"))),
        ("no sequence", |change| change["seq"] = Value::Null),
        ("not a change at all", |change| *change = json!("hello")),
    ];
    for (n, (name, spoil)) in spoils.into_iter().enumerate() {
        let before = sync(&phone).unwrap().quarantined;
        let text = format!("spoilt {n}");
        reply(&practice, &thread_id, &text);
        reply(&practice, &thread_id, &format!("good {n}"));
        alter(&practice, move |changes| {
            let bad = changes.iter_mut().find(|change| change["data"]["body"] == text.as_str()).unwrap();
            spoil(bad);
        });
        let report = sync(&phone).unwrap();
        assert!(report.complete, "{name}");
        // Also what has no readable name counts for itself.
        assert_eq!(report.quarantined, before + 1, "{name}: {report:?}");
        let shown = thread(&phone, &thread_id).messages;
        assert_eq!(shown.last().unwrap().text, format!("good {n}"), "{name}");
        assert!(!shown.iter().any(|message| message.text == format!("spoilt {n}")), "{name}");
    }
    let phone = phone.restart();
    now(phone.portal.account().unlock()).unwrap();
    assert!(sync(&phone).unwrap().quarantined >= 12, "they stay until they are better");
}

#[test]
fn a_bad_record_on_the_first_of_several_pages_is_counted_too() {
    let practice = Practice::demo(1_200);
    let phone = Phone::new(&practice, 74);
    now(phone.portal.account().register(registration(&practice))).unwrap();
    alter(&practice, |changes| {
        let messages: Vec<&mut Value> =
            changes.iter_mut().filter(|change| change["entity"] == "message").collect();
        for (n, change) in messages.into_iter().take(2).enumerate() {
            match n {
                0 => drop(change.as_object_mut().unwrap().remove("data")),
                _ => change["data"]["body"] = Value::Null,
            }
        }
    });
    let report = sync(&phone).unwrap();
    assert!(report.complete && report.quarantined == 2, "{report:?}");
}

#[test]
fn a_later_good_version_of_a_bad_record_heals_it() {
    let practice = Practice::demo(60);
    let phone = Phone::registered(&practice, 75);
    let thread_id = open_thread(&phone);
    let report = receive(&phone, &thread_id, "Mind the step", |change| change["data"]["body"] = 7.into());
    assert_eq!(report.quarantined, 1);
    assert!(!thread(&phone, &thread_id).messages.iter().any(|message| message.text == "Mind the step"));

    let client = client(&practice);
    let row = practice.act(|world, _| {
        let rows = world.feed_rows(world.client(client).unwrap().account);
        rows.into_iter().find(|row| row.data.contains("Mind the step")).unwrap()
    });
    reply(&practice, &thread_id, "It was repaired");
    alter(&practice, move |changes| {
        let seq = of(changes, "message")["seq"].clone();
        changes.push(json!({"seq":seq,"entity":"message","id":row.id,"ver":"2","op":"put",
            "data":serde_json::from_str::<Value>(&row.data).unwrap()}));
    });
    let report = sync(&phone).unwrap();
    assert_eq!((report.complete, report.quarantined), (true, 0));
    let texts: Vec<String> =
        thread(&phone, &thread_id).messages.into_iter().map(|message| message.text).collect();
    assert_eq!(texts[texts.len() - 2..], ["Mind the step", "It was repaired"]);
}

#[test]
fn a_bad_record_that_the_practice_takes_back_is_not_counted_any_more() {
    let practice = Practice::demo(60);
    let phone = Phone::registered(&practice, 76);
    let thread_id = open_thread(&phone);
    reply(&practice, &thread_id, "Fine");
    let message = reply(&practice, &thread_id, "Never readable");
    alter(&practice, |changes| {
        let bad = changes.iter_mut().find(|change| change["data"]["body"] == "Never readable").unwrap();
        bad["data"]["n"] = 7.into();
    });
    assert_eq!(sync(&phone).unwrap().quarantined, 1);
    practice.act(|world, at| world.withdraw_message(message, at).unwrap());
    let report = sync(&phone).unwrap();
    assert_eq!((report.complete, report.quarantined), (true, 0));
}

#[test]
fn a_bad_change_of_a_good_record_leaves_the_good_one_where_it_was() {
    let practice = Practice::demo(60);
    let phone = Phone::registered(&practice, 77);
    let before = shows(&phone);
    practice.act(|world, _| world.set_banner(None));
    alter(&practice, |changes| of(changes, "practice")["data"]["name"] = json!({"en": "Juniper"}));
    let report = sync(&phone).unwrap();
    assert_eq!((report.complete, report.quarantined), (true, 1));
    assert_eq!(shows(&phone), before);
}

#[test]
fn a_record_ten_thousand_levels_deep_breaks_nothing_not_even_a_search() {
    let practice = Practice::demo(60);
    let phone = Phone::registered(&practice, 78);
    let thread_id = open_thread(&phone);
    reply(&practice, &thread_id, "Deep 🌊");
    practice.next(
        "GET /v1/sync",
        Mishap::Change(Box::new(|response| {
            let text = String::from_utf8(response.body().clone()).unwrap();
            let deep = format!("\"deep\":{}{},\"body\":\"Deep", "[".repeat(10_000), "]".repeat(10_000));
            let changed = text.replace("\"body\":\"Deep", &deep);
            assert!(changed.len() > text.len());
            response.map(|_| changed.into_bytes())
        })),
    );
    assert!(sync(&phone).unwrap().complete);
    reply(&practice, &thread_id, "Shallow 🌊");
    sync(&phone).unwrap();
    for query in ["🌊", "shallow"] {
        let hits = now(phone.portal.messages().search(query.into(), 10)).unwrap();
        assert!(hits.iter().any(|hit| hit.message.text == "Shallow 🌊"), "{query}");
    }
    assert!(!matches!(shown_once(&phone, &thread_id, "Shallow 🌊").state, MessageState::Sent));
}
