//! What the fold makes of single messages: given a partition, when a message comes, then.

use domain::id::ServiceId;
use wire::stored::alert::decode_batch;

use matcher::Scratch;

use super::*;
use crate::catalog::Catalog;
use crate::model::world::{
    Change, GATEWAY, Recipe, Say, World, evaluate, fragile, service, streams, window,
};

const DAY: i64 = 24 * 3_600;
const WIDE: Room = Room { messages: 1_000, bytes: 1 << 20, work: usize::MAX };
const DOWN: Say = Say::Mapped { trigger: Some(0), resolve: None };
const UP: Say = Say::Mapped { trigger: None, resolve: Some(0) };

/// An alert for everybody, so many seconds after the one before.
fn everybody(say: Say, after: i64) -> Recipe {
    Recipe::Alert { reach: 0, say, after }
}

/// The first partition, which has the services 0, 2 and 3, and a commit in the making.
struct Given {
    world: World,
    catalog: Catalog,
    state: PartitionState,
    out: Changes,
    room: Room,
    next: u64,
}

fn given() -> Given {
    let world = World::new();
    let (catalog, state) = (world.catalog(), PartitionState::new(Partition(0)));
    Given { world, catalog, state, out: Changes::default(), room: WIDE, next: 1 }
}

impl Given {
    fn changed(mut self, change: Change) -> Self {
        self.world.change(change);
        self.catalog = self.world.catalog();
        self
    }

    fn folding(&self) -> Folding<'_> {
        let identical_window = incident::IDENTICAL_WINDOW;
        Folding {
            index: &self.catalog.index,
            evaluate,
            identical_window,
            redact: &[],
            room: self.room,
        }
    }

    fn input(&mut self, recipes: &[Recipe]) -> Input {
        let sequence = self.next;
        self.next += 1;
        Input { sequence, batch: Ok(decode_batch(&self.world.batch(recipes)).unwrap()) }
    }

    /// Folds the message; false if the commit is full before it is done.
    fn fold(&mut self, input: &Input) -> bool {
        let (mut state, mut out) = (self.state.clone(), std::mem::take(&mut self.out));
        let mut scratch = Scratch::default();
        let done = self.folding().message(&mut [&mut state], input, &mut scratch, &mut out);
        (self.state, self.out) = (state, out);
        done
    }

    fn when(mut self, recipes: &[Recipe]) -> Self {
        let input = self.input(recipes);
        assert!(self.fold(&input), "there is room");
        self
    }

    fn committed(self) -> Self {
        Self { out: Changes::default(), ..self }
    }

    fn swept(mut self) -> Self {
        let (mut state, mut out) = (self.state.clone(), std::mem::take(&mut self.out));
        assert!(self.folding().deletions(&mut state, 9, &mut out), "there is room");
        (self.state, self.out) = (state, out);
        self
    }

    fn events(&self) -> Vec<(Kind, ServiceId, u64)> {
        let event = |e: &IncidentEvent| (e.kind, e.incident.opening.service, e.alert_count);
        self.out.events.iter().map(event).collect()
    }
}

#[test]
fn an_alert_opens_an_incident_in_each_service_of_the_partition() {
    let then = given().when(&[everybody(DOWN, 0)]);
    let created = [0, 2, 3].map(|n| (Kind::Created, service(n), 1));
    assert_eq!(then.events(), created);
    assert_eq!((then.state.totals.alerts, then.state.totals.services), (1, 3));
    assert!(then.state.totals.invariant_verdicts_balance());
    assert_eq!(then.state.position, Position { sequence: 1, ..Position::default() });
}

#[test]
fn repeats_in_one_commit_are_one_event_and_those_in_the_next_another() {
    let one = Recipe::Alert { reach: 9, say: DOWN, after: 0 };
    assert_eq!(given().when(&[one]).events(), [], "service 4 lives in the other partition");
    let one = Recipe::Alert { reach: 10, say: DOWN, after: 0 };
    let then = given().when(&[one, one]).when(&[one]);
    assert_eq!(then.events(), [(Kind::Created, service(0), 1), (Kind::Repeated, service(0), 2)]);
    let then = then.committed().when(&[one]);
    assert_eq!(then.events(), [(Kind::Repeated, service(0), 1)]);
    assert_eq!(then.out.events[0].incident.occurrences, 4);
}

#[test]
fn a_resolved_episode_begins_again_with_another_incident() {
    let one = |say| Recipe::Alert { reach: 10, say, after: 1 };
    let then = given().when(&[one(DOWN), one(UP), one(DOWN), one(DOWN)]);
    let kinds: Vec<_> = then.events().into_iter().map(|(kind, ..)| kind).collect();
    assert_eq!(kinds, [Kind::Created, Kind::Resolved, Kind::Created, Kind::Repeated]);
    assert_eq!(then.state.incidents.open_count(), 1);
}

#[test]
fn repeats_after_an_acknowledgement_are_told_after_it() {
    let one = Recipe::Alert { reach: 10, say: DOWN, after: 0 };
    // The last alert to have opened anything is the first one.
    let acknowledge = |back| Recipe::Acknowledge { back, service: 0 };
    let then = given().when(&[one, one, acknowledge(1), one, one, acknowledge(3)]);
    let events: Vec<_> = then.events().into_iter().map(|(kind, _, count)| (kind, count)).collect();
    let expected =
        [(Kind::Created, 1), (Kind::Repeated, 1), (Kind::Acknowledged, 0), (Kind::Repeated, 2)];
    assert_eq!(events, expected);
    let counts: Vec<_> = then.out.events.iter().map(|e| e.incident.occurrences).collect();
    assert_eq!(counts, [1, 2, 2, 4]);
    assert_eq!(then.state.totals.commands, 2);
    let told: Vec<_> = then.out.outcomes[&GATEWAY].iter().map(|told| told.flags).collect();
    assert_eq!(told[2], Flags { acknowledged: true, ..Flags::default() });
    assert_eq!(told[5], Flags { acknowledge_duplicate: true, ..Flags::default() });
}

#[test]
fn a_command_for_a_full_commit_waits_for_the_next() {
    let one = Recipe::Alert { reach: 10, say: DOWN, after: 0 };
    let given = given().when(&[one]).committed();
    let mut then = Given { room: Room { messages: 4, ..WIDE }, ..given };
    let input = then.input(&[one, Recipe::Acknowledge { back: 1, service: 0 }]);
    assert!(!then.fold(&input), "the repeat has filled it");
    assert_eq!(then.out.events.last().map(|event| event.kind), Some(Kind::Repeated));
    let mut then = then.committed();
    assert!(then.fold(&input));
    assert_eq!(then.events(), [(Kind::Acknowledged, service(0), 0)]);
}

#[test]
fn a_message_that_is_done_is_dropped() {
    let mut given = given();
    let input = given.input(&[everybody(DOWN, 0)]);
    assert!(given.fold(&input));
    let before = given.state.clone();
    let mut then = given.committed();
    assert!(then.fold(&input));
    assert_eq!((then.state, then.out.is_empty()), (before, true));
}

#[test]
fn where_it_takes_long_a_commit_has_one_service_at_least() {
    let recipes = [everybody(DOWN, 0), everybody(DOWN, 1)];
    let expected = given().when(&recipes).state;
    let mut then = Given { room: Room { work: 1, ..WIDE }, ..given() };
    let input = then.input(&recipes);
    let mut commits = 1;
    while !then.fold(&input) {
        assert!(!then.out.is_empty(), "each goes on");
        then = then.committed();
        commits += 1;
    }
    assert_eq!(then.state, expected);
    assert!(commits >= 4, "{commits} commits");
}

#[test]
fn a_full_commit_goes_on_after_the_last_service_done() {
    let recipes = [everybody(DOWN, 0), everybody(DOWN, 1)];
    let expected = given().when(&recipes).state;
    let mut then = Given { room: Room { messages: 4, ..WIDE }, ..given() };
    let input = then.input(&recipes);
    let mut commits = 1;
    while !then.fold(&input) {
        assert!(then.out.events.len() + then.out.dirty.len() <= 4);
        then = then.committed();
        commits += 1;
        assert!(commits <= 6, "each commit goes on where the one before ended");
    }
    assert_eq!((then.state, commits), (expected, 6));
}

#[test]
fn a_disabled_service_has_its_verdict_and_nothing_else() {
    let then = given().changed(Change::Disable(2, true)).when(&[everybody(DOWN, 0)]);
    assert_eq!(then.events().len(), 2);
    assert_eq!((then.state.totals.disabled, then.state.totals.created), (1, 2));
    assert!(then.state.totals.invariant_verdicts_balance());
}

#[test]
fn the_incidents_of_services_that_are_gone_are_resolved_once() {
    let given = given().when(&[everybody(DOWN, 0)]).committed();
    let then = given.changed(Change::Delete(2)).swept();
    assert_eq!(then.events(), [(Kind::Resolved, service(2), 0)]);
    assert_eq!(then.committed().swept().events(), []);
}

#[test]
fn what_a_commit_closes_is_stored_as_closed_before_it_is_forgotten() {
    let given = given().when(&[everybody(DOWN, 0)]).committed().changed(Change::Delete(2));
    let then = given.swept().when(&[everybody(UP, 2 * DAY)]);
    let kept = |(_, id): &(Partition, IncidentId)| then.state.incidents.get(*id).is_some();
    assert!(then.out.dirty.iter().all(kept), "the commit writes no state for one that is missing");
    let open = then.state.incidents.open_count();
    let then = then.committed().when(&[everybody(UP, 1)]);
    assert_eq!(then.state.incidents.mapped(service(2), &mapped()), None, "it is forgotten later");
    assert_eq!(then.state.incidents.open_count(), open);
}

fn mapped() -> domain::filter::MappedValue {
    domain::filter::MappedValue::new("h0").unwrap()
}

#[test]
fn parked_records_have_weight() {
    let mut then = given();
    then.state.partition = streams().partitions.of(crate::model::world::team(1));
    then.room.bytes = 4_000;
    let panics = [everybody(Say::Panic, 0); 40];
    let input = then.input(&panics);
    assert!(!then.fold(&input), "the commit is full");
    assert!(then.out.parked.len() < 30);
    assert!(then.out.parked.iter().all(|(_, parked)| parked.service == Some(fragile())));
}

#[test]
fn what_was_done_of_a_message_that_is_gone_is_not_done_of_the_next() {
    let mut then = given();
    then.state.position = Position { sequence: 0, records: 1, ..Position::default() };
    then.next = 2;
    let then = then.when(&[everybody(DOWN, 0)]);
    assert_eq!((then.events().len(), then.state.position.sequence), (3, 2));
}

#[test]
fn who_waits_is_told_what_the_record_came_to_over_all_its_services() {
    let then = given().when(&[everybody(DOWN, 0), everybody(DOWN, 0)]);
    let told: Vec<_> = then.out.outcomes[&GATEWAY].iter().map(|told| told.flags).collect();
    let created = Flags { created: true, ..Flags::default() };
    let duplicate = Flags { trigger_duplicate: true, ..Flags::default() };
    assert_eq!(told, [created, duplicate]);
}

/// An alert for the first service, so many seconds after the one before.
fn first(say: Say, after: i64) -> Recipe {
    Recipe::Alert { reach: 10, say, after }
}

/// The window that is made first is this one: five commits make the services.
const FIRST: u64 = 5;

impl Given {
    fn told(&self) -> Vec<Flags> {
        self.out.outcomes[&GATEWAY].iter().map(|told| told.flags).collect()
    }
}

fn suppressed(windows: &[u64]) -> Flags {
    let suppressed_by = windows.iter().map(|n| window(*n)).collect();
    Flags { suppressed: true, suppressed_by, ..Flags::default() }
}

#[test]
fn in_maintenance_nothing_is_opened_or_repeated_but_resolves_still_work() {
    let given = given().when(&[first(DOWN, 0)]).committed();
    let then = given.changed(Change::Maintain(0, 0, 100, false)).when(&[first(DOWN, 1)]);
    assert_eq!((then.events(), then.told()), (vec![], vec![suppressed(&[FIRST])]));
    assert_eq!(then.out.dirty.len(), 0, "the open incident is as it was");
    assert_eq!((then.state.totals.suppressed, then.state.totals.duplicate), (1, 0));
    assert!(then.state.totals.invariant_verdicts_balance());
    let then = then.committed().when(&[first(UP, 1), first(DOWN, 1)]);
    assert_eq!(then.events(), [(Kind::Resolved, service(0), 1)]);
    let resolved = Flags { resolved: true, ..Flags::default() };
    assert_eq!(then.told(), [resolved, suppressed(&[FIRST])]);
}

#[test]
fn one_alert_may_resolve_one_incident_and_have_its_trigger_suppressed() {
    let both = Say::Mapped { trigger: Some(1), resolve: Some(0) };
    let given = given().when(&[first(DOWN, 0)]).committed();
    let then = given.changed(Change::Maintain(0, 0, 100, false)).when(&[first(both, 1)]);
    assert_eq!(then.events(), [(Kind::Resolved, service(0), 1)]);
    assert_eq!(then.told(), [Flags { resolved: true, ..suppressed(&[FIRST]) }]);
}

#[test]
fn a_window_is_from_its_start_to_before_its_end_by_the_time_of_arrival() {
    let given = given().changed(Change::Maintain(0, -5, 10, false));
    let after = [4, 1, 9, 1].map(|after| first(Say::Note(0), after));
    let then = given.when(&after);
    let kinds: Vec<_> = then.told().iter().map(|flags| (flags.created, flags.suppressed)).collect();
    let (passes, held) = ((true, false), (false, true));
    assert_eq!(kinds[..3], [passes, held, held]);
    assert!(then.told()[3].trigger_duplicate, "at its end it is over");
}

#[test]
fn an_alert_that_came_before_the_end_is_suppressed_also_if_it_is_folded_after_it() {
    let mut given = given().changed(Change::Maintain(0, 0, 100, false));
    let early = given.input(&[first(DOWN, 3)]);
    let late = given.input(&[first(DOWN, 1)]);
    let mut then = given.changed(Change::EndMaintenance(0));
    assert!(then.fold(&early) && then.fold(&late));
    assert_eq!(then.events(), [(Kind::Created, service(0), 1)]);
    assert!(then.told()[0].suppressed && then.told()[1].created);
}

#[test]
fn tags_choose_alerts_and_what_triggers_nothing_is_not_suppressed() {
    let given = given().changed(Change::Maintain(0, 0, 100, true));
    let nothing = Say::Mapped { trigger: None, resolve: None };
    let then = given.when(&[first(DOWN, 1), first(Say::Note(0), 0), first(nothing, 0)]);
    let created = Flags { created: true, ..Flags::default() };
    assert_eq!(then.told(), [suppressed(&[FIRST]), created, Flags::default()]);
}

#[test]
fn every_window_that_covers_it_is_named_and_a_disabled_service_names_none() {
    let given = given()
        .changed(Change::Maintain(0, 0, 100, false))
        .changed(Change::Maintain(0, 5, 90, true))
        .changed(Change::Maintain(2, 0, 100, false));
    let then = given.when(&[everybody(DOWN, 1)]);
    let all = Flags { created: true, ..suppressed(&[FIRST, FIRST + 1, FIRST + 2]) };
    assert_eq!(then.told(), [all], "service 3 is not in maintenance");
    let then = then.committed().changed(Change::Disable(2, true)).when(&[everybody(DOWN, 1)]);
    let told = Flags { trigger_duplicate: true, ..suppressed(&[FIRST, FIRST + 1]) };
    assert_eq!((then.told(), then.state.totals.disabled), (vec![told], 1));
}

#[test]
fn what_suppressed_the_first_services_of_an_alert_is_told_after_several_commits() {
    let given = given().changed(Change::Maintain(0, 0, 100, false));
    let mut then = Given { room: Room { messages: 4, ..WIDE }, ..given };
    let input = then.input(&[everybody(DOWN, 1)]);
    while !then.fold(&input) {
        then = then.committed();
    }
    assert_eq!(then.told(), [Flags { created: true, ..suppressed(&[FIRST]) }]);
}

/// What is told of an alert for everybody in the given number of services, commit by commit.
fn told_in(services: u16, alerts: usize) -> Vec<Vec<Told>> {
    let world = World::wide(services).tracked();
    let catalog = world.catalog();
    let room = Room { bytes: 64 << 20, ..WIDE };
    let mut then = Given { world, catalog, room, ..given() };
    let input = then.input(&vec![everybody(DOWN, 0); alerts]);
    let mut commits = vec![];
    loop {
        let done = then.fold(&input);
        commits.push(std::mem::take(&mut then.out.log));
        if done {
            return commits;
        }
        then = then.committed();
    }
}

#[test]
fn only_tracked_alerts_are_told_each_in_a_part() {
    let told = told_in(3, 4);
    assert_eq!(told.len(), 1);
    let ids: Vec<_> = told[0].iter().map(|told| told.alert.as_bytes()[15]).collect();
    assert_eq!(ids, [2, 3], "the first came as tracking had ended, the fourth was never tracked");
    assert!(told[0].iter().all(|told| told.part.last && told.part.after.is_empty()));
}

#[test]
fn a_tracked_alert_that_takes_several_commits_is_told_in_a_part_of_each() {
    let told = told_in(1_500, 2);
    let parts: Vec<_> = told.into_iter().flatten().map(|told| told.part).collect();
    assert!(parts.len() > 2, "{} parts", parts.len());
    let mut before = bytes::Bytes::new();
    let mut services = 0;
    for (n, part) in parts.iter().enumerate() {
        assert_eq!((&part.after, part.last, part.cut), (&before, n + 1 == parts.len(), false));
        assert!(prost::Message::encoded_len(part) < crate::reasons::MAX_BYTES + 4_096);
        let last = part.services.last().unwrap().service.rsplit('/').next().unwrap();
        before = bytes::Bytes::copy_from_slice(ServiceId::parse(last).unwrap().as_bytes());
        services += part.services.len();
    }
    assert_eq!(services, 1_000, "the second team of three is in the other partition");
}

#[test]
fn what_is_told_has_weight() {
    let world = World::wide(300).tracked();
    let catalog = world.catalog();
    let room = Room { bytes: 200 * 1_024, ..WIDE };
    let mut then = Given { world, catalog, room, ..given() };
    let nothing = Say::Mapped { trigger: None, resolve: None };
    let input = then.input(&[everybody(nothing, 0); 40]);
    assert!(!then.fold(&input), "the commit is full of what is told");
    let weight: usize = then.out.log.iter().map(Told::weight).sum();
    assert!((200..300).contains(&(weight / 1_024)), "{weight}");
}

/// How many instructions the fold of an untracked alert takes: run by itself under a counter, such
/// as `valgrind --tool=callgrind`, at two revisions.
#[test]
#[ignore = "make instructions counts what it executes"]
fn untracked_alerts_for_a_counter_of_instructions() {
    let mut given = given();
    for _ in 0..200 {
        let input = given.input(&[first(DOWN, 0); 100]);
        assert!(given.fold(&input), "there is room");
        given = given.committed();
    }
    assert_eq!(given.state.totals.alerts, 20_000);
}
