//! What may happen to a service, as given, when, then. Must not know what keeps services.

use super::*;
use crate::aggregate::Actor;
use crate::filter::{Condition, Filter, Item, Trigger, Urgency};
use crate::id::{FilterId, MaintenanceId};
use crate::time::Timestamp;

const TEAM: TeamId = TeamId::from_bytes([2; 16]);

fn name(text: &str) -> DisplayName {
    DisplayName::parse(text).unwrap()
}

/// One filter with this id.
fn filters(id: u8) -> Arc<Filters> {
    let condition = Condition::new(None, vec![Item::parse("down").unwrap()]).unwrap();
    let trigger = Trigger::new(Urgency::High, vec![condition], None, None, None).unwrap();
    let id = FilterId::from_bytes([id; 16]);
    let filter = Filter { id, name: name("Down"), trigger, resolve: None };
    Arc::new(Filters::new(vec![filter]).unwrap())
}

fn created() -> Event {
    Event::Created { team: TEAM, name: name("Checkout"), disabled: false, filters: filters(1) }
}

fn renamed(to: &str) -> Event {
    Event::Renamed { name: name(to) }
}

fn disabled(disabled: bool) -> Event {
    Event::DisabledSet { disabled }
}

fn replaced(id: u8) -> Event {
    Event::FiltersReplaced { filters: filters(id) }
}

fn create(team_lives: bool, name_taken: bool) -> Command {
    let name = name("Checkout");
    Command::Create {
        team: TEAM,
        team_lives,
        name,
        name_taken,
        disabled: false,
        filters: filters(1),
    }
}

/// What an update asks to change.
#[derive(Default)]
struct Wish {
    expected: Option<u64>,
    name: Option<&'static str>,
    name_taken: bool,
    disabled: Option<bool>,
    filters: Option<u8>,
}

fn update(wish: Wish) -> Command {
    Command::Update {
        expected: wish.expected,
        name: wish.name.map(name),
        name_taken: wish.name_taken,
        disabled: wish.disabled,
        filters: wish.filters.map(filters),
    }
}

fn delete(expected: Option<u64>) -> Command {
    Command::Delete { expected }
}

fn stamp(sequence: u64) -> Stamp {
    let at = Timestamp::from_micros(i64::try_from(sequence).unwrap());
    Stamp { sequence, at, actor: Actor::System }
}

/// The state after these events, of the commits 1, 2, …
fn given(events: &[Event]) -> Entry<Service> {
    (1..).map(stamp).zip(events).fold(Entry::Absent, |state, (stamp, event)| {
        evolve(state, ServiceId::from_bytes([1; 16]), event, &stamp)
    })
}

fn check(events: &[Event], when: Command, then: Result<&[Event], Rejection>) {
    let decided = decide(&given(events), when.clone());
    assert_eq!(decided, then.map(<[Event]>::to_vec), "{events:?} {when:?}");
}

/// What follows if the caller knows the version.
fn then(fits: bool, events: &[Event]) -> Result<&[Event], Rejection> {
    if fits { Ok(events) } else { Err(Rejection::Changed) }
}

#[test]
fn a_service_is_made_changed_and_deleted() {
    check(&[], create(true, false), Ok(&[created()]));
    for (wish, event) in [
        (Wish { name: Some("Basket"), ..Wish::default() }, renamed("Basket")),
        (Wish { disabled: Some(true), ..Wish::default() }, disabled(true)),
        (Wish { filters: Some(2), ..Wish::default() }, replaced(2)),
    ] {
        check(&[created()], update(wish), Ok(&[event]));
    }
    let all =
        Wish { name: Some("Basket"), disabled: Some(true), filters: Some(2), ..Wish::default() };
    check(&[created()], update(all), Ok(&[renamed("Basket"), disabled(true), replaced(2)]));
    check(&[created()], delete(None), Ok(&[Event::Deleted]));
}

#[test]
fn a_team_that_is_gone_gets_no_service() {
    check(&[], create(false, false), Err(Rejection::ParentNotFound));
    check(&[], create(false, true), Err(Rejection::ParentNotFound));
}

#[test]
fn a_name_that_is_taken_is_refused_with_all_else_that_was_asked() {
    check(&[], create(true, true), Err(Rejection::NameTaken));
    let wish =
        Wish { name: Some("Basket"), name_taken: true, disabled: Some(true), ..Wish::default() };
    check(&[created()], update(wish), Err(Rejection::NameTaken));
}

#[test]
fn what_is_as_asked_already_succeeds_without_events() {
    check(&[created()], create(true, true), Ok(&[]));
    check(&[created()], create(false, false), Ok(&[]));
    check(&[created()], update(Wish::default()), Ok(&[]));
    let same = Wish {
        name: Some("Checkout"),
        name_taken: true,
        disabled: Some(false),
        filters: Some(1),
        expected: Some(1),
    };
    check(&[created()], update(same), Ok(&[]));
    for expected in [None, Some(1)] {
        check(&[created(), Event::Deleted], delete(expected), Ok(&[]));
    }
    let only_news = Wish { name: Some("Checkout"), disabled: Some(true), ..Wish::default() };
    check(&[created()], update(only_news), Ok(&[disabled(true)]));
}

#[test]
fn what_is_not_there_is_not_found_and_a_deleted_service_never_comes_back() {
    for state in [&[][..], &[created(), Event::Deleted]] {
        let wish = Wish { disabled: Some(true), ..Wish::default() };
        check(state, update(wish), Err(Rejection::NotFound));
    }
    check(&[], delete(None), Err(Rejection::NotFound));
    for (team_lives, name_taken) in [(true, false), (true, true), (false, false)] {
        let state = [created(), Event::Deleted];
        check(&state, create(team_lives, name_taken), Err(Rejection::NotFound));
    }
    for late in [renamed("Basket"), disabled(true), replaced(2)] {
        assert_eq!(given(&[created(), Event::Deleted, late]), Entry::Deleted);
    }
}

#[test]
fn a_caller_who_knows_another_version_is_refused() {
    let state = [created(), disabled(true)];
    for (expected, fits) in [(None, true), (Some(2), true), (Some(1), false), (Some(3), false)] {
        let wish = Wish { expected, name: Some("Basket"), ..Wish::default() };
        check(&state, update(wish), then(fits, &[renamed("Basket")]));
        check(&state, update(Wish { expected, ..Wish::default() }), then(fits, &[]));
        check(&state, delete(expected), then(fits, &[Event::Deleted]));
    }
}

#[test]
fn events_make_the_service_and_date_it() {
    let state = given(&[created(), renamed("Basket"), disabled(true), replaced(2)]);
    let expected = Service {
        id: ServiceId::from_bytes([1; 16]),
        team: TEAM,
        name: name("Basket"),
        disabled: true,
        filters: filters(2),
        maintenance: Arc::default(),
        life: Life::begun(&stamp(1)).touched(&stamp(4)),
    };
    assert_eq!(state, Entry::Live(expected));
}

const WINDOW: MaintenanceId = MaintenanceId::from_bytes([5; 16]);

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

#[test]
fn a_live_service_has_maintenance_windows() {
    let (id, start, end, tags) = (WINDOW, at(3), at(9), Arc::default());
    let now = at(3);
    let create = maintenance::Command::Create { id, start: None, end, tags, now };
    let create = Command::Maintenance(create);
    let (tags, forgotten) = (Arc::default(), vec![]);
    let made = maintenance::Event::Created { id, start, end, tags, forgotten };
    let made = Event::Maintenance(made);
    check(&[created()], create.clone(), Ok(std::slice::from_ref(&made)));
    let stop = Command::Maintenance(maintenance::Command::End { id, now: at(5) });
    let ended = Event::Maintenance(maintenance::Event::Ended { id, at: at(5) });
    check(&[created(), made.clone()], stop.clone(), Ok(std::slice::from_ref(&ended)));
    for state in [&[][..], &[created(), Event::Deleted]] {
        check(state, create.clone(), Err(Rejection::NotFound));
        check(state, stop.clone(), Err(Rejection::NotFound));
    }
    let state = given(&[created(), made, ended]);
    let service = state.live().unwrap();
    assert_eq!(service.life, Life::begun(&stamp(1)).touched(&stamp(3)));
    let window = service.maintenance.get(WINDOW).unwrap();
    assert_eq!((window.start, window.end, window.made), (at(3), at(5), stamp(2)));
}
