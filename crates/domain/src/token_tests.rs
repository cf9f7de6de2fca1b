//! What may happen to a token, as given, when, then. Must not know what keeps tokens.

use super::*;
use crate::aggregate::Actor;
use crate::id::TeamId;

const REACH: Reach = Reach::Team(TeamId::from_bytes([2; 16]));

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

fn name(text: &str) -> DisplayName {
    DisplayName::parse(text).unwrap()
}

fn secret(n: u8) -> (Digest, LastFour) {
    (Digest::from_bytes([n; 32]), LastFour::parse(&format!("{n:04}")).unwrap())
}

/// Made with secret 1.
fn created(expires_at: Option<i64>) -> Event {
    let (digest, last_four) = secret(1);
    let (name, reach, expires_at) = (name("Grafana"), REACH, expires_at.map(at));
    let (url_parameter_allowed, unavailable_over_limit, tracked_until) = (true, false, None);
    Event::Created {
        name,
        reach,
        digest,
        last_four,
        expires_at,
        url_parameter_allowed,
        unavailable_over_limit,
        tracked_until,
    }
}

fn renamed(to: &str) -> Event {
    Event::Renamed { name: name(to) }
}

fn expiry(expires_at: Option<i64>) -> Event {
    Event::ExpirySet { expires_at: expires_at.map(at) }
}

fn url(allowed: bool) -> Event {
    Event::UrlParameterSet { allowed }
}

fn over_limit(unavailable: bool) -> Event {
    Event::OverLimitSet { unavailable }
}

/// Of secret 1.
fn expired() -> Event {
    Event::Expired { last_four: secret(1).1 }
}

fn replaced(n: u8) -> Event {
    let (digest, last_four) = secret(n);
    Event::SecretReplaced { digest, last_four }
}

/// At time 100.
fn create(target_lives: bool, name_taken: bool, expires_at: Option<i64>) -> Command {
    let (digest, last_four) = secret(1);
    Command::Create {
        name: name("Grafana"),
        name_taken,
        reach: REACH,
        target_lives,
        digest,
        last_four,
        expires_at: expires_at.map(at),
        url_parameter_allowed: true,
        unavailable_over_limit: false,
        tracked: false,
        now: at(100),
    }
}

/// What an update asks to change, at time 100.
#[derive(Clone, Copy, Default)]
struct Wish {
    expected: Option<u64>,
    name: Option<&'static str>,
    name_taken: bool,
    expires_at: Option<Option<i64>>,
    url: Option<bool>,
    over_limit: Option<bool>,
    tracked: Option<bool>,
}

fn update(wish: Wish) -> Command {
    Command::Update {
        expected: wish.expected,
        name: wish.name.map(name),
        name_taken: wish.name_taken,
        expires_at: wish.expires_at.map(|expires_at| expires_at.map(at)),
        url_parameter_allowed: wish.url,
        unavailable_over_limit: wish.over_limit,
        tracked: wish.tracked,
        now: at(100),
    }
}

/// At time 100.
fn replace(n: u8, expected: Option<u64>) -> Command {
    let (digest, last_four) = secret(n);
    Command::ReplaceSecret { expected, digest, last_four, now: at(100) }
}

fn delete(expected: Option<u64>) -> Command {
    Command::Delete { expected }
}

fn stamp(sequence: u64) -> Stamp {
    Stamp { sequence, at: at(i64::try_from(sequence).unwrap()), actor: Actor::System }
}

/// The state after these events, of the commits 1, 2, …
fn given(events: &[Event]) -> Entry<Token> {
    (1..).map(stamp).zip(events).fold(Entry::Absent, |state, (stamp, event)| {
        evolve(state, TokenId::from_bytes([1; 16]), event, &stamp)
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
fn a_token_is_made_changed_and_deleted() {
    for expires_at in [None, Some(101)] {
        check(&[], create(true, false, expires_at), Ok(&[created(expires_at)]));
    }
    for (wish, event) in [
        (Wish { name: Some("Zabbix"), ..Wish::default() }, renamed("Zabbix")),
        (Wish { expires_at: Some(Some(101)), ..Wish::default() }, expiry(Some(101))),
        (Wish { url: Some(false), ..Wish::default() }, url(false)),
    ] {
        check(&[created(None)], update(wish), Ok(&[event]));
    }
    let name = Some("Zabbix");
    let all = Wish { name, expires_at: Some(None), url: Some(false), ..Wish::default() };
    let events = [renamed("Zabbix"), expiry(None), url(false)];
    check(&[created(Some(101))], update(all), Ok(&events));
    check(&[created(None)], replace(2, None), Ok(&[replaced(2)]));
    check(&[created(None)], delete(None), Ok(&[Event::Deleted]));
}

#[test]
fn what_a_token_would_reach_must_live() {
    for (name_taken, expires_at) in [(false, None), (true, None), (false, Some(100))] {
        check(&[], create(false, name_taken, expires_at), Err(Rejection::ParentNotFound));
    }
}

#[test]
fn a_name_that_is_taken_is_refused_with_all_else_that_was_asked() {
    check(&[], create(true, true, None), Err(Rejection::NameTaken));
    let name = Some("Zabbix");
    let wish = Wish { name, name_taken: true, url: Some(false), ..Wish::default() };
    check(&[created(None)], update(wish), Err(Rejection::NameTaken));
}

#[test]
fn an_expiry_lies_ahead() {
    for past in [i64::MIN, 0, 99, 100] {
        check(&[], create(true, false, Some(past)), Err(Rejection::ExpiryInThePast));
        let wish = Wish { expires_at: Some(Some(past)), ..Wish::default() };
        check(&[created(Some(200))], update(wish), Err(Rejection::ExpiryInThePast));
    }
}

#[test]
fn an_expired_token_stays_dead() {
    for over in [50, 100] {
        let state = [created(None), expiry(Some(over))];
        for expires_at in [None, Some(100), Some(101), Some(over - 1), Some(i64::MAX)] {
            let wish = Wish { expires_at: Some(expires_at), ..Wish::default() };
            if expires_at != Some(over) {
                check(&state, update(wish), Err(Rejection::Expired));
            }
        }
        check(&state, replace(2, None), Err(Rejection::Expired));
        assert!(given(&state).live().is_some_and(|token| token.expired(at(100))));
    }
    let state = [created(Some(101))];
    check(&state, replace(2, None), Ok(&[replaced(2)]));
    assert!(given(&state).live().is_some_and(|token| !token.expired(at(100))));
}

#[test]
fn an_expired_token_stays_dead_once_it_is_said_when_the_clock_is_set_back() {
    let expire = |now| Command::Expire { now: at(now) };
    check(&[created(Some(200))], expire(199), Ok(&[]));
    check(&[created(None)], expire(199), Ok(&[]));
    check(&[created(Some(200))], expire(200), Ok(&[expired()]));
    // At time 100 all of these.
    let state = [created(Some(200)), expired()];
    check(&state, expire(300), Ok(&[]));
    check(&state, replace(2, None), Err(Rejection::Expired));
    for expires_at in [None, Some(101), Some(300)] {
        let wish = Wish { expires_at: Some(expires_at), ..Wish::default() };
        check(&state, update(wish), Err(Rejection::Expired));
    }
    let wish = Wish { name: Some("Old"), expires_at: Some(Some(200)), ..Wish::default() };
    check(&state, update(wish), Ok(&[renamed("Old")]));
    assert!(given(&state).live().is_some_and(|token| token.expired(at(100))));
    check(&[], expire(200), Err(Rejection::NotFound));
    check(&[created(Some(200)), Event::Deleted], expire(200), Err(Rejection::NotFound));
}

#[test]
fn an_expired_token_can_be_renamed_and_deleted() {
    let state = [created(Some(50))];
    let same_expiry = Some(Some(50));
    let wish = Wish { name: Some("Old"), expires_at: same_expiry, ..Wish::default() };
    check(&state, update(wish), Ok(&[renamed("Old")]));
    check(&state, delete(None), Ok(&[Event::Deleted]));
}

#[test]
fn what_is_as_asked_already_succeeds_without_events() {
    for (lives, taken, expires_at) in [(true, true, None), (false, false, Some(50))] {
        check(&[created(None)], create(lives, taken, expires_at), Ok(&[]));
    }
    check(&[created(None)], update(Wish::default()), Ok(&[]));
    let same = Wish {
        expected: Some(1),
        name: Some("Grafana"),
        name_taken: true,
        expires_at: Some(Some(50)),
        url: Some(true),
        over_limit: Some(false),
        tracked: Some(false),
    };
    check(&[created(Some(50))], update(same), Ok(&[]));
    for expected in [None, Some(1)] {
        check(&[created(None), Event::Deleted], delete(expected), Ok(&[]));
    }
}

#[test]
fn what_is_not_there_is_not_found_and_a_deleted_token_never_comes_back() {
    for state in [&[][..], &[created(None), Event::Deleted]] {
        let wish = Wish { expires_at: Some(None), ..Wish::default() };
        check(state, update(wish), Err(Rejection::NotFound));
        check(state, replace(2, None), Err(Rejection::NotFound));
    }
    check(&[], delete(None), Err(Rejection::NotFound));
    for (lives, taken) in [(true, false), (true, true), (false, false)] {
        let state = [created(None), Event::Deleted];
        check(&state, create(lives, taken, None), Err(Rejection::NotFound));
    }
    for late in [renamed("Zabbix"), expiry(None), url(false), replaced(2)] {
        assert_eq!(given(&[created(None), Event::Deleted, late]), Entry::Deleted);
    }
}

#[test]
fn a_caller_who_knows_another_version_is_refused() {
    let state = [created(None), url(false)];
    for (expected, fits) in [(None, true), (Some(2), true), (Some(1), false), (Some(3), false)] {
        let wish = Wish { expected, name: Some("Zabbix"), ..Wish::default() };
        check(&state, update(wish), then(fits, &[renamed("Zabbix")]));
        check(&state, update(Wish { expected, ..Wish::default() }), then(fits, &[]));
        check(&state, replace(2, expected), then(fits, &[replaced(2)]));
        check(&state, delete(expected), then(fits, &[Event::Deleted]));
    }
}

#[test]
fn events_make_the_token_and_date_it() {
    let state =
        given(&[created(None), renamed("Zabbix"), expiry(Some(9)), url(false), over_limit(true)]);
    let state = evolve(state, TokenId::from_bytes([1; 16]), &replaced(2), &stamp(6));
    let (digest, last_four) = secret(2);
    let expected = Token {
        id: TokenId::from_bytes([1; 16]),
        name: name("Zabbix"),
        reach: REACH,
        digest: Some(digest),
        last_four,
        expires_at: Some(at(9)),
        url_parameter_allowed: false,
        unavailable_over_limit: true,
        tracked_until: None,
        life: Life::begun(&stamp(1)).touched(&stamp(6)),
    };
    assert_eq!(state, Entry::Live(expected));
}

#[test]
fn the_answer_beyond_the_limit_can_be_chosen() {
    let wish = |over_limit| Wish { over_limit: Some(over_limit), ..Wish::default() };
    check(&[created(None)], update(wish(true)), Ok(&[over_limit(true)]));
    let chosen = [created(None), over_limit(true)];
    check(&chosen, update(wish(true)), Ok(&[]));
    check(&chosen, update(wish(false)), Ok(&[over_limit(false)]));
}

fn tracking(until: Option<i64>) -> Event {
    Event::TrackingSet { until: until.map(at) }
}

const LASTS: i64 = 48 * 60 * 60 * 1_000_000;

#[test]
fn tracking_lasts_48_hours_from_the_last_time_it_was_switched_on() {
    let on = update(Wish { tracked: Some(true), ..Wish::default() });
    let off = update(Wish { tracked: Some(false), ..Wish::default() });
    let until = 100 + LASTS;
    check(&[created(None)], on.clone(), Ok(&[tracking(Some(until))]));
    check(&[created(None), tracking(Some(until - 50))], on.clone(), Ok(&[tracking(Some(until))]));
    check(&[created(None), tracking(Some(99))], on, Ok(&[tracking(Some(until))]));
    check(&[created(None)], off.clone(), Ok(&[]));
    check(&[created(None), tracking(Some(until))], off, Ok(&[tracking(None)]));
    let mut tracked_from_the_start = create(true, false, None);
    if let Command::Create { tracked, .. } = &mut tracked_from_the_start {
        *tracked = true;
    }
    let mut made = created(None);
    if let Event::Created { tracked_until, .. } = &mut made {
        *tracked_until = Some(at(until));
    }
    check(&[], tracked_from_the_start, Ok(&[made]));
}

#[test]
fn a_token_is_tracked_until_its_deadline_and_not_at_it() {
    let state = given(&[created(None), tracking(Some(200))]);
    let token = state.live().unwrap();
    assert!(token.tracked(at(i64::MIN)) && token.tracked(at(199)));
    assert!(!token.tracked(at(200)) && !token.tracked(at(i64::MAX)));
    let state = given(&[created(None), tracking(Some(200)), Event::TrackingEnded]);
    assert!(!state.live().unwrap().tracked(at(199)));
}

#[test]
fn tracking_ends_by_itself_once_and_not_too_early() {
    let end = |now| Command::EndTracking { now: at(now) };
    let tracked = [created(None), tracking(Some(200))];
    check(&tracked, end(199), Ok(&[]));
    check(&tracked, end(200), Ok(&[Event::TrackingEnded]));
    check(&[tracked.as_slice(), &[Event::TrackingEnded]].concat(), end(300), Ok(&[]));
    check(&[tracked.as_slice(), &[tracking(None)]].concat(), end(300), Ok(&[]));
    check(&[tracked.as_slice(), &[tracking(Some(400))]].concat(), end(300), Ok(&[]));
    check(&[created(None), Event::Deleted], end(300), Err(Rejection::NotFound));
}
