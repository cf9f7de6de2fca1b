//! Explanations are those of `evaluate`, and what they say is missing is missing.

use proptest::prelude::*;

use super::super::{Key, MappedValue, Resolve, Trigger, Urgency, evaluate};
use super::*;
use crate::id::FilterId;
use crate::json::Json;
use crate::name::DisplayName;

fn key(text: &str) -> Option<Key> {
    (!text.is_empty()).then(|| Key::parse(text).unwrap())
}

fn condition(at: &str, items: &[&str]) -> Condition {
    Condition::new(key(at), items.iter().map(|item| Item::parse(item).unwrap()).collect()).unwrap()
}

fn filter(conditions: Vec<Condition>, resolve: Option<Condition>) -> Filter {
    Filter {
        id: FilterId::from_bytes([1; 16]),
        name: DisplayName::parse("a filter").unwrap(),
        trigger: Trigger::new(Urgency::High, conditions, None, None, key("id")).unwrap(),
        resolve: resolve.map(|condition| Resolve { condition, mapped_with: key("was").unwrap() }),
    }
}

/// What a condition found: values, the value shown, whether it holds, what is missing.
fn check(condition: &Condition, payload: &str, expected: (usize, Option<&str>, bool, &str)) {
    let filters = [filter(vec![condition.clone()], None)];
    let explained = explain(&filters, &Payload::new(payload));
    let looked = &explained[0].conditions[0];
    let missing = looked.missing.map_or("", Item::as_str);
    let found = (looked.values, looked.found.as_deref(), looked.holds, missing);
    assert_eq!(found, expected, "{payload}");
}

#[test]
fn a_condition_tells_what_it_looked_at_and_what_is_missing_there() {
    let firing = condition("status", &["fir", "Ing", "now", "later"]);
    check(&firing, r#"{"status": "FIRING"}"#, (1, Some("FIRING"), false, "now"));
    check(&firing, r#"{"state": "FIRING"}"#, (0, None, false, ""));
    check(&firing, "status: firing", (0, None, false, ""));
    let any = condition("a[*]", &["x", "y"]);
    check(&any, r#"{"a": ["x", "YX", "xyz"]}"#, (3, Some("YX"), true, ""));
    check(&any, r#"{"a": ["x", "y"]}"#, (2, Some("x"), false, "y"));
    check(&any, r#"{"a": []}"#, (0, None, false, ""));
    check(&condition("", &["down"]), "it is up", (1, Some("it is up"), false, "down"));
}

#[test]
fn a_long_value_is_shown_cut_on_a_character() {
    let long = format!(r#"{{"status": "{}"}}"#, "é".repeat(300));
    let shown = format!("{}…", "é".repeat(MAX_SHOWN - 1));
    check(&condition("status", &["a"]), &long, (1, Some(&shown), false, "a"));
}

#[test]
fn a_filter_tells_what_became_of_it() {
    let down = || filter(vec![condition("a", &["down"])], Some(condition("b", &["up"])));
    let filters = [down(), down()];
    for (payload, expected, mapped) in [
        (r#"{"a":"no","id":"x"}"#, [Became::Nothing; 2], Some("x")),
        (r#"{"a":"down"}"#, [Became::Triggers, Became::AfterAnother], None),
        (r#"{"a":"down","b":"up","was":"w","id":"x"}"#, [Became::Resolves; 2], Some("w")),
        (r#"{"a":"down","b":"up","was":null,"id":"x"}"#, [Became::ResolvesNothing; 2], None),
        (r#"{"b":"up","was":""}"#, [Became::ResolvesNothing; 2], None),
    ] {
        let explained = explain(&filters, &Payload::new(payload));
        assert_eq!([explained[0].became, explained[1].became], expected, "{payload}");
        assert_eq!(explained[0].mapped.as_deref(), mapped, "{payload}");
    }
}

/// What follows from an explanation: the filters that resolve with the values that they show, and
/// the one that decides with its value.
type Follows = (Vec<(FilterId, Option<String>)>, Option<(FilterId, Option<String>)>);

fn follows_from(explained: &[Explained<'_>]) -> Follows {
    let of = |wanted| {
        let those = explained.iter().filter(move |one| one.became == wanted);
        those.map(|one| (one.filter.id, one.mapped.clone()))
    };
    let mut triggers = of(Became::Triggers);
    let first = triggers.next();
    assert_eq!(triggers.next(), None, "one filter decides");
    (of(Became::Resolves).collect(), first)
}

/// The same of what was evaluated, with the whole value where only its digest is kept.
fn follows_from_match(filters: &[Filter], payload: &Payload<'_>) -> Follows {
    let of = |id: FilterId| filters.iter().find(|filter| filter.id == id).unwrap();
    let value = |value: &MappedValue, key: &Key| {
        let text = match value {
            MappedValue::Text(text) => text.clone(),
            MappedValue::Digest(_) => key.find(payload.json().unwrap())[0].text().into_owned(),
        };
        assert_eq!(MappedValue::new(&text).as_ref(), Some(value));
        shown(&text)
    };
    let found = evaluate(filters, payload, None);
    let resolves = found.resolves.iter().map(|one| {
        let key = &of(one.filter).resolve.as_ref().unwrap().mapped_with;
        (one.filter, Some(value(&one.value, key)))
    });
    let trigger = found.trigger.map(|one| {
        let key = of(one.filter).trigger.map_with.as_ref();
        (one.filter, one.mapped.map(|mapped| value(&mapped, key.unwrap())))
    });
    (resolves.collect(), trigger)
}

fn keys() -> impl Strategy<Value = Option<Key>> {
    prop::sample::select(vec!["", "a", "b", "l[*]", "l[0]", "o.a", "o", "none", "l[*].a"])
        .prop_map(key)
}

fn conditions() -> impl Strategy<Value = Condition> {
    (keys(), prop::collection::vec("[abAB1İ]{1,2}", 1..3)).prop_map(|(key, items)| {
        let items = items.iter().map(|item| Item::parse(item).unwrap()).collect();
        Condition::new(key, items).unwrap()
    })
}

fn filters() -> impl Strategy<Value = Vec<Filter>> {
    let resolve = (conditions(), keys());
    let parts = (prop::collection::vec(conditions(), 1..3), keys(), prop::option::of(resolve));
    prop::collection::vec(parts, 0..6).prop_map(|all| {
        let numbered = (1..).zip(all).map(|(n, (conditions, map_with, resolve))| {
            let trigger = Trigger::new(Urgency::Low, conditions, None, None, map_with).unwrap();
            let resolve = resolve.and_then(|(condition, key)| {
                key.map(|mapped_with| Resolve { condition, mapped_with })
            });
            let id = FilterId::from_bytes([n; 16]);
            Filter { id, name: DisplayName::parse("f").unwrap(), trigger, resolve }
        });
        numbered.collect()
    })
}

fn payloads() -> impl Strategy<Value = String> {
    let text = || "[abAB1İ]{0,4}";
    let value = prop_oneof![
        6 => text().prop_map(serde_json::Value::from),
        1 => Just(serde_json::Value::Null),
        1 => Just("v".repeat(600).into()),
        1 => any::<u8>().prop_map(Into::into),
    ];
    let element = prop_oneof![
        text().prop_map(serde_json::Value::from),
        text().prop_map(|a| serde_json::json!({ "a": a })),
    ];
    let object = (value.clone(), value.clone(), prop::collection::vec(element, 0..4), value)
        .prop_map(|(a, b, l, o)| serde_json::json!({"a": a, "b": b, "l": l, "o": {"a": o}}));
    prop_oneof![4 => object.prop_map(|json| json.to_string()), 1 => text()]
}

/// Whether a text occurs in a value that this condition looks at, without the code of filters.
fn occurs(item: &Item, looked: &Looked<'_>, payload: &str) -> bool {
    let lower = |text: &str| text.chars().flat_map(char::to_lowercase).collect::<String>();
    let json = Json::parse(payload).ok();
    let text = match &looked.condition.key {
        None => payload.to_owned(),
        Some(key) => json.as_ref().map(|json| key.find(json)[0].text().into_owned()).unwrap(),
    };
    lower(&text).contains(&lower(item.as_str()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_follows_from_an_explanation_is_what_is_evaluated(
        filters in filters(), text in payloads(),
    ) {
        let payload = Payload::new(&text);
        let explained = explain(&filters, &payload);
        prop_assert_eq!(explained.len(), filters.len());
        prop_assert_eq!(follows_from(&explained), follows_from_match(&filters, &payload));
    }

    #[test]
    fn what_is_said_to_be_missing_is_the_first_that_does_not_occur(
        filters in filters(), text in payloads(),
    ) {
        let explained = explain(&filters, &Payload::new(&text));
        for looked in explained.iter().flat_map(|one| one.conditions.iter().chain(&one.resolve)) {
            let none = looked.holds || looked.values == 0;
            prop_assert_eq!(looked.missing.is_none(), none, "{:?}", looked);
            prop_assert_eq!(looked.found.is_some(), looked.values > 0, "{:?}", looked);
            let Some(missing) = looked.missing else { continue };
            prop_assert!(!occurs(missing, looked, &text), "{:?}", looked);
            let before = looked.condition.contains.iter().take_while(|item| *item != missing);
            for item in before {
                prop_assert!(occurs(item, looked, &text), "{:?}", looked);
            }
        }
    }
}

#[test]
fn what_must_not_be_seen_is_not_shown_and_decides_all_the_same() {
    let payload = r#"{"pin": "4711 firing", "list": [{"pw": "a"}, {"pw": "b"}], "id": "4711"}"#;
    let shown = r#"{"pin": "REDACTED", "list": "REDACTED", "id": "REDACTED"}"#;
    let conditions = ["pin", "list[*].pw", ""].map(|key| condition(key, &["4711"]));
    for condition in conditions {
        let filters = [filter(vec![condition], None)];
        let (payload, shown) = (Payload::new(payload), Payload::new(shown));
        let plain = explain(&filters, &payload);
        let redacted = explain_redacted(&filters, &payload, &shown);
        assert_eq!(plain[0].became, redacted[0].became);
        assert_eq!(plain[0].conditions[0].holds, redacted[0].conditions[0].holds);
        assert_eq!(plain[0].conditions[0].missing, redacted[0].conditions[0].missing);
        assert_eq!(redacted[0].mapped.as_deref(), Some(REDACTED));
        let found = redacted[0].conditions[0].found.clone().unwrap_or_default();
        assert!(found.contains(REDACTED) && !found.contains("4711"), "{found}");
    }
}

proptest! {
    #[test]
    fn no_part_of_a_secret_is_shown_wherever_it_stands(
        before in 0..400_usize,
        secrets in 1..40_usize,
        between in 0..3_usize,
        escaped in any::<bool>(),
    ) {
        let secret = crate::secret::Secret::from_random(crate::secret::Kind::Token, &[7; 32]);
        let one = format!("{}{}", secret.reveal(), "-".repeat(between));
        let percent = |byte| format!("%{byte:02X}");
        // Masked, these become much shorter than plain ones, so more of the text is shown.
        let long: String = if escaped { one.bytes().map(percent).collect() } else { one.clone() };
        let text = format!("{}{}{one}", "x".repeat(before), long.repeat(secrets));
        let shown = shown(&text);
        prop_assert!(shown.chars().count() <= MAX_SHOWN);
        for part in secret.reveal().as_bytes().windows(12) {
            let part = std::str::from_utf8(part).unwrap();
            prop_assert!(!shown.contains(part), "{shown}");
        }
    }
}
