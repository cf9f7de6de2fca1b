//! What commands about incidents lead to: given incidents, when a principal says so, then.

use super::*;
use crate::filter::{MappedValue, Urgency};
use crate::id::{AlertId, FilterId, TokenId};
use crate::incident::{Acknowledgement, Cause, begun};

const TEAM: TeamId = TeamId::from_bytes([1; 16]);
const SERVICE: ServiceId = ServiceId::from_bytes([2; 16]);
const INCIDENT: IncidentId = IncidentId::from_bytes([3; 16]);
const ADA: PrincipalId = PrincipalId::from_bytes([4; 16]);
const EVE: PrincipalId = PrincipalId::from_bytes([5; 16]);

const fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

const fn command(by: PrincipalId, seconds: i64) -> Command {
    Command { incident: INCIDENT, team: TEAM, service: SERVICE, by, at: at(seconds) }
}

fn created() -> Event {
    let (id, token) = (AlertId::from_bytes([6; 16]), TokenId::from_bytes([7; 16]));
    Event::Created(Arc::new(Opening {
        id: INCIDENT,
        team: TEAM,
        service: SERVICE,
        filter: FilterId::from_bytes([8; 16]),
        urgency: Urgency::High,
        title: "t".to_owned(),
        description: String::new(),
        mapped: MappedValue::new("disk"),
        cause: Cause { id, token, received_at: at(0), from: None },
        payload: Bytes::new(),
        payload_omitted: false,
        payload_digest: [9; 32],
    }))
}

fn given(events: &[Event]) -> Incidents {
    let mut state = Incidents::default();
    events.iter().for_each(|event| state.evolve(event));
    state
}

fn acknowledged(by: PrincipalId, seconds: i64) -> Event {
    Event::Acknowledged { incident: INCIDENT, by, at: at(seconds) }
}

fn resolved(by: PrincipalId, seconds: i64) -> Event {
    let reason = ResolveReason::Principal(by);
    Event::Resolved { incident: INCIDENT, at: at(seconds), reason }
}

fn repeated(seconds: i64) -> Event {
    Event::Repeated { incident: INCIDENT, at: at(seconds) }
}

#[test]
fn an_open_incident_is_acknowledged_once_and_stays_open() {
    let state = given(&[created()]);
    let (event, verdict) = decide_acknowledge(&state, &command(ADA, 5));
    let then = (Some(acknowledged(ADA, 5)), AcknowledgeVerdict::Acknowledged);
    assert_eq!((event, verdict), then);
    let state = given(&[created(), acknowledged(ADA, 5)]);
    let again = decide_acknowledge(&state, &command(EVE, 6));
    assert_eq!(again, (None, AcknowledgeVerdict::Duplicate));
    let incident = state.get(INCIDENT).unwrap();
    assert!(incident.is_open());
    assert_eq!(incident.acknowledged, Some(Acknowledgement { by: ADA, at: at(5) }));
}

#[test]
fn repeats_and_the_resolution_keep_the_acknowledgement() {
    let state = given(&[created(), acknowledged(ADA, 5), repeated(6)]);
    let incident = state.get(INCIDENT).unwrap();
    assert_eq!((incident.occurrences, incident.last_at), (2, at(6)));
    assert_eq!(incident.acknowledged, Some(Acknowledgement { by: ADA, at: at(5) }));
    let (event, verdict) = decide_resolve(&state, &command(EVE, 7));
    assert_eq!((event, verdict), (Some(resolved(EVE, 7)), ResolveVerdict::Resolved));
    let state = given(&[created(), acknowledged(ADA, 5), resolved(EVE, 7)]);
    assert_eq!(state.get(INCIDENT).unwrap().acknowledged.map(|found| found.by), Some(ADA));
    assert_eq!(decide_resolve(&state, &command(ADA, 8)), (None, ResolveVerdict::Duplicate));
}

#[test]
fn a_closed_incident_is_not_acknowledged() {
    for before in
        [vec![created(), resolved(ADA, 1)], vec![created(), acknowledged(ADA, 1), resolved(ADA, 2)]]
    {
        let decided = decide_acknowledge(&given(&before), &command(EVE, 3));
        assert_eq!(decided, (None, AcknowledgeVerdict::Closed));
    }
    let nothing = decide_acknowledge(&given(&[]), &command(EVE, 3));
    assert_eq!(nothing, (None, AcknowledgeVerdict::None));
}

#[test]
fn a_command_reaches_no_incident_of_another_team_or_service() {
    let state = given(&[created()]);
    let other_team = Command { team: TeamId::from_bytes([0xa; 16]), ..command(EVE, 1) };
    let other_service = Command { service: ServiceId::from_bytes([0xb; 16]), ..command(EVE, 1) };
    for command in [other_team, other_service] {
        assert_eq!(decide_acknowledge(&state, &command), (None, AcknowledgeVerdict::None));
        assert_eq!(decide_resolve(&state, &command), (None, ResolveVerdict::None));
    }
}

#[test]
fn an_incident_id_tells_when_its_first_alert_came() {
    let millis: [u8; 6] = [0x01, 0xa2, 0x0e, 0x18, 0x6b, 0xe7];
    let mut alert = [0x7f; 16];
    alert[..6].copy_from_slice(&millis);
    let id = crate::incident::incident_id(AlertId::from_bytes(alert), SERVICE);
    assert_eq!(begun(id), Timestamp::from_micros(0x01a2_0e18_6be7 * 1_000));
}

/// An alert with the id of the one that was parked.
const fn deciding(alert: &Alert) -> Deciding<'_> {
    Deciding {
        alert,
        team: TEAM,
        service: SERVICE,
        identical_window: Duration::from_secs(60),
        in_maintenance: false,
    }
}

fn parked_alert() -> Alert {
    Alert {
        id: AlertId::from_bytes([6; 16]),
        token: TokenId::from_bytes([7; 16]),
        received_at: at(0),
        from: None,
        payload: Bytes::from_static(b"{}"),
        payload_digest: [9; 32],
    }
}

#[test]
fn an_alert_that_is_evaluated_twice_opens_its_incident_once() {
    let alert = parked_alert();
    let on = deciding(&alert);
    let mapped = [None, MappedValue::new("disk")];
    for mapped in mapped {
        let trigger = Triggered {
            filter: FilterId::from_bytes([8; 16]),
            urgency: Urgency::High,
            title: "t".to_owned(),
            description: String::new(),
            mapped,
        };
        let found = Match { trigger: Some(trigger), resolves: vec![] };
        let opened = decide(&Incidents::default(), &on, &found);
        let none = ResolveVerdict::None;
        assert_eq!(opened.verdict, Verdict::Evaluated(TriggerVerdict::Created, none));
        let incident = opened.events[0].incident();
        assert_eq!(opened.triggered, Some(incident));
        let mut state = given(&opened.events);
        let duplicate = Decision {
            events: vec![],
            verdict: Verdict::Evaluated(TriggerVerdict::Duplicate, none),
            triggered: Some(incident),
            resolved: None,
        };
        assert_eq!(decide(&state, &on, &found), duplicate, "open: not counted again");
        let reason = ResolveReason::Principal(ADA);
        state.evolve(&Event::Resolved { incident, at: at(5), reason });
        assert_eq!(decide(&state, &on, &found), duplicate, "closed: not opened again");
    }
}

#[test]
fn a_decision_names_the_incidents_that_it_is_about() {
    let alert = Alert { received_at: at(3), id: AlertId::from_bytes([60; 16]), ..parked_alert() };
    let on = deciding(&alert);
    let value = MappedValue::new("disk").unwrap();
    let candidate = ResolveCandidate { filter: FilterId::from_bytes([8; 16]), value };
    let resolves = Match { trigger: None, resolves: vec![candidate] };
    let about = |state: &Incidents| {
        let decision = decide(state, &on, &resolves);
        (decision.verdict, decision.resolved)
    };
    let came_to = |verdict| Verdict::Evaluated(TriggerVerdict::None, verdict);
    let open = given(&[created()]);
    assert_eq!(about(&open), (came_to(ResolveVerdict::Resolved), Some(INCIDENT)));
    let closed = given(&[created(), resolved(ADA, 2)]);
    assert_eq!(about(&closed), (came_to(ResolveVerdict::Duplicate), Some(INCIDENT)));
    assert_eq!(about(&Incidents::default()), (came_to(ResolveVerdict::None), None));
}

#[test]
fn an_alert_of_the_past_does_not_set_the_last_one_back() {
    let state = given(&[created(), repeated(9), repeated(4)]);
    let incident = state.get(INCIDENT).unwrap();
    assert_eq!((incident.occurrences, incident.last_at), (3, at(9)));
}

#[test]
fn identical_payloads_are_one_where_they_are_near_in_time_whichever_clock_is_ahead() {
    let trigger = Triggered {
        filter: FilterId::from_bytes([8; 16]),
        urgency: Urgency::High,
        title: "t".to_owned(),
        description: String::new(),
        mapped: None,
    };
    let found = Match { trigger: Some(trigger), resolves: vec![] };
    let mut state = Incidents::default();
    let mut verdict = |n: u8, seconds: i64| {
        let id = AlertId::from_bytes([n; 16]);
        let alert = Alert { id, received_at: at(seconds), ..parked_alert() };
        let on = deciding(&alert);
        let decision = decide(&state, &on, &found);
        decision.events.iter().for_each(|event| state.evolve(event));
        decision.verdict == Verdict::Evaluated(TriggerVerdict::Created, ResolveVerdict::None)
    };
    // A clock that was an hour ahead swallows nothing.
    let alerts = [
        (3_700, true),
        (100, true),
        (40, false),
        (160, false),
        (161, true),
        (39, true),
        (3_640, false),
    ];
    for ((seconds, is_new), n) in alerts.into_iter().zip(1..) {
        assert_eq!(verdict(n, seconds), is_new, "at {seconds} s");
    }
}

#[test]
fn what_a_closed_incident_says_is_forgotten_and_which_it_was_is_not() {
    let mut state = given(&[created(), repeated(1), resolved(ADA, 2)]);
    let whole = state.get(INCIDENT).unwrap().clone();
    state.forget_contents();
    let known = state.get(INCIDENT).unwrap();
    assert_eq!((known.opening.title.as_str(), known.occurrences), ("", 2));
    let opening = Opening { title: "t".to_owned(), ..(*known.opening).clone() };
    assert_eq!(Incident { opening: Arc::new(opening), ..known.clone() }, whole);
    assert_eq!(decide_resolve(&state, &command(EVE, 3)), (None, ResolveVerdict::Duplicate));
    let mut open = given(&[created()]);
    open.forget_contents();
    assert_eq!(open, given(&[created()]), "of an open one nothing is");
}
