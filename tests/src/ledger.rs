//! What clients were told against what is stored: the judge of the kill tests.
//!
//! Pure. Must not know how either was gathered.

use std::collections::{BTreeMap, BTreeSet};

use wire::proto::gander::events::v1::IncidentEvent;

/// An alert that is in the stream: its id and the episode that its payload names.
pub type Alerts = BTreeMap<String, String>;

/// What clients were told, and what was found afterwards.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// Ids of alerts that were answered with 2xx.
    pub acked: BTreeSet<String>,
    /// Every alert that was ever in GANDER_ALERTS.
    pub stored: Alerts,
    /// Every incident event, in order.
    pub events: Vec<IncidentEvent>,
    /// Names of teams whose creation was acknowledged.
    pub acked_teams: BTreeSet<String>,
    /// Names of the teams that there are.
    pub teams: Vec<String>,
}

impl Ledger {
    /// Everything that is wrong; nothing if all promises were kept.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        let mut wrong = self.invariant_acked_alerts_are_stored();
        wrong.extend(self.invariant_each_episode_has_one_incident());
        wrong.extend(self.invariant_events_are_a_legal_history());
        wrong.extend(self.invariant_every_stored_alert_is_counted_once());
        wrong.extend(self.invariant_acked_commands_are_in_force_once());
        wrong
    }

    fn invariant_acked_alerts_are_stored(&self) -> Vec<String> {
        let lost = self.acked.iter().filter(|id| !self.stored.contains_key(*id));
        lost.map(|id| format!("acked alert lost: {id}")).collect()
    }

    fn invariant_each_episode_has_one_incident(&self) -> Vec<String> {
        let mut created: BTreeMap<&str, usize> = BTreeMap::new();
        for event in self.events.iter().filter(|event| kind(event) == "created") {
            *created.entry(episode(event)).or_default() += 1;
        }
        let wanted: BTreeSet<&str> = self.stored.values().map(String::as_str).collect();
        let missing = wanted.iter().filter(|episode| !created.contains_key(**episode));
        let missing = missing.map(|episode| format!("no incident for {episode}"));
        let twice = created.iter().filter(|(_, count)| **count > 1);
        missing.chain(twice.map(|(episode, n)| format!("{n} incidents for {episode}"))).collect()
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
        let mut counted: BTreeMap<&str, u64> = BTreeMap::new();
        for event in &self.events {
            *counted.entry(episode(event)).or_default() += event.alert_count;
        }
        let mut stored: BTreeMap<&str, u64> = BTreeMap::new();
        for episode in self.stored.values() {
            *stored.entry(episode).or_default() += 1;
        }
        let differ = stored.iter().filter(|(episode, n)| counted.get(**episode) != Some(*n));
        differ
            .map(|(episode, n)| {
                format!("{episode}: {n} stored, {:?} counted", counted.get(episode))
            })
            .collect()
    }

    fn invariant_acked_commands_are_in_force_once(&self) -> Vec<String> {
        let times = |name: &String| self.teams.iter().filter(|team| *team == name).count();
        let wrong = self.acked_teams.iter().filter(|name| times(name) != 1);
        wrong.map(|name| format!("team {name} is there {} times", times(name))).collect()
    }
}

fn kind(event: &IncidentEvent) -> &str {
    event.r#type.trim_start_matches("gander.incident.").trim_end_matches(".v1")
}

fn episode(event: &IncidentEvent) -> &str {
    event.incident.as_ref().map_or("", |incident| incident.mapped_value.as_str())
}
