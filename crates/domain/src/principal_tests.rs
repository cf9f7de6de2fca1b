//! What may happen to a principal, as given, when, then. Must not know what keeps principals.

use super::*;
use crate::aggregate::Actor;
use crate::id::TeamId;

const OBSERVER: Role = Role::Observer(TeamId::from_bytes([2; 16]));

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

fn name(text: &str) -> DisplayName {
    DisplayName::parse(text).unwrap()
}

fn credential(n: u8) -> (Digest, LastFour) {
    (Digest::from_bytes([n; 32]), LastFour::parse(&format!("{n:04}")).unwrap())
}

/// Made with credential 1.
fn created(roles: &[Role], expires_at: Option<i64>) -> Event {
    let (digest, last_four) = credential(1);
    let (roles, expires_at) = (roles.iter().copied().collect(), expires_at.map(at));
    Event::Created { name: name("Ada"), roles, digest, last_four, expires_at }
}

fn admin() -> Event {
    created(&[Role::GlobalAdmin], None)
}

fn observer() -> Event {
    created(&[OBSERVER], None)
}

fn renamed(to: &str) -> Event {
    Event::Renamed { name: name(to) }
}

fn roles(roles: &[Role]) -> Event {
    Event::RolesReplaced { roles: roles.iter().copied().collect() }
}

fn expiry(expires_at: Option<i64>) -> Event {
    Event::ExpirySet { expires_at: expires_at.map(at) }
}

/// Of credential 1.
fn expired() -> Event {
    Event::Expired { last_four: credential(1).1 }
}

fn replaced(n: u8) -> Event {
    let (digest, last_four) = credential(n);
    Event::CredentialReplaced { digest, last_four }
}

/// What is to be made, at time 100.
#[derive(Clone, Copy)]
struct New {
    roles: &'static [Role],
    expires_at: Option<i64>,
    name_taken: bool,
    team_gone: bool,
    by_bootstrap: bool,
}

const NEW: New = New {
    roles: &[OBSERVER],
    expires_at: None,
    name_taken: false,
    team_gone: false,
    by_bootstrap: false,
};

fn create(new: New) -> Command {
    let (digest, last_four) = credential(1);
    Command::Create {
        name: name("Ada"),
        name_taken: new.name_taken,
        roles: new.roles.iter().copied().collect(),
        teams_live: !new.team_gone,
        digest,
        last_four,
        expires_at: new.expires_at.map(at),
        by_bootstrap: new.by_bootstrap,
        now: at(100),
    }
}

/// What an update asks to change, at time 100.
#[derive(Clone, Copy, Default)]
struct Wish {
    expected: Option<u64>,
    name: Option<&'static str>,
    name_taken: bool,
    roles: Option<&'static [Role]>,
    team_gone: bool,
    expires_at: Option<Option<i64>>,
    other_lasting_admin: bool,
}

fn update(wish: Wish) -> Command {
    Command::Update {
        expected: wish.expected,
        name: wish.name.map(name),
        name_taken: wish.name_taken,
        roles: wish.roles.map(|roles| roles.iter().copied().collect()),
        teams_live: !wish.team_gone,
        expires_at: wish.expires_at.map(|expires_at| expires_at.map(at)),
        other_lasting_admin: wish.other_lasting_admin,
        now: at(100),
    }
}

/// At time 100.
fn replace(n: u8, expected: Option<u64>) -> Command {
    let (digest, last_four) = credential(n);
    Command::ReplaceCredential { expected, digest, last_four, now: at(100) }
}

fn delete(expected: Option<u64>, other_lasting_admin: bool) -> Command {
    Command::Delete { expected, other_lasting_admin }
}

fn stamp(sequence: u64) -> Stamp {
    Stamp { sequence, at: at(i64::try_from(sequence).unwrap()), actor: Actor::System }
}

/// The state after these events, of the commits 1, 2, …
fn given(events: &[Event]) -> Entry<Principal> {
    (1..).map(stamp).zip(events).fold(Entry::Absent, |state, (stamp, event)| {
        evolve(state, PrincipalId::from_bytes([1; 16]), event, &stamp)
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
fn no_role_is_given_in_a_team_that_is_not_there() {
    let gone = Err(Rejection::RoleTeamNotFound);
    check(&[], create(New { team_gone: true, ..NEW }), gone);
    let wish = Wish { roles: Some(&[OBSERVER]), team_gone: true, ..Wish::default() };
    check(&[admin()], update(Wish { other_lasting_admin: true, ..wish }), gone);
}

#[test]
fn a_principal_is_made_changed_and_deleted() {
    check(&[], create(NEW), Ok(&[observer()]));
    let lasts_until = Some(101);
    let new = New { expires_at: lasts_until, ..NEW };
    check(&[], create(new), Ok(&[created(&[OBSERVER], lasts_until)]));
    for (wish, event) in [
        (Wish { name: Some("Eve"), ..Wish::default() }, renamed("Eve")),
        (
            Wish { roles: Some(&[Role::Stakeholder]), ..Wish::default() },
            roles(&[Role::Stakeholder]),
        ),
        (Wish { expires_at: Some(lasts_until), ..Wish::default() }, expiry(lasts_until)),
    ] {
        check(&[observer()], update(wish), Ok(&[event]));
    }
    let wish = Wish { name: Some("Eve"), roles: Some(&[]), ..Wish::default() };
    let all = Wish { expires_at: Some(lasts_until), ..wish };
    check(&[observer()], update(all), Ok(&[renamed("Eve"), roles(&[]), expiry(lasts_until)]));
    check(&[observer()], replace(2, None), Ok(&[replaced(2)]));
    check(&[observer()], delete(None, false), Ok(&[Event::Deleted]));
}

#[test]
fn the_bootstrap_credential_makes_a_lasting_global_admin_only() {
    let first = New { by_bootstrap: true, roles: &[Role::GlobalAdmin], ..NEW };
    check(&[], create(first), Ok(&[admin()]));
    let several: &[Role] = &[Role::Stakeholder, Role::GlobalAdmin];
    check(&[], create(New { roles: several, ..first }), Ok(&[created(several, None)]));
    for wrong in [
        New { roles: &[OBSERVER], ..first },
        New { roles: &[], ..first },
        New { roles: &[Role::Stakeholder], name_taken: true, ..first },
        New { expires_at: Some(i64::MAX), ..first },
        New { expires_at: Some(100), ..first },
    ] {
        check(&[], create(wrong), Err(Rejection::FirstMustBeGlobalAdmin));
    }
    check(&[], create(New { name_taken: true, ..first }), Err(Rejection::NameTaken));
}

#[test]
fn a_name_that_is_taken_is_refused_with_all_else_that_was_asked() {
    check(&[], create(New { name_taken: true, ..NEW }), Err(Rejection::NameTaken));
    let wish = Wish { name: Some("Eve"), name_taken: true, roles: Some(&[]), ..Wish::default() };
    check(&[observer()], update(wish), Err(Rejection::NameTaken));
}

#[test]
fn an_expiry_lies_ahead() {
    for past in [i64::MIN, 0, 99, 100] {
        let new = New { expires_at: Some(past), ..NEW };
        check(&[], create(new), Err(Rejection::ExpiryInThePast));
        let wish = Wish { expires_at: Some(Some(past)), ..Wish::default() };
        check(&[observer()], update(wish), Err(Rejection::ExpiryInThePast));
    }
}

#[test]
fn an_expired_credential_stays_dead() {
    for over in [50, 100] {
        let state = [created(&[Role::GlobalAdmin], Some(over))];
        for expires_at in [None, Some(101), Some(over - 1), Some(i64::MAX)] {
            let wish = Wish { expires_at: Some(expires_at), ..Wish::default() };
            check(&state, update(wish), Err(Rejection::Expired));
        }
        check(&state, replace(2, None), Err(Rejection::Expired));
        assert!(given(&state).live().is_some_and(|principal| principal.expired(at(100))));
        let same_expiry = Some(Some(over));
        let wish = Wish { name: Some("Eve"), expires_at: same_expiry, ..Wish::default() };
        check(&state, update(wish), Ok(&[renamed("Eve")]));
        check(&state, delete(None, false), Ok(&[Event::Deleted]));
    }
    let state = [created(&[OBSERVER], Some(101))];
    check(&state, replace(2, None), Ok(&[replaced(2)]));
    assert!(given(&state).live().is_some_and(|principal| !principal.expired(at(100))));
}

#[test]
fn an_expired_credential_stays_dead_once_it_is_said_when_the_clock_is_set_back() {
    let expire = |now| Command::Expire { now: at(now) };
    check(&[created(&[OBSERVER], Some(200))], expire(199), Ok(&[]));
    check(&[created(&[OBSERVER], None)], expire(199), Ok(&[]));
    check(&[created(&[OBSERVER], Some(200))], expire(200), Ok(&[expired()]));
    // At time 100 all of these.
    let state = [created(&[OBSERVER], Some(200)), expired()];
    check(&state, expire(300), Ok(&[]));
    check(&state, replace(2, None), Err(Rejection::Expired));
    for expires_at in [None, Some(101), Some(300)] {
        let wish = Wish { expires_at: Some(expires_at), ..Wish::default() };
        check(&state, update(wish), Err(Rejection::Expired));
    }
    assert!(given(&state).live().is_some_and(|principal| principal.expired(at(100))));
}

#[test]
fn the_last_lasting_global_admin_stays_one() {
    let until = Some(Some(101));
    for (wish, events) in [
        (Wish { roles: Some(&[OBSERVER]), ..Wish::default() }, vec![roles(&[OBSERVER])]),
        (Wish { roles: Some(&[]), ..Wish::default() }, vec![roles(&[])]),
        (Wish { expires_at: until, ..Wish::default() }, vec![expiry(Some(101))]),
        (
            Wish { roles: Some(&[]), expires_at: until, ..Wish::default() },
            vec![roles(&[]), expiry(Some(101))],
        ),
    ] {
        check(&[admin()], update(wish), Err(Rejection::LastGlobalAdmin));
        let with_another = Wish { other_lasting_admin: true, ..wish };
        check(&[admin()], update(with_another), Ok(&events));
    }
    check(&[admin()], delete(None, false), Err(Rejection::LastGlobalAdmin));
    check(&[admin()], delete(None, true), Ok(&[Event::Deleted]));

    let more: &[Role] = &[Role::GlobalAdmin, OBSERVER];
    let wish = Wish { name: Some("Eve"), roles: Some(more), ..Wish::default() };
    check(&[admin()], update(wish), Ok(&[renamed("Eve"), roles(more)]));
    check(&[admin()], replace(2, None), Ok(&[replaced(2)]));
}

#[test]
fn an_admin_with_an_expiry_is_no_lasting_one() {
    let state = [created(&[Role::GlobalAdmin], Some(101))];
    check(&state, delete(None, false), Ok(&[Event::Deleted]));
    let wish = Wish { roles: Some(&[OBSERVER]), ..Wish::default() };
    check(&state, update(wish), Ok(&[roles(&[OBSERVER])]));
    let for_good = Wish { expires_at: Some(None), ..Wish::default() };
    check(&state, update(for_good), Ok(&[expiry(None)]));
}

#[test]
fn what_is_as_asked_already_succeeds_without_events() {
    let by_bootstrap = true;
    for new in [NEW, New { name_taken: true, ..NEW }, New { by_bootstrap, ..NEW }] {
        check(&[admin()], create(new), Ok(&[]));
    }
    check(&[admin()], update(Wish::default()), Ok(&[]));
    let same = Wish {
        expected: Some(1),
        name: Some("Ada"),
        name_taken: true,
        roles: Some(&[Role::GlobalAdmin]),
        team_gone: false,
        expires_at: Some(None),
        other_lasting_admin: false,
    };
    check(&[admin()], update(same), Ok(&[]));
    for expected in [None, Some(1)] {
        check(&[observer(), Event::Deleted], delete(expected, false), Ok(&[]));
    }
}

#[test]
fn what_is_not_there_is_not_found_and_a_deleted_principal_never_comes_back() {
    for state in [&[][..], &[observer(), Event::Deleted]] {
        let wish = Wish { expires_at: Some(None), other_lasting_admin: true, ..Wish::default() };
        check(state, update(wish), Err(Rejection::NotFound));
        check(state, replace(2, None), Err(Rejection::NotFound));
    }
    check(&[], delete(None, true), Err(Rejection::NotFound));
    let first = New { by_bootstrap: true, roles: &[Role::GlobalAdmin], ..NEW };
    for new in [NEW, New { name_taken: true, ..NEW }, first] {
        check(&[observer(), Event::Deleted], create(new), Err(Rejection::NotFound));
    }
    for late in [renamed("Eve"), roles(&[]), expiry(None), replaced(2)] {
        assert_eq!(given(&[observer(), Event::Deleted, late]), Entry::Deleted);
    }
}

#[test]
fn a_caller_who_knows_another_version_is_refused() {
    let state = [observer(), renamed("Eve")];
    for (expected, fits) in [(None, true), (Some(2), true), (Some(1), false), (Some(3), false)] {
        let wish = Wish { expected, name: Some("Ada"), ..Wish::default() };
        check(&state, update(wish), then(fits, &[renamed("Ada")]));
        check(&state, update(Wish { expected, ..Wish::default() }), then(fits, &[]));
        check(&state, replace(2, expected), then(fits, &[replaced(2)]));
        check(&state, delete(expected, false), then(fits, &[Event::Deleted]));
    }
}

#[test]
fn events_make_the_principal_and_date_it() {
    let state = given(&[admin(), renamed("Eve"), roles(&[OBSERVER]), expiry(Some(9)), replaced(2)]);
    let (digest, last_four) = credential(2);
    let expected = Principal {
        id: PrincipalId::from_bytes([1; 16]),
        name: name("Eve"),
        roles: BTreeSet::from([OBSERVER]),
        digest: Some(digest),
        last_four,
        expires_at: Some(at(9)),
        life: Life::begun(&stamp(1)).touched(&stamp(5)),
    };
    assert_eq!(state, Entry::Live(expected));
}
