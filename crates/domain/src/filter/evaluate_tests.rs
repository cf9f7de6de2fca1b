//! What filters find in payloads, as the contract says it. Must not know anything but `evaluate`.

use proptest::prelude::*;

use super::super::{Item, Resolve};
use super::*;
use crate::name::DisplayName;

fn key(text: &str) -> Option<Key> {
    (!text.is_empty()).then(|| Key::parse(text).unwrap())
}

fn condition(at: &str, items: &[&str]) -> Condition {
    Condition::new(key(at), items.iter().map(|item| Item::parse(item).unwrap()).collect()).unwrap()
}

fn filter(n: u8, conditions: Vec<Condition>, resolve: Option<Condition>) -> Filter {
    Filter {
        id: FilterId::from_bytes([n; 16]),
        name: DisplayName::parse("a filter").unwrap(),
        trigger: Trigger::new(Urgency::High, conditions, key("title"), key("text"), key("id"))
            .unwrap(),
        resolve: resolve.map(|condition| Resolve { condition, mapped_with: key("id").unwrap() }),
    }
}

fn found(filters: &[Filter], payload: &str, from: Option<&str>) -> Match {
    evaluate(filters, &Payload::new(payload), from)
}

fn triggers(condition: Condition, payload: &str) -> bool {
    found(&[filter(1, vec![condition], None)], payload, None).trigger.is_some()
}

#[test]
fn values_are_searched_as_their_text() {
    for (at, item, payload, expected) in [
        ("status", "fir", r#"{"status": "FIRING"}"#, true),
        ("status", "1.0", r#"{"status": 1.0}"#, true),
        ("status", "1.0", r#"{"status": 1}"#, false),
        ("status", "tru", r#"{"status": true}"#, true),
        ("status", "null", r#"{"status": null}"#, true),
        ("status", r#"{"a":[1,2]}"#, r#"{"status": {"a": [1, 2]}}"#, true),
        ("status", "x", r#"{"Status": "x"}"#, false),
        ("a.b", "x", r#"{"a.b": "x", "a": {"b": "y"}}"#, true),
        ("", "a", "plain text with an A", true),
        ("status", "a", "plain text with an A", false),
        ("", "a", "", false),
        ("heartbeat.status", "0", r#"{"heartbeat": {"status": 0}}"#, true),
    ] {
        assert_eq!(triggers(condition(at, &[item]), payload), expected, "{at} {item} {payload}");
    }
}

#[test]
fn with_any_element_one_value_must_contain_all_items() {
    let both = condition("alerts[*].status", &["fir", "hot"]);
    assert!(triggers(both.clone(), r#"{"alerts": [{"status": "x"}, {"status": "hot fire"}]}"#));
    assert!(!triggers(both, r#"{"alerts": [{"status": "fire"}, {"status": "hot"}]}"#));
}

#[test]
fn both_conditions_must_hold_and_the_first_filter_decides() {
    let one = filter(1, vec![condition("a", &["x"]), condition("b", &["y"])], None);
    let two = filter(2, vec![condition("a", &["x"])], None);
    let filters = [one, two];
    let decided = |payload| found(&filters, payload, None).trigger.map(|t| t.filter.as_bytes()[0]);
    assert_eq!(decided(r#"{"a": "x", "b": "y"}"#), Some(1));
    assert_eq!(decided(r#"{"a": "x"}"#), Some(2));
    assert_eq!(decided(r#"{"b": "y"}"#), None);
}

#[test]
fn a_filter_whose_resolve_part_holds_does_not_trigger() {
    let resolving =
        filter(1, vec![condition("s", &["resolved"])], Some(condition("s", &["resolved"])));
    let other = filter(2, vec![condition("s", &["res"])], None);
    let found = found(&[resolving, other], r#"{"s": "resolved", "id": 7}"#, None);
    assert_eq!(found.resolves.len(), 1);
    assert_eq!(found.resolves[0].value, MappedValue::Text("7".to_owned()));
    assert_eq!(found.trigger.unwrap().filter.as_bytes()[0], 2);
}

#[test]
fn a_mapped_value_that_is_missing_null_or_empty_maps_nothing() {
    let filters = [filter(1, vec![condition("s", &["x"])], None)];
    let mapped = |payload| found(&filters, payload, None).trigger.unwrap().mapped;
    assert_eq!(mapped(r#"{"s": "x"}"#), None);
    assert_eq!(mapped(r#"{"s": "x", "id": null}"#), None);
    assert_eq!(mapped(r#"{"s": "x", "id": ""}"#), None);
    assert_eq!(mapped(r#"{"s": "x", "id": false}"#), Some(MappedValue::Text("false".to_owned())));
    let long = format!(r#"{{"s": "x", "id": "{}"}}"#, "i".repeat(513));
    assert!(matches!(mapped(&long), Some(MappedValue::Digest(_))));
}

#[test]
fn titles_follow_the_source_and_the_key() {
    let filters = [filter(1, vec![condition("", &["x"])], None)];
    for (payload, from, title) in [
        (r#"{"title": "disk\u202e full", "s": "x"}"#, Some("nagios"), "nagios - disk full"),
        (r#"{"title": "disk", "s": "x"}"#, None, "disk"),
        (r#"{"s": "x"}"#, Some("nagios"), "Incident from nagios"),
        ("x", None, "Incident from unknown source"),
    ] {
        assert_eq!(found(&filters, payload, from).trigger.unwrap().title, title);
    }
    let payload = format!(r#"{{"title": "{}", "s": "x"}}"#, "é".repeat(2_000));
    let triggered = found(&filters, &payload, None).trigger.unwrap();
    assert_eq!(triggered.title.chars().count(), MAX_TITLE);
    assert!(triggered.title.ends_with("é…"));
    assert_eq!(triggered.description, payload);
    let long = "x".repeat(20_000);
    let triggered = found(&filters, &long, None).trigger.unwrap();
    assert_eq!(triggered.description.chars().count(), MAX_DESCRIPTION);
}

#[test]
fn alertmanager_fires_and_resolves() {
    let mut rule =
        filter(1, vec![condition("status", &["firing"])], Some(condition("status", &["resolved"])));
    rule.trigger.map_with = key("groupKey");
    rule.trigger.title_from = key("commonLabels.alertname");
    rule.resolve.as_mut().unwrap().mapped_with = Key::parse("groupKey").unwrap();
    let payload = |status: &str| {
        format!(
            r#"{{"version":"4","groupKey":"{{}}:{{alertname=\"Disk\"}}","status":"{status}","receiver":"gander","commonLabels":{{"alertname":"DiskFull"}},"alerts":[{{"status":"{status}","fingerprint":"aa"}}]}}"#
        )
    };
    let rules = [rule];
    let fired = found(&rules, &payload("firing"), Some("prod")).trigger.unwrap();
    assert_eq!(fired.title, "prod - DiskFull");
    let resolved = found(&rules, &payload("resolved"), None);
    assert_eq!(Some(&resolved.resolves[0].value), fired.mapped.as_ref());
    assert_eq!(resolved.trigger, None);
}

#[test]
fn a_source_name_is_cut_never_refused() {
    assert_eq!(source_name(&"a".repeat(200)).map(|name| name.len()), Some(100));
    assert_eq!(source_name(" \n"), None);
    assert_eq!(source_name("a\u{202e}b"), Some("ab".to_owned()));
}

proptest! {
    #[test]
    fn a_condition_holds_where_a_plain_model_says_so(
        values in prop::collection::vec("[aAbBßΣσİ1 ]{0,4}", 0..4),
        items in prop::collection::vec("[aAbBßΣσİ1 ]{1,2}", 1..4),
        at in prop::sample::select(vec!["", "v[*]", "v[0]", "w"]),
    ) {
        let lower = |text: &str| text.chars().flat_map(char::to_lowercase).collect::<Vec<_>>();
        let has = |text: &str, item: &str| {
            let (text, item) = (lower(text), lower(item));
            text.windows(item.len()).any(|part| part == item)
        };
        let all = |text: &str| items.iter().all(|item| has(text, item));
        let payload = serde_json::json!({ "v": values }).to_string();
        let expected = match at {
            "" => all(&payload),
            "v[*]" => values.iter().any(|value| all(value)),
            "v[0]" => values.first().is_some_and(|value| all(value)),
            _ => false,
        };
        let items: Vec<_> = items.iter().map(String::as_str).collect();
        prop_assert_eq!(triggers(condition(at, &items), &payload), expected, "{} {:?}", at, items);
    }

    #[test]
    fn no_payload_makes_it_panic(bytes: Vec<u8>, from: Option<String>) {
        let filters = [filter(1, vec![condition("", &["a"])], Some(condition("a[*].b", &["b"])))];
        let _ = evaluate(&filters, &Payload::new(&crate::payload::text(&bytes)), from.as_deref());
    }
}
