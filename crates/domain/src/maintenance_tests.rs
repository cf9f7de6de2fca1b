//! What may happen to the windows of a service, as given, when, then, and against a plain model.
//! Must not know what keeps windows.

use proptest::prelude::*;

use super::*;
use crate::aggregate::Actor;

const DAY: i64 = 24 * 60 * 60;
const NOW: i64 = 1_000 * DAY;

/// This many seconds.
fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

fn id(n: u8) -> MaintenanceId {
    MaintenanceId::from_bytes([n; 16])
}

fn tags(texts: &[&[&str]]) -> Arc<Tags> {
    let tag = |texts: &&[&str]| {
        Tag::new(texts.iter().map(|text| Item::parse(text).unwrap()).collect()).unwrap()
    };
    Arc::new(Tags::new(texts.iter().map(tag).collect()).unwrap())
}

fn created(n: u8, start: i64, end: i64) -> Event {
    forgetting(n, start, end, &[])
}

fn forgetting(n: u8, start: i64, end: i64, forgotten: &[u8]) -> Event {
    let forgotten = forgotten.iter().map(|n| id(*n)).collect();
    Event::Created { id: id(n), start: at(start), end: at(end), tags: tags(&[]), forgotten }
}

fn ended(n: u8, when: i64) -> Event {
    Event::Ended { id: id(n), at: at(when) }
}

fn create(n: u8, start: Option<i64>, end: i64) -> Command {
    let (start, end, tags) = (start.map(at), at(end), tags(&[]));
    Command::Create { id: id(n), start, end, tags, now: at(NOW) }
}

fn end(n: u8) -> Command {
    Command::End { id: id(n), now: at(NOW) }
}

fn stamp() -> Stamp {
    Stamp { sequence: 7, at: at(NOW), actor: Actor::System }
}

fn given(events: &[Event]) -> Windows {
    let mut windows = Windows::default();
    events.iter().for_each(|event| windows.evolve(event, &stamp()));
    windows
}

fn check(events: &[Event], when: Command, then: Result<&[Event], Rejection>) {
    let decided = decide(&given(events), when.clone());
    assert_eq!(decided, then.map(<[Event]>::to_vec), "{events:?} {when:?}");
}

#[test]
fn a_window_begins_now_or_later_and_lasts_at_most_a_leap_year() {
    check(&[], create(1, None, NOW + 1), Ok(&[created(1, NOW, NOW + 1)]));
    check(&[], create(1, Some(NOW), NOW + 1), Ok(&[created(1, NOW, NOW + 1)]));
    check(&[], create(1, Some(NOW + 5), NOW + 6), Ok(&[created(1, NOW + 5, NOW + 6)]));
    check(&[], create(1, Some(NOW - 1), NOW + 1), Err(Rejection::StartInThePast));
    check(&[], create(1, None, NOW), Err(Rejection::EndNotAfterStart));
    check(&[], create(1, Some(NOW + 5), NOW + 5), Err(Rejection::EndNotAfterStart));
    let longest = NOW + 366 * DAY;
    check(&[], create(1, None, longest), Ok(&[created(1, NOW, longest)]));
    check(&[], create(1, None, longest + 1), Err(Rejection::WindowTooLong));
}

#[test]
fn a_window_is_ended_at_once_and_one_that_has_not_begun_is_cancelled() {
    check(&[created(1, NOW - 5, NOW + 5)], end(1), Ok(&[ended(1, NOW)]));
    check(&[created(1, NOW + 5, NOW + 9)], end(1), Ok(&[ended(1, NOW)]));
    let cancelled = given(&[created(1, NOW + 5, NOW + 9), ended(1, NOW)]);
    for seconds in [NOW - 1, NOW, NOW + 5, NOW + 9] {
        assert!(cancelled.covering(at(seconds), &Payload::new("")).is_empty());
    }
    assert_eq!(cancelled.get(id(1)).map(|window| window.state(at(NOW))), Some(State::Ended));
}

#[test]
fn what_is_as_asked_already_succeeds_without_events_and_what_is_not_there_is_not_found() {
    check(&[created(1, NOW - 5, NOW)], end(1), Ok(&[]));
    check(&[created(1, NOW - 5, NOW + 5), ended(1, NOW - 1)], end(1), Ok(&[]));
    check(&[created(1, NOW, NOW + 5)], create(1, None, NOW + 5), Ok(&[]));
    check(&[], end(1), Err(Rejection::NotFound));
    check(&[created(1, NOW, NOW + 5), ended(2, NOW)], end(2), Err(Rejection::NotFound));
}

#[test]
fn what_ended_long_ago_is_forgotten_when_another_one_is_made() {
    let week = 7 * DAY;
    let state = [
        created(1, 0, NOW - week - 1),
        created(2, 0, NOW - week),
        created(3, NOW, NOW + 5),
        created(4, NOW + 5, NOW + 9),
        ended(4, NOW - week - 2),
    ];
    let then = forgetting(5, NOW, NOW + 1, &[4, 1]);
    check(&state, create(5, None, NOW + 1), Ok(std::slice::from_ref(&then)));
    let left = given(&[&state[..], &[then]].concat());
    assert_eq!(left.iter().map(|window| window.id).collect::<Vec<_>>(), [id(2), id(3), id(5)]);
}

/// As many windows as there may be, the first of them ended at this time.
fn full(first_end: i64) -> Vec<Event> {
    let most = u8::try_from(MAX_WINDOWS).unwrap();
    let later = (2..=most).map(|n| created(n, NOW - 5, NOW + i64::from(n)));
    std::iter::once(created(1, NOW - 10, first_end)).chain(later).collect()
}

#[test]
fn a_full_service_forgets_the_first_that_ended_and_never_one_that_has_not() {
    check(&full(NOW - 1), create(99, None, NOW + 1), Ok(&[forgetting(99, NOW, NOW + 1, &[1])]));
    check(&full(NOW), create(99, None, NOW + 1), Ok(&[forgetting(99, NOW, NOW + 1, &[1])]));
    check(&full(NOW + 1), create(99, None, NOW + 1), Err(Rejection::TooManyWindows));
    check(&full(NOW + 1), create(1, None, NOW + 1), Ok(&[]));
}

/// The most that the tags of a window may say.
fn longest_tags() -> Arc<Tags> {
    let text = Item::parse(&"😀".repeat(50)).unwrap();
    let tag = Tag::new(vec![text; MAX_ITEMS]).unwrap();
    Arc::new(Tags::new(vec![tag; MAX_TAGS]).unwrap())
}

#[test]
fn the_texts_of_all_tags_have_a_limit() {
    let long = |n, end| Event::Created {
        id: id(n),
        start: at(NOW - 5),
        end: at(end),
        tags: longest_tags(),
        forgotten: vec![],
    };
    let fitting = u8::try_from(MAX_TEXT_BYTES / longest_tags().bytes()).unwrap();
    let create = |n| Command::Create {
        id: id(n),
        start: None,
        end: at(NOW + 1),
        tags: longest_tags(),
        now: at(NOW),
    };
    let mut state: Vec<_> = (1..fitting).map(|n| long(n, NOW + 5)).collect();
    assert!(decide(&given(&state), create(99)).is_ok(), "it fits");
    state.push(long(fitting, NOW + 5));
    check(&state, create(99), Err(Rejection::TooManyWindows));
    let one_ended = given(&[&state[..], &[ended(3, NOW)]].concat());
    let decided = decide(&one_ended, create(99)).unwrap();
    assert!(matches!(&decided[..], [Event::Created { forgotten, .. }] if *forgotten == [id(3)]));
}

#[test]
fn tags_have_limits() {
    let text = Item::parse("x").unwrap();
    assert_eq!(Tag::new(vec![]), Err(Error::Texts));
    assert_eq!(Tag::new(vec![text.clone(); 11]), Err(Error::Texts));
    let tag = Tag::new(vec![text; 10]).unwrap();
    assert!(Tags::new(vec![tag.clone(); 10]).is_ok());
    assert_eq!(Tags::new(vec![tag; 11]), Err(Error::Tags));
}

#[test]
fn one_tag_whose_texts_all_occur_is_enough_and_none_is_every_payload() {
    let either: &[&[&str]] = &[&["DB1", "replica"], &["backup"]];
    for (tagged, payload, covered) in [
        (&[][..], "", true),
        (either, r#"{"host": "db1", "kind": "REPLICA"}"#, true),
        (either, "Backup of db2", true),
        (either, "db1", false),
        (either, "", false),
    ] {
        let (start, end, forgotten) = (at(1), at(2), vec![]);
        let event = Event::Created { id: id(1), start, end, tags: tags(tagged), forgotten };
        let found = given(&[event]).covering(at(1), &Payload::new(payload));
        assert_eq!(!found.is_empty(), covered, "{tagged:?} {payload}");
    }
}

#[test]
fn of_many_windows_the_first_ten_are_named_whatever_the_order() {
    let named = |ids: &[u8]| ids.iter().map(|n| id(*n)).collect::<WindowIds>();
    let all: Vec<u8> = (1..=12).collect();
    let first: Vec<u8> = (1..=10).collect();
    assert_eq!(named(&all), named(&first));
    assert_eq!(named(&[12, 3, 3]).union(named(&[2, 12])), named(&[2, 3, 12]));
    assert_eq!(named(&all[6..]).union(named(&all[..6])), named(&first));
    assert_eq!(named(&[5]).union(WindowIds::default()), named(&[5]));
    assert_eq!(WindowIds::default().union(named(&[5])), named(&[5]));
    assert!(!named(&[5]).is_empty() && WindowIds::default().is_empty());
}

/// What is asked of windows at a time.
#[derive(Clone, Debug)]
enum Ask {
    /// Make one that begins so much later and lasts so long, with tags of these texts.
    Create(Option<i64>, i64, Vec<Vec<&'static str>>),
    /// End the one that was made so many before.
    End(usize),
}

/// A window as a plain reading of what was asked has it.
struct Plain {
    id: MaintenanceId,
    start: i64,
    end: i64,
    tags: Vec<Vec<&'static str>>,
}

const TEXTS: [&str; 3] = ["db", "DB", "up"];
const PAYLOADS: [&str; 4] = ["", "the DB", "Up", "db is up"];

fn asks() -> impl Strategy<Value = Ask> {
    let tag = prop::collection::vec(prop::sample::select(&TEXTS[..]), 1..3);
    prop_oneof![
        3 => (prop::option::of(0..4_i64), 1..6_i64, prop::collection::vec(tag, 0..3))
            .prop_map(|(later, lasts, tags)| Ask::Create(later, lasts, tags)),
        2 => (0..4_usize).prop_map(Ask::End),
    ]
}

/// The windows that cover it, by a plain reading.
fn covering(model: &[Plain], seconds: i64, payload: &str) -> Vec<MaintenanceId> {
    let payload = payload.to_lowercase();
    let holds = |text: &&str| payload.contains(&text.to_lowercase());
    let covers = |window: &&Plain| {
        let tagged = window.tags.is_empty() || window.tags.iter().any(|t| t.iter().all(holds));
        (window.start..window.end).contains(&seconds) && tagged
    };
    model.iter().filter(covers).map(|window| window.id).take(MAX_NAMED).collect()
}

proptest! {
    #[test]
    fn windows_cover_what_a_plain_reading_of_the_commands_says(
        asks in prop::collection::vec((0..3_i64, asks()), 0..40),
    ) {
        let (mut windows, mut model, mut now) = (Windows::default(), Vec::<Plain>::new(), NOW);
        for (n, (pause, ask)) in (1..).zip(asks) {
            now += pause;
            let command = match ask {
                Ask::Create(later, lasts, texts) => {
                    let start = now + later.unwrap_or(0);
                    let texts_of: Vec<&[&str]> = texts.iter().map(Vec::as_slice).collect();
                    let (tags, end) = (tags(&texts_of), start + lasts);
                    model.push(Plain { id: id(n), start, end, tags: texts });
                    let start = later.map(|_| at(start));
                    Command::Create { id: id(n), start, end: at(end), tags, now: at(now) }
                }
                Ask::End(back) => {
                    let Some(which) = model.len().checked_sub(back + 1) else { continue };
                    let window = &mut model[which];
                    window.end = window.end.min(now);
                    Command::End { id: window.id, now: at(now) }
                }
            };
            let stamp = Stamp { at: at(now), ..stamp() };
            let events = decide(&windows, command.clone()).unwrap();
            events.iter().for_each(|event| windows.evolve(event, &stamp));
            prop_assert_eq!(decide(&windows, command).unwrap(), vec![]);
            for seconds in NOW..now + 12 {
                for payload in PAYLOADS {
                    let found = windows.covering(at(seconds), &Payload::new(payload));
                    let found: Vec<_> = found.iter().collect();
                    prop_assert_eq!(found, covering(&model, seconds, payload));
                }
            }
            let active = model.iter().any(|window| (window.start..window.end).contains(&now));
            prop_assert_eq!(windows.active(at(now)), active);
        }
    }
}
