//! What clients were told against what is stored: the judge of all tests that break something.
//!
//! Pure. Must not know how either was gathered.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use domain::incident::Totals;
use wire::proto::gander::events::v1::IncidentEvent;

use crate::load::Told;

/// An alert that is in the stream, and what its payload says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// Its id.
    pub id: String,
    /// The value that it is mapped with.
    pub episode: String,
    /// `firing`, `resolved`, or something that no filter knows.
    pub status: String,
}

/// What clients were told, and what was found afterwards.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// What clients were told.
    pub told: Told,
    /// Every alert that was ever in GANDER_ALERTS, in order.
    pub stored: Vec<Alert>,
    /// Every incident event, in order.
    pub events: Vec<IncidentEvent>,
    /// What each partition has counted.
    pub totals: Vec<Totals>,
    /// What there is after all commands.
    pub found: Vec<String>,
}

/// A promise that can be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Promise {
    /// What was answered with 2xx is stored.
    AckedAlertsAreStored,
    /// A service has one open incident for a mapped value.
    IncidentsAreNotDoubled,
    /// Created once, then repeated, acknowledged or resolved, nothing after that.
    HistoriesAreLegal,
    /// Each stored alert is counted once, as what it came to.
    CountsBalance,
    /// A deleted token is not let in.
    RevokedTokensAreOut,
    /// A command that was acknowledged is in force, once.
    CommandsAreInForce,
    /// Answers are those of `docs/http-status.md`.
    AnswersAreDocumented,
    /// What cannot be stored is refused within a second, and no request waits for an answer in vain.
    AnswersAreSoon,
}

impl Promise {
    /// All.
    pub const ALL: [Self; 8] = [
        Self::AckedAlertsAreStored,
        Self::IncidentsAreNotDoubled,
        Self::HistoriesAreLegal,
        Self::CountsBalance,
        Self::RevokedTokensAreOut,
        Self::CommandsAreInForce,
        Self::AnswersAreDocumented,
        Self::AnswersAreSoon,
    ];
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AckedAlertsAreStored => "acked alerts lost",
            Self::IncidentsAreNotDoubled => "duplicate incidents",
            Self::HistoriesAreLegal => "illegal histories",
            Self::CountsBalance => "unbalanced counts",
            Self::RevokedTokensAreOut => "revoked tokens accepted",
            Self::CommandsAreInForce => "admin commands lost",
            Self::AnswersAreDocumented => "answers outside the table",
            Self::AnswersAreSoon => "answers that came late",
        })
    }
}

/// What a command leaves behind, in a word.
pub mod fact {
    /// A team.
    #[must_use]
    pub fn team(display_name: &str) -> String {
        format!("team {display_name}")
    }

    /// A token.
    #[must_use]
    pub fn token(name: &str) -> String {
        format!("token {name}")
    }

    /// A filter of a service.
    #[must_use]
    pub fn filter(service: &str, display_name: &str) -> String {
        format!("{display_name} of {service}")
    }
}

/// What an episode, or all of them, must have come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Outcome {
    created: u64,
    repeated: u64,
    resolved: u64,
    resolve_duplicate: u64,
}

impl Ledger {
    /// Everything that is wrong, as text; nothing if all promises were kept.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        self.broken().into_iter().map(|(_, what)| what).collect()
    }

    /// Everything that is wrong, by the promise that it breaks.
    #[must_use]
    pub fn broken(&self) -> Vec<(Promise, String)> {
        let of = |promise: Promise| {
            let wrong = match promise {
                Promise::AckedAlertsAreStored => self.invariant_acked_alerts_are_stored(),
                Promise::IncidentsAreNotDoubled => self.invariant_one_incident_is_open_at_a_time(),
                Promise::HistoriesAreLegal => self.invariant_events_are_a_legal_history(),
                Promise::CountsBalance => self.invariant_every_stored_alert_is_counted_once(),
                Promise::RevokedTokensAreOut => self.told.let_in.clone(),
                Promise::CommandsAreInForce => self.invariant_acked_commands_are_in_force_once(),
                Promise::AnswersAreDocumented => self.told.outside.clone(),
                Promise::AnswersAreSoon => self.told.late.clone(),
            };
            wrong.into_iter().map(move |what| (promise, what))
        };
        Promise::ALL.into_iter().flat_map(of).collect()
    }

    fn invariant_acked_alerts_are_stored(&self) -> Vec<String> {
        let stored: BTreeSet<&str> = self.stored.iter().map(|alert| alert.id.as_str()).collect();
        let lost = self.told.acked.iter().filter(|id| !stored.contains(id.as_str()));
        lost.map(|id| format!("acked alert lost: {id}")).collect()
    }

    fn invariant_one_incident_is_open_at_a_time(&self) -> Vec<String> {
        let mut open: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
        let mut wrong = Vec::new();
        for event in &self.events {
            let Some(incident) = &event.incident else { continue };
            let of = open.entry((&incident.service, &incident.mapped_value)).or_default();
            match kind(event) {
                "created" => of.insert(&incident.id),
                "resolved" => of.remove(incident.id.as_str()),
                _ => false,
            };
            if kind(event) == "created" && of.len() > 1 {
                let value = &incident.mapped_value;
                wrong.push(format!("{} open incidents for {value}", of.len()));
            }
        }
        wrong
    }

    fn invariant_events_are_a_legal_history(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut ids = BTreeSet::new();
        let mut last: BTreeMap<&str, &str> = BTreeMap::new();
        let mut acknowledged = BTreeSet::new();
        for event in &self.events {
            if !ids.insert(&event.id) {
                wrong.push(format!("event {} is stored twice", event.id));
            }
            let incident = event.incident.as_ref().map_or("", |incident| incident.id.as_str());
            let before = last.insert(incident, kind(event));
            let legal = match (before, kind(event)) {
                (None, "created")
                | (Some("created" | "repeated" | "acknowledged"), "repeated" | "resolved") => true,
                (Some("created" | "repeated"), "acknowledged") => acknowledged.insert(incident),
                _ => false,
            };
            if !legal {
                wrong.push(format!("incident {incident}: {} after {before:?}", kind(event)));
            }
        }
        wrong
    }

    fn invariant_every_stored_alert_is_counted_once(&self) -> Vec<String> {
        let wanted = self.outcomes();
        let counted = counted(&self.events);
        let differ = wanted.iter().filter(|(episode, outcome)| {
            // What had no effect has no event.
            let visible = Outcome { resolve_duplicate: 0, ..**outcome };
            counted.get(*episode).copied().unwrap_or_default() != visible
        });
        let mut wrong: Vec<String> = differ
            .map(|(episode, outcome)| {
                format!("{episode}: {outcome:?} stored, {:?} told", counted.get(episode))
            })
            .collect();
        let mut ids = BTreeSet::new();
        let twice = self.stored.iter().filter(|alert| !ids.insert(&alert.id));
        wrong.extend(twice.map(|alert| format!("alert {} is stored twice", alert.id)));
        // Where alerts were recorded at all.
        let unknown = counted.keys().filter(|_| !self.stored.is_empty());
        let unknown = unknown.filter(|episode| !wanted.contains_key(*episode));
        wrong.extend(unknown.map(|episode| format!("events of {episode}, which nobody sent")));
        wrong.extend(self.invariant_totals_balance_with_the_input(wanted.values()));
        wrong
    }

    /// Also in the checkpoints, where these were read.
    fn invariant_totals_balance_with_the_input<'a>(
        &self,
        outcomes: impl Iterator<Item = &'a Outcome>,
    ) -> Vec<String> {
        if self.totals.is_empty() {
            return vec![];
        }
        let unbalanced = self.totals.iter().filter(|totals| !totals.invariant_verdicts_balance());
        let mut wrong: Vec<_> = unbalanced.map(|totals| format!("verdicts: {totals:?}")).collect();
        let sum = |of: fn(&Totals) -> u64| self.totals.iter().map(of).sum::<u64>();
        let wanted = outcomes.fold(Outcome::default(), |all, one| Outcome {
            created: all.created + one.created,
            repeated: all.repeated + one.repeated,
            resolved: all.resolved + one.resolved,
            resolve_duplicate: all.resolve_duplicate + one.resolve_duplicate,
        });
        let counted = Outcome {
            created: sum(|totals| totals.created),
            repeated: sum(|totals| totals.duplicate),
            resolved: sum(|totals| totals.resolved),
            resolve_duplicate: sum(|totals| totals.resolve_duplicate),
        };
        if counted != wanted {
            wrong.push(format!("checkpoints count {counted:?}, stored is {wanted:?}"));
        }
        let alerts = sum(|totals| totals.alerts);
        if alerts != self.stored.len() as u64 {
            wrong.push(format!("checkpoints count {alerts} alerts of {}", self.stored.len()));
        }
        let aside = sum(|totals| totals.parked + totals.failed);
        if aside > 0 {
            wrong.push(format!("{aside} alerts failed or were parked"));
        }
        wrong
    }

    /// What each episode must come to, folded in the order of the stream.
    fn outcomes(&self) -> BTreeMap<&str, Outcome> {
        let mut folded: BTreeMap<&str, (bool, Outcome)> = BTreeMap::new();
        for alert in &self.stored {
            let (open, outcome) = folded.entry(&alert.episode).or_default();
            match (alert.status.as_str(), *open) {
                ("firing", false) => outcome.created += 1,
                ("firing", true) => outcome.repeated += 1,
                ("resolved", true) => outcome.resolved += 1,
                // What was never open is no duplicate.
                ("resolved", false) => outcome.resolve_duplicate += u64::from(outcome.created > 0),
                _ => continue,
            }
            *open = alert.status == "firing";
        }
        folded.into_iter().map(|(episode, (_, outcome))| (episode, outcome)).collect()
    }

    fn invariant_acked_commands_are_in_force_once(&self) -> Vec<String> {
        let mut times: BTreeMap<&str, usize> = BTreeMap::new();
        for fact in &self.found {
            *times.entry(fact).or_default() += 1;
        }
        let times = |fact: &String| times.get(fact.as_str()).copied().unwrap_or(0);
        let facts = self.told.facts.iter();
        let wrong = facts.filter(|(fact, is_there)| times(fact) != usize::from(**is_there));
        wrong.map(|(fact, _)| format!("{fact} is there {} times", times(fact))).collect()
    }
}

/// What events tell of each episode.
fn counted(events: &[IncidentEvent]) -> BTreeMap<&str, Outcome> {
    let mut counted: BTreeMap<&str, Outcome> = BTreeMap::new();
    for event in events {
        let episode = event.incident.as_ref().map_or("", |incident| incident.mapped_value.as_str());
        let outcome = counted.entry(episode).or_default();
        match kind(event) {
            "created" => outcome.created += event.alert_count,
            "repeated" => outcome.repeated += event.alert_count,
            "resolved" => outcome.resolved += event.alert_count,
            _ => {}
        }
    }
    counted
}

fn kind(event: &IncidentEvent) -> &str {
    event.r#type.trim_start_matches("gander.incident.").trim_end_matches(".v1")
}
