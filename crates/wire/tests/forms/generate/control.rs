//! Commits, the things that they leave, and filters.
//!
//! Must not know the forms.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;

use domain::access::Role;
use domain::aggregate::{Actor, Entry, Life, Stamp};
use domain::commit::{Change, Commit, Request};
use domain::directory::Snapshot;
use domain::filter::{
    Condition, Filter, Filters, Item, Key, MAX_CONDITIONS, MAX_FILTERS, MAX_ITEM_CHARACTERS,
    MAX_ITEMS, MAX_KEY_CHARACTERS, MAX_KEY_STEPS, Resolve, Trigger, Urgency,
};
use domain::id::{FilterId, PrincipalId, ServiceId, TeamId, TokenId};
use domain::maintenance::{self, MAX_TAGS, Tag, Tags, Window, Windows};
use domain::name::{DisplayName, MAX_CHARACTERS};
use domain::principal::{self, Principal};
use domain::service::{self, Service};
use domain::team::{self, Team};
use domain::time::Timestamp;
use domain::token::{self, Token};
use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;

use super::{
    digests, filters as filter_ids, last_fours, names, numbers, principals, reaches, services,
    sixteen, teams, texts, thirty_two, times, tokens, windows as window_ids,
};

/// Any path.
pub fn keys() -> impl Strategy<Value = Key> {
    let quoted = texts(6)
        .prop_map(|name| format!("[\"{}\"]", name.replace('\\', "\\\\").replace('"', "\\\"")));
    let step = prop_oneof![
        "\\.[a-c$ æ😀]{1,4}",
        any::<usize>().prop_map(|n| format!("[{n}]")),
        Just("[*]".to_owned()),
        quoted,
    ];
    let path = vec(step, 1..=4).prop_map(|steps| format!("${}", steps.concat()));
    let edges = vec![
        "$".to_owned(),
        "[\"\"]".to_owned(),
        "ø".repeat(MAX_KEY_CHARACTERS),
        vec!["a"; MAX_KEY_STEPS].join("."),
    ];
    prop_oneof![4 => path, 1 => prop::sample::select(edges)]
        .prop_filter_map("no key", |text| Key::parse(&text).ok())
}

fn items() -> impl Strategy<Value = Item> {
    texts(MAX_ITEM_CHARACTERS).prop_filter_map("no item", |text| Item::parse(&text).ok())
}

fn conditions() -> impl Strategy<Value = Condition> {
    let some = vec(items(), 1..=3);
    let all = items().prop_map(|item| vec![item; MAX_ITEMS]);
    (option::of(keys()), prop_oneof![8 => some, 1 => all])
        .prop_map(|(key, items)| Condition::new(key, items).unwrap())
}

/// Any filter.
fn filter() -> impl Strategy<Value = Filter> {
    let urgency = prop_oneof![Just(Urgency::High), Just(Urgency::Low)];
    let key = || option::of(keys());
    let trigger = (urgency, vec(conditions(), 1..=MAX_CONDITIONS), key(), key(), key()).prop_map(
        |(urgency, conditions, title, description, map)| {
            Trigger::new(urgency, conditions, title, description, map).unwrap()
        },
    );
    let resolve = (conditions(), keys())
        .prop_map(|(condition, mapped_with)| Resolve { condition, mapped_with });
    (filter_ids(), names(), trigger, option::of(resolve))
        .prop_map(|(id, name, trigger, resolve)| Filter { id, name, trigger, resolve })
}

/// The most that a service may have: every part at its limit.
pub fn most_filters() -> Filters {
    let key = || Some(Key::parse(&"ø".repeat(MAX_KEY_CHARACTERS)).unwrap());
    let item = Item::parse(&"😀".repeat(MAX_ITEM_CHARACTERS)).unwrap();
    let condition = Condition::new(key(), vec![item; MAX_ITEMS]).unwrap();
    let conditions = vec![condition.clone(); MAX_CONDITIONS];
    let trigger = Trigger::new(Urgency::Low, conditions, key(), key(), key()).unwrap();
    let filter = |n: usize| Filter {
        id: FilterId::from_bytes([u8::try_from(n).unwrap(); 16]),
        name: DisplayName::parse(&format!("{n}{}", "é".repeat(MAX_CHARACTERS - 1))).unwrap(),
        trigger: trigger.clone(),
        resolve: key().map(|mapped_with| Resolve { condition: condition.clone(), mapped_with }),
    };
    Filters::new((0..MAX_FILTERS).map(filter).collect()).unwrap()
}

/// Any filters of a service.
pub fn filters() -> impl Strategy<Value = Arc<Filters>> {
    let some = vec(filter(), 0..=3)
        .prop_filter_map("two with one id or name", |all| Filters::new(all).ok());
    prop_oneof![12 => some, 1 => Just(most_filters())].prop_map(Arc::new).boxed()
}

/// Any actor.
pub fn actors() -> impl Strategy<Value = Actor> {
    prop_oneof![
        principals().prop_map(Actor::Principal),
        Just(Actor::Bootstrap),
        Just(Actor::System)
    ]
}

fn expiries() -> impl Strategy<Value = Option<Timestamp>> {
    option::of(times())
}

fn roles() -> impl Strategy<Value = BTreeSet<Role>> {
    let role = prop_oneof![
        Just(Role::GlobalAdmin),
        Just(Role::Stakeholder),
        teams().prop_map(Role::TeamManager),
        teams().prop_map(Role::Responder),
        teams().prop_map(Role::Observer),
    ];
    let most = (0..principal::MAX_ROLES)
        .map(|n| Role::Responder(TeamId::from_bytes([u8::try_from(n).unwrap(); 16])));
    prop_oneof![8 => btree_set(role, 0..5), 1 => Just(most.collect())]
}

fn team_events() -> impl Strategy<Value = team::Event> {
    prop_oneof![
        names().prop_map(|name| team::Event::Created { name }),
        names().prop_map(|name| team::Event::Renamed { name }),
        Just(team::Event::Deleted),
    ]
}

fn service_events() -> impl Strategy<Value = service::Event> {
    let created = (teams(), names(), any::<bool>(), filters());
    prop_oneof![
        created.prop_map(|(team, name, disabled, filters)| {
            service::Event::Created { team, name, disabled, filters }
        }),
        names().prop_map(|name| service::Event::Renamed { name }),
        any::<bool>().prop_map(|disabled| service::Event::DisabledSet { disabled }),
        filters().prop_map(|filters| service::Event::FiltersReplaced { filters }),
        maintenance_events().prop_map(service::Event::Maintenance),
        Just(service::Event::Deleted),
    ]
}

fn tags() -> impl Strategy<Value = Arc<Tags>> {
    let some = vec(items(), 1..=3);
    let all = items().prop_map(|item| vec![item; MAX_ITEMS]);
    let tag = prop_oneof![4 => some, 1 => all].prop_map(|texts| Tag::new(texts).unwrap());
    let most = tag.clone().prop_map(|tag| vec![tag; MAX_TAGS]);
    prop_oneof![4 => vec(tag, 0..=3), 1 => most].prop_map(|tags| Arc::new(Tags::new(tags).unwrap()))
}

fn maintenance_events() -> impl Strategy<Value = maintenance::Event> {
    let created = (window_ids(), times(), times(), tags(), vec(window_ids(), 0..3));
    prop_oneof![
        created.prop_map(|(id, start, end, tags, forgotten)| {
            maintenance::Event::Created { id, start, end, tags, forgotten }
        }),
        (window_ids(), times()).prop_map(|(id, at)| maintenance::Event::Ended { id, at }),
    ]
    .boxed()
}

/// Any windows of a service.
fn windows() -> impl Strategy<Value = Arc<Windows>> {
    let made = (numbers(), times(), actors()).prop_map(|(sequence, at, actor)| Stamp {
        sequence,
        at,
        actor,
    });
    let window = (window_ids(), times(), times(), tags(), made)
        .prop_map(|(id, start, end, tags, made)| Window { id, start, end, tags, made });
    vec(window, 0..4).prop_map(|windows| Arc::new(windows.into_iter().collect())).boxed()
}

fn token_events() -> impl Strategy<Value = token::Event> {
    let times = (expiries(), expiries());
    let created = (names(), reaches(), digests(), last_fours(), times, any::<(bool, bool)>());
    prop_oneof![
        created.prop_map(|(name, reach, digest, last_four, times, flags)| {
            token::Event::Created {
                name,
                reach,
                digest,
                last_four,
                expires_at: times.0,
                url_parameter_allowed: flags.0,
                unavailable_over_limit: flags.1,
                tracked_until: times.1,
            }
        }),
        names().prop_map(|name| token::Event::Renamed { name }),
        expiries().prop_map(|expires_at| token::Event::ExpirySet { expires_at }),
        any::<bool>().prop_map(|unavailable| token::Event::OverLimitSet { unavailable }),
        any::<bool>().prop_map(|allowed| token::Event::UrlParameterSet { allowed }),
        expiries().prop_map(|until| token::Event::TrackingSet { until }),
        Just(token::Event::TrackingEnded),
        (digests(), last_fours())
            .prop_map(|(digest, last_four)| token::Event::SecretReplaced { digest, last_four }),
        last_fours().prop_map(|last_four| token::Event::Expired { last_four }),
        Just(token::Event::Deleted),
    ]
}

fn principal_events() -> impl Strategy<Value = principal::Event> {
    let created = (names(), roles(), digests(), last_fours(), expiries());
    prop_oneof![
        created.prop_map(|(name, roles, digest, last_four, expires_at)| {
            principal::Event::Created { name, roles, digest, last_four, expires_at }
        }),
        names().prop_map(|name| principal::Event::Renamed { name }),
        roles().prop_map(|roles| principal::Event::RolesReplaced { roles }),
        expiries().prop_map(|expires_at| principal::Event::ExpirySet { expires_at }),
        (digests(), last_fours()).prop_map(|(digest, last_four)| {
            principal::Event::CredentialReplaced { digest, last_four }
        }),
        last_fours().prop_map(|last_four| principal::Event::Expired { last_four }),
        Just(principal::Event::Deleted),
    ]
}

/// Changes of one thing, at least one.
fn changes() -> impl Strategy<Value = Vec<Change>> {
    fn of<I: Copy + Debug + 'static, E: Clone + Debug + 'static>(
        ids: impl Strategy<Value = I>,
        events: impl Strategy<Value = E>,
        change: fn(I, E) -> Change,
    ) -> impl Strategy<Value = Vec<Change>> {
        (ids, vec(events, 1..=3)).prop_map(move |(id, events)| {
            events.into_iter().map(|event| change(id, event)).collect()
        })
    }
    prop_oneof![
        of(teams(), team_events(), Change::Team),
        of(services(), service_events(), Change::Service),
        of(tokens(), token_events(), Change::Token),
        of(principals(), principal_events(), Change::Principal),
        digests().prop_map(|digest| vec![Change::BootstrapIssued(digest)]),
    ]
    .boxed()
}

/// Any commit.
pub fn commits() -> impl Strategy<Value = Commit> {
    let request = (sixteen(), thirty_two()).prop_map(|(id, digest)| Request { id, digest });
    (numbers(), thirty_two(), times(), actors(), option::of(request), changes()).prop_map(
        |(sequence, previous_hash, at, actor, request, changes)| Commit {
            sequence,
            previous_hash,
            at,
            actor,
            request,
            changes,
        },
    )
}

fn lives() -> impl Strategy<Value = Life> {
    (times(), actors(), times(), numbers()).prop_map(
        |(created_at, creator, updated_at, version)| Life {
            created_at,
            creator,
            updated_at,
            version,
        },
    )
}

fn live_services(id: ServiceId) -> impl Strategy<Value = Service> {
    (teams(), names(), any::<bool>(), filters(), windows(), lives()).prop_map(
        move |(team, name, disabled, filters, maintenance, life)| Service {
            id,
            team,
            name,
            disabled,
            filters,
            maintenance,
            life,
        },
    )
}

fn live_tokens(id: TokenId) -> impl Strategy<Value = Token> {
    let times = (expiries(), expiries());
    (names(), reaches(), option::of(digests()), last_fours(), times, any::<(bool, bool)>(), lives())
        .prop_map(move |(name, reach, digest, last_four, times, flags, life)| Token {
            id,
            name,
            reach,
            digest,
            last_four,
            expires_at: times.0,
            url_parameter_allowed: flags.0,
            unavailable_over_limit: flags.1,
            tracked_until: times.1,
            life,
        })
}

fn live_principals(id: PrincipalId) -> impl Strategy<Value = Principal> {
    (names(), roles(), option::of(digests()), last_fours(), expiries(), lives()).prop_map(
        move |(name, roles, digest, last_four, expires_at, life)| Principal {
            id,
            name,
            roles,
            digest,
            last_four,
            expires_at,
            life,
        },
    )
}

fn live_teams(id: TeamId) -> impl Strategy<Value = Team> {
    (names(), lives()).prop_map(move |(name, life)| Team { id, name, life })
}

/// There, or deleted for good.
fn entries<T: Clone + Debug + 'static>(
    live: impl Strategy<Value = T> + 'static,
) -> BoxedStrategy<Entry<T>> {
    prop_oneof![4 => live.prop_map(Entry::Live), 1 => Just(Entry::Deleted)].boxed()
}

/// A commit and what it left of what it touched.
pub fn messages() -> impl Strategy<Value = (Commit, Snapshot)> {
    commits().prop_flat_map(|commit| {
        let snapshot = match commit.changes[0] {
            Change::Team(id, _) => {
                entries(live_teams(id)).prop_map(move |entry| Snapshot::Team(id, entry)).boxed()
            }
            Change::Service(id, _) => entries(live_services(id))
                .prop_map(move |entry| Snapshot::Service(id, entry))
                .boxed(),
            Change::Token(id, _) => {
                entries(live_tokens(id)).prop_map(move |entry| Snapshot::Token(id, entry)).boxed()
            }
            Change::Principal(id, _) => entries(live_principals(id))
                .prop_map(move |entry| Snapshot::Principal(id, entry))
                .boxed(),
            Change::BootstrapIssued(_) => Just(Snapshot::Installation).boxed(),
        };
        (Just(commit), snapshot)
    })
}
