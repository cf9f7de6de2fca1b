use std::collections::BTreeMap;

use domain::filter::{Condition, Filter, Item, Key, Resolve, Trigger, Urgency};
use domain::id::FilterId;
use domain::name::DisplayName;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

fn team(n: u8) -> TeamId {
    TeamId::from_bytes([n; 16])
}

fn service(n: u8) -> ServiceId {
    ServiceId::from_bytes([n; 16])
}

/// Keys that lead to the same values in several ways, past them, and to members whose name is a path.
const KEYS: [&str; 16] = [
    "a", "$.a", "[\"a\"]", "b", "a.b", "$.a.b", "a[0]", "a[*]", "a[*].b", "$[*]", "$[1].a",
    "b[*][*]", "a.b.a.b", "$", "c['a.b']", "a[1][0]",
];
const ITEMS: [&str; 14] =
    ["x", "X", "xy", "yx", "xyxy", "true", "null", "1.0", "{", "\"a\":", "ß", "Σ", "İ", "x\n"];

fn conditions(least_keyed: bool) -> impl Strategy<Value = Condition> {
    let key = if least_keyed { 1..=KEYS.len() } else { 0..=KEYS.len() };
    (key, prop::collection::vec(select(&ITEMS[..]), 1..4)).prop_map(|(key, items)| {
        let key = key.checked_sub(1).map(|key| Key::parse(KEYS[key]).unwrap());
        let items = items.into_iter().map(|item| Item::parse(item).unwrap()).collect();
        Condition::new(key, items).unwrap()
    })
}

fn filters() -> impl Strategy<Value = Arc<Filters>> {
    let trigger = prop::collection::vec(conditions(false), 1..3);
    let parts = (trigger, prop::option::of(conditions(true)));
    prop::collection::vec(parts, 0..4).prop_map(|parts| {
        let filters = parts.into_iter().zip(0..).map(|((conditions, resolve), n)| Filter {
            id: FilterId::from_bytes([n; 16]),
            name: DisplayName::parse(&format!("filter {n}")).unwrap(),
            trigger: Trigger::new(Urgency::High, conditions, None, None, None).unwrap(),
            resolve: resolve
                .map(|condition| Resolve { condition, mapped_with: Key::parse("a").unwrap() }),
        });
        Arc::new(Filters::new(filters.collect()).unwrap())
    })
}

fn entries() -> impl Strategy<Value = Entry> {
    (0..40u8, 0..4u8, any::<bool>(), filters()).prop_map(|(id, of, disabled, filters)| Entry {
        team: team(of),
        service: service(id),
        shard: u32::from(of % 3),
        disabled: disabled && id % 2 == 0,
        filters,
        maintenance: Arc::default(),
    })
}

/// What is done to an index.
#[derive(Clone, Debug)]
enum Step {
    Put(Entry),
    Remove(u8),
    RemoveTeam(u8),
    /// A rebuild begins; it ends with the next one, or never.
    Begin,
    End,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => entries().prop_map(Step::Put),
        2 => (0..40u8).prop_map(Step::Remove),
        1 => (0..4u8).prop_map(Step::RemoveTeam),
        3 => Just(Step::Begin),
        3 => Just(Step::End),
    ];
    prop::collection::vec(step, 0..60)
}

fn payloads() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("1.0".to_owned()),
        prop::collection::vec(select(&ITEMS[..]), 0..4)
            .prop_map(|items| serde_json::to_string(&items.concat()).unwrap()),
    ];
    let name = select(&["a", "b", "c", "a.b", "$.a.b", "a[*]", "$", "A"][..]);
    let value = leaf.prop_recursive(4, 40, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4)
                .prop_map(|all| format!("[{}]", all.join(","))),
            prop::collection::vec((name.clone(), inner), 0..4).prop_map(|all| {
                let members = all.iter().map(|(name, value)| format!("\"{name}\":{value}"));
                format!("{{{}}}", members.collect::<Vec<_>>().join(","))
            }),
        ]
    });
    prop_oneof![9 => value, 1 => prop::collection::vec(select(&ITEMS[..]), 0..4).prop_map(|all| all.concat())]
}

fn reaches() -> impl Strategy<Value = Reach> {
    prop_oneof![
        Just(Reach::Global),
        (0..4u8).prop_map(|t| Reach::Team(team(t))),
        (0..4u8, 0..40u8).prop_map(|(t, s)| Reach::Service(team(t), service(s))),
    ]
}

/// The index after these steps, and what is live.
fn built(steps: Vec<Step>) -> (Index, BTreeMap<ServiceId, Entry>) {
    let (mut index, mut live) = (Index::default(), BTreeMap::new());
    let mut begun: Option<Rebuild> = None;
    for step in steps {
        match step {
            Step::Put(entry) => {
                live.insert(entry.service, entry.clone());
                index.put(entry);
            }
            Step::Remove(id) => {
                live.remove(&service(id));
                index.remove(service(id));
            }
            Step::RemoveTeam(id) => {
                live.retain(|_, entry| entry.team != team(id));
                index.remove_team(team(id));
            }
            Step::Begin => begun = Some(index.rebuild()),
            Step::End => {
                if let Some(begun) = begun.take() {
                    index.adopt(begun.run());
                }
            }
        }
    }
    (index, live)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Invariant 6 of the architecture: the matcher and the reference agree on every payload.
    #[test]
    fn what_is_not_found_means_nothing_to_the_reference(
        steps in steps(), payloads in prop::collection::vec((payloads(), reaches()), 1..6)
    ) {
        let (index, live) = built(steps);
        let mut scratch = Scratch::default();
        for (text, reach) in payloads {
            let payload = Payload::new(&text);
            let found = index.find(reach, &payload, &mut scratch);
            let found: BTreeMap<_, _> = found.into_iter().map(|one| (one.service, one)).collect();
            for entry in live.values() {
                let means = evaluate(entry, &payload, None) != Match::default();
                let in_scope = is_in_scope(entry, reach) && !entry.disabled;
                prop_assert!(!(means && in_scope) || found.contains_key(&entry.service), "{text} {entry:?}");
            }
            for (id, entry) in found {
                prop_assert_eq!(live.get(&id), Some(entry));
                prop_assert!(is_in_scope(entry, reach) && !entry.disabled);
            }
        }
    }

    #[test]
    fn a_visit_meets_exactly_the_services_in_scope_and_all_of_them_are_counted(
        steps in steps(), reach in reaches(), shard in 0..3u32,
        after in prop::option::of(0..40u8), before in prop::option::of(0..40u8),
    ) {
        let (index, live) = built(steps);
        let (after, before) = (after.map(service), before.map(service));
        let found: Vec<_> = index.visit(reach, shard, after).collect();
        let of = |entry: &&Entry| {
            is_in_scope(entry, reach) && entry.shard == shard && Some(entry.service) > after
        };
        let expected: Vec<_> = live.values().filter(of).collect();
        prop_assert_eq!(&found, &expected);
        let between = expected.iter().filter(|one| before.is_none_or(|before| one.service < before));
        let (disabled, enabled): (Vec<_>, Vec<_>) = between.copied().partition(|one: &&Entry| one.disabled);
        let passed = Passed { unmatched: enabled.len() as u64, disabled: disabled.len() as u64 };
        prop_assert_eq!(index.passed(reach, shard, after, before), passed);
        for id in 0..40 {
            prop_assert_eq!(index.entry(service(id)), live.get(&service(id)));
        }
    }
}

/// A service with one filter that wants an item at each of these keys.
fn with(n: u16, wanted: &[(&str, &str)]) -> Entry {
    let condition = |(key, item): &(&str, &str)| {
        Condition::new(Some(Key::parse(key).unwrap()), vec![Item::parse(item).unwrap()]).unwrap()
    };
    let conditions = wanted.iter().map(condition).collect();
    let trigger = Trigger::new(Urgency::High, conditions, None, None, None).unwrap();
    let name = DisplayName::parse("filter").unwrap();
    let filter = Filter { id: FilterId::from_bytes([1; 16]), name, trigger, resolve: None };
    let mut id = [0; 16];
    id[..2].copy_from_slice(&n.to_be_bytes());
    Entry {
        team: team(0),
        service: ServiceId::from_bytes(id),
        shard: 0,
        disabled: false,
        filters: Arc::new(Filters::new(vec![filter]).unwrap()),
        maintenance: Arc::default(),
    }
}

#[test]
fn what_every_filter_wants_selects_nothing() {
    let entry = |n: u16| with(n, &[("status", "firing"), ("alert", &format!("a{n}."))]);
    let index = Index::of((0..2_000).map(entry));
    let payload = Payload::new(r#"{"status": "firing", "alert": "a77."}"#);
    let found = index.find(Reach::Global, &payload, &mut Scratch::default());
    assert_eq!(found.iter().map(|one| one.service).collect::<Vec<_>>(), [entry(77).service]);
    assert_eq!(index.compiled().unselective(), []);
}

#[test]
fn a_payload_that_costs_too_much_is_asked_of_each_service() {
    // Each key is another way to the same text.
    let key = |n: u16| -> String {
        (0..6).map(|bit| if n >> bit & 1 == 1 { "[*]" } else { "[0]" }).collect()
    };
    let index = Index::of((0..64).map(|n| with(n, &[(&key(n), &format!("a{n}."))])));
    let find = |length: usize| {
        let text = format!("[[[[[[\"a9.{}\"]]]]]]", "x".repeat(length));
        let found = index.find(Reach::Global, &Payload::new(&text), &mut Scratch::default());
        found.into_iter().map(|one| one.service).collect::<Vec<_>>()
    };
    assert_eq!(find(1_000), [with(9, &[("any", "any")]).service]);
    assert_eq!(find(1_000_000).len(), 64);
    let wide = format!("[{}]", vec!["[]"; 400_000].join(","));
    let two = Index::of((0..32).map(|n| with(n, &[(&format!("[*][*].a{n}"), "b")])));
    let found = two.find(Reach::Global, &Payload::new(&wide), &mut Scratch::default());
    assert!(found.is_empty(), "the steps that keys share are taken once");
    let many = Index::of((0..32).map(|n| with(n, &[(&format!("[*][{n}]"), "b")])));
    let wide = format!("[{}]", vec![format!("[{}]", vec!["1"; 32].join(",")); 15_000].join(","));
    let found = many.find(Reach::Global, &Payload::new(&wide), &mut Scratch::default());
    assert!(found.is_empty(), "that is within what it may cost");
}
