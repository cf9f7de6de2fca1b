//! What an alert came to in a service, and how that is counted.
//!
//! Must not know incidents, only the words for what happened.

use crate::maintenance::WindowIds;

/// What the trigger parts of a service's filters came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TriggerVerdict {
    /// An incident was created.
    Created,
    /// The incident of that episode was open already.
    Duplicate,
    /// A maintenance window held it back.
    Suppressed,
    /// No trigger held.
    None,
}

/// What the resolve parts of a service's filters came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResolveVerdict {
    /// An open incident was resolved.
    Resolved,
    /// It was closed already, not long ago.
    Duplicate,
    /// No resolve part held, or none named an incident.
    None,
}

/// What it came to that a principal acknowledged an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcknowledgeVerdict {
    /// An open incident was acknowledged.
    Acknowledged,
    /// Somebody had acknowledged it already.
    Duplicate,
    /// It was closed already, not long ago.
    Closed,
    /// There is no such incident.
    None,
}

/// What an alert came to in one service: exactly one for each service in scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The service is disabled.
    Disabled,
    /// Its evaluation failed; the alert is parked.
    Failed,
    /// It was evaluated.
    Evaluated(TriggerVerdict, ResolveVerdict),
}

/// What an alert came to over several services: the union. Or what a command came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// An incident was created.
    pub created: bool,
    /// A trigger was a duplicate.
    pub trigger_duplicate: bool,
    /// An incident was resolved.
    pub resolved: bool,
    /// A resolve was a duplicate, or what was to be acknowledged is closed.
    pub resolve_duplicate: bool,
    /// A trigger was suppressed.
    pub suppressed: bool,
    /// The maintenance windows that suppressed one.
    pub suppressed_by: WindowIds,
    /// An evaluation failed.
    pub failed: bool,
    /// An incident was acknowledged.
    pub acknowledged: bool,
    /// An acknowledgement was a duplicate.
    pub acknowledge_duplicate: bool,
}

impl Flags {
    /// These and those of one more service, where these maintenance windows suppressed a trigger.
    #[must_use]
    pub fn with(self, verdict: Verdict, suppressed_by: WindowIds) -> Self {
        self.union(Self { suppressed_by, ..Self::from(verdict) })
    }

    /// These and those.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self {
            created: self.created || other.created,
            trigger_duplicate: self.trigger_duplicate || other.trigger_duplicate,
            resolved: self.resolved || other.resolved,
            resolve_duplicate: self.resolve_duplicate || other.resolve_duplicate,
            suppressed: self.suppressed || other.suppressed,
            suppressed_by: self.suppressed_by.union(other.suppressed_by),
            failed: self.failed || other.failed,
            acknowledged: self.acknowledged || other.acknowledged,
            acknowledge_duplicate: self.acknowledge_duplicate || other.acknowledge_duplicate,
        }
    }
}

impl From<Verdict> for Flags {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Disabled => Self::default(),
            Verdict::Failed => Self { failed: true, ..Self::default() },
            Verdict::Evaluated(trigger, resolve) => Self {
                created: trigger == TriggerVerdict::Created,
                trigger_duplicate: trigger == TriggerVerdict::Duplicate,
                suppressed: trigger == TriggerVerdict::Suppressed,
                resolved: resolve == ResolveVerdict::Resolved,
                resolve_duplicate: resolve == ResolveVerdict::Duplicate,
                ..Self::default()
            },
        }
    }
}

impl From<ResolveVerdict> for Flags {
    fn from(verdict: ResolveVerdict) -> Self {
        Self {
            resolved: verdict == ResolveVerdict::Resolved,
            resolve_duplicate: verdict == ResolveVerdict::Duplicate,
            ..Self::default()
        }
    }
}

impl From<AcknowledgeVerdict> for Flags {
    fn from(verdict: AcknowledgeVerdict) -> Self {
        Self {
            acknowledged: verdict == AcknowledgeVerdict::Acknowledged,
            acknowledge_duplicate: verdict == AcknowledgeVerdict::Duplicate,
            resolve_duplicate: verdict == AcknowledgeVerdict::Closed,
            ..Self::default()
        }
    }
}

/// Running totals of a partition. They balance: see [`Totals::invariant_verdicts_balance`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Alerts finished.
    pub alerts: u64,
    /// Commands finished.
    pub commands: u64,
    /// Services in scope, over all alerts.
    pub services: u64,
    /// Verdicts of disabled services.
    pub disabled: u64,
    /// Verdicts of failed evaluations.
    pub failed: u64,
    /// Incidents created.
    pub created: u64,
    /// Triggers that were duplicates.
    pub duplicate: u64,
    /// Triggers that were suppressed.
    pub suppressed: u64,
    /// Evaluations without a trigger.
    pub untriggered: u64,
    /// Incidents resolved by alerts.
    pub resolved: u64,
    /// Resolves that were duplicates.
    pub resolve_duplicate: u64,
    /// Evaluations without a resolve.
    pub unresolved: u64,
    /// Records parked.
    pub parked: u64,
}

impl Totals {
    /// Counts the verdicts of services to which an alert means nothing.
    pub const fn pass(&mut self, unmatched: u64, disabled: u64) {
        self.services += unmatched + disabled;
        self.disabled += disabled;
        self.untriggered += unmatched;
        self.unresolved += unmatched;
    }

    /// Counts the verdict of one service.
    pub const fn count(&mut self, verdict: Verdict) {
        self.services += 1;
        match verdict {
            Verdict::Disabled => self.disabled += 1,
            Verdict::Failed => self.failed += 1,
            Verdict::Evaluated(trigger, resolve) => {
                match trigger {
                    TriggerVerdict::Created => self.created += 1,
                    TriggerVerdict::Duplicate => self.duplicate += 1,
                    TriggerVerdict::Suppressed => self.suppressed += 1,
                    TriggerVerdict::None => self.untriggered += 1,
                }
                match resolve {
                    ResolveVerdict::Resolved => self.resolved += 1,
                    ResolveVerdict::Duplicate => self.resolve_duplicate += 1,
                    ResolveVerdict::None => self.unresolved += 1,
                }
            }
        }
    }

    /// Every service in scope has exactly one verdict.
    #[must_use]
    pub const fn invariant_verdicts_balance(&self) -> bool {
        let set_aside = self.disabled + self.failed;
        let triggers = self.created + self.duplicate + self.suppressed + self.untriggered;
        let resolves = self.resolved + self.resolve_duplicate + self.unresolved;
        self.services == set_aside + triggers && self.services == set_aside + resolves
    }
}
