//! Who calls, and what each method needs: deny by default, from one table.
//!
//! Must not know what methods do.

use std::collections::BTreeSet;

use domain::access::{Action, Role, permits};
use domain::aggregate::Actor;
use domain::id::{PrincipalId, TeamId};
use domain::reach::Reach;
use domain::secret::{Digest, Kind, Secret};
use runtime::clock::Clock;
use tonic::Status;
use tonic::metadata::MetadataMap;

use crate::grpc::error;
use crate::store::Store;

/// The credential of a call, as it is looked up.
#[derive(Clone, Copy, Debug)]
pub struct Presented(Digest);

/// Who calls.
#[derive(Clone, Debug)]
pub enum Caller {
    /// A principal with these roles.
    Principal(PrincipalId, BTreeSet<Role>),
    /// The holder of the bootstrap credential.
    Bootstrap,
}

impl Caller {
    /// Who it is in commits.
    pub const fn actor(&self) -> Actor {
        match self {
            Self::Principal(id, _) => Actor::Principal(*id),
            Self::Bootstrap => Actor::Bootstrap,
        }
    }

    /// Whether it may do that.
    pub fn may(&self, action: Action) -> bool {
        match self {
            Self::Principal(_, roles) => permits(roles, action),
            Self::Bootstrap => false,
        }
    }
}

/// What a method needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// To manage teams, principals, Global tokens and parked records.
    ManageInstallation,
    /// As before, or the bootstrap credential.
    ManageInstallationOrBootstrap,
    /// To read principals; everybody may read themselves.
    ReadInstallationOrSelf,
    /// To read principals, the audit log, the status and parked records.
    ReadInstallation,
    /// To manage the team.
    ManageTeam,
    /// To read the team.
    ReadTeam,
    /// To read the team; where the name leaves it open, it is asked for once it is known.
    ReadIncident,
    /// To acknowledge and resolve incidents of the team.
    HandleIncidents,
    /// To manage what the token reaches.
    ManageReach,
    /// To read what the token reaches.
    ReadReach,
    /// Nothing: everybody sees what they may read.
    OwnView,
}

/// Every method with what it needs. A method that is not here is refused.
pub const TABLE: &[(&str, Needs)] = &[
    ("CatalogService/CreateTeam", Needs::ManageInstallation),
    ("CatalogService/GetTeam", Needs::ReadTeam),
    ("CatalogService/ListTeams", Needs::OwnView),
    ("CatalogService/UpdateTeam", Needs::ManageInstallation),
    ("CatalogService/DeleteTeam", Needs::ManageInstallation),
    ("CatalogService/CreateService", Needs::ManageTeam),
    ("CatalogService/GetService", Needs::ReadTeam),
    ("CatalogService/ListServices", Needs::OwnView),
    ("CatalogService/UpdateService", Needs::ManageTeam),
    ("CatalogService/DeleteService", Needs::ManageTeam),
    ("CatalogService/TestFilter", Needs::OwnView),
    ("MaintenanceService/CreateMaintenance", Needs::ManageTeam),
    ("MaintenanceService/GetMaintenance", Needs::ReadTeam),
    ("MaintenanceService/ListMaintenance", Needs::OwnView),
    ("MaintenanceService/EndMaintenance", Needs::ManageTeam),
    ("TokenService/CreateToken", Needs::ManageReach),
    ("TokenService/GetToken", Needs::ReadReach),
    ("TokenService/ListTokens", Needs::OwnView),
    ("TokenService/UpdateToken", Needs::ManageReach),
    ("TokenService/ReplaceSecret", Needs::ManageReach),
    ("TokenService/DeleteToken", Needs::ManageReach),
    ("PrincipalService/CreatePrincipal", Needs::ManageInstallationOrBootstrap),
    ("PrincipalService/GetPrincipal", Needs::ReadInstallationOrSelf),
    ("PrincipalService/ListPrincipals", Needs::ReadInstallation),
    ("PrincipalService/UpdatePrincipal", Needs::ManageInstallation),
    ("PrincipalService/ReplaceCredential", Needs::ManageInstallation),
    ("PrincipalService/DeletePrincipal", Needs::ManageInstallation),
    ("AuditService/ListAuditRecords", Needs::ReadInstallation),
    ("AuditService/GetAuditRecord", Needs::ReadInstallation),
    ("AuditService/ExportAuditRecords", Needs::ReadInstallation),
    ("AuditService/VerifyAudit", Needs::ReadInstallation),
    ("AuditService/GetAuditCheckpoint", Needs::ReadInstallation),
    ("ParkedService/ListParkedRecords", Needs::ReadInstallation),
    ("ParkedService/GetParkedRecord", Needs::ReadInstallation),
    ("ParkedService/EvaluateParkedRecord", Needs::ManageInstallation),
    ("ParkedService/DeleteParkedRecord", Needs::ManageInstallation),
    ("ApiLogService/ListApiLogEntries", Needs::OwnView),
    ("ApiLogService/ExplainAlert", Needs::ReadReach),
    ("ApiLogService/GetApiLogEntry", Needs::OwnView),
    ("ApiLogService/ListUnmatchedServices", Needs::OwnView),
    ("ApiLogService/TailApiLogEntries", Needs::OwnView),
    ("ApiLogService/ExportApiLogEntries", Needs::OwnView),
    ("IncidentService/GetIncident", Needs::ReadIncident),
    ("StatusService/GetStatus", Needs::ReadInstallation),
    ("IncidentService/ListIncidents", Needs::OwnView),
    ("IncidentService/WatchIncidents", Needs::OwnView),
    ("IncidentService/AcknowledgeIncident", Needs::HandleIncidents),
    ("IncidentService/ResolveIncident", Needs::HandleIncidents),
];

/// What a call is about, as far as rights go.
#[derive(Clone, Copy, Debug, Default)]
pub struct About {
    /// The team.
    pub team: Option<TeamId>,
    /// The reach of the token; none where there is no such token.
    pub reach: Option<Reach>,
    /// The principal.
    pub principal: Option<PrincipalId>,
}

impl From<TeamId> for About {
    fn from(team: TeamId) -> Self {
        Self { team: Some(team), ..Self::default() }
    }
}

impl From<Reach> for About {
    fn from(reach: Reach) -> Self {
        Self { reach: Some(reach), ..Self::default() }
    }
}

/// The credential that the metadata carries.
///
/// # Errors
/// There is none, or it has not the shape of one: `UNAUTHENTICATED`.
pub fn presented(metadata: &MetadataMap) -> Result<Presented, Status> {
    let mut sent = metadata.get_all("authorization").iter();
    let value = sent.next().and_then(|value| value.to_str().ok());
    let credential = value.filter(|_| sent.next().is_none()).and_then(|value| {
        let (scheme, credential) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(credential.trim())
    });
    let secret = credential.and_then(|text| Secret::parse(Kind::Credential, text).ok());
    secret.map(|secret| Presented(secret.digest())).ok_or_else(error::unauthenticated)
}

/// Who calls: whom this credential opens the door for now.
///
/// # Errors
/// Nobody: `UNAUTHENTICATED`, the same for all.
pub fn authenticate(
    Presented(digest): Presented,
    store: &Store,
    clock: &dyn Clock,
) -> Result<Caller, Status> {
    store.read(|directory| {
        if let Some(principal) = directory.authenticated(&digest, clock.now()) {
            return Ok(Caller::Principal(principal.id, principal.roles.clone()));
        }
        if directory.is_bootstrap(&digest) {
            Ok(Caller::Bootstrap)
        } else {
            Err(error::unauthenticated())
        }
    })
}

/// Whether the caller may call the method about that.
///
/// # Errors
/// It may not: `PERMISSION_DENIED`, whether the thing exists or not.
pub fn authorize(caller: &Caller, method: &str, about: About) -> Result<(), Status> {
    let needs = TABLE.iter().find(|(name, _)| *name == method).map(|(_, needs)| *needs);
    let granted = needs.is_some_and(|needs| grants(caller, needs, about));
    if granted { Ok(()) } else { Err(error::denied()) }
}

fn grants(caller: &Caller, needs: Needs, about: About) -> bool {
    let on_team = |action: fn(TeamId) -> Action| about.team.is_some_and(|t| caller.may(action(t)));
    match needs {
        Needs::ManageInstallation => caller.may(Action::ManageInstallation),
        Needs::ManageInstallationOrBootstrap => {
            matches!(caller, Caller::Bootstrap) || caller.may(Action::ManageInstallation)
        }
        Needs::ReadInstallation => caller.may(Action::ReadInstallation),
        Needs::ReadInstallationOrSelf => {
            let own = matches!(caller, Caller::Principal(id, _) if Some(*id) == about.principal);
            own || caller.may(Action::ReadInstallation)
        }
        Needs::ManageTeam => on_team(Action::ManageTeam),
        Needs::ReadTeam => on_team(Action::ReadTeam),
        Needs::ReadIncident => match about.team {
            Some(team) => caller.may(Action::ReadTeam(team)),
            None => matches!(caller, Caller::Principal(..)),
        },
        Needs::HandleIncidents => on_team(Action::HandleIncidents),
        // Without a token, only who may do so for every token learns that there is none.
        Needs::ManageReach => match about.reach.and_then(Reach::team) {
            Some(team) => caller.may(Action::ManageTeam(team)),
            None => caller.may(Action::ManageInstallation),
        },
        Needs::ReadReach => may_read_reach(caller, about.reach.unwrap_or(Reach::Global)),
        Needs::OwnView => matches!(caller, Caller::Principal(..)),
    }
}

/// Whether the caller may read tokens of this reach.
pub fn may_read_reach(caller: &Caller, reach: Reach) -> bool {
    match reach.team() {
        Some(team) => caller.may(Action::ReadTeam(team)),
        None => caller.may(Action::ReadInstallation),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_of_the_proto_is_in_the_table() {
        use prost::Message;
        let files = prost_types::FileDescriptorSet::decode(wire::proto::DESCRIPTORS)
            .expect("the descriptors are generated");
        let mut methods: Vec<String> = files
            .file
            .iter()
            .filter(|file| file.package() == "gander.admin.v1")
            .flat_map(|file| &file.service)
            .flat_map(|s| s.method.iter().map(|m| format!("{}/{}", s.name(), m.name())))
            .collect();
        let mut listed: Vec<String> = TABLE.iter().map(|(name, _)| (*name).to_owned()).collect();
        methods.sort();
        listed.sort();
        assert_eq!(methods, listed);
    }

    #[test]
    fn an_unknown_method_is_refused_to_everybody() {
        let admin = Caller::Principal(
            PrincipalId::from_bytes([1; 16]),
            BTreeSet::from([Role::GlobalAdmin]),
        );
        assert!(authorize(&admin, "CatalogService/Other", About::default()).is_err());
        assert!(authorize(&admin, "CatalogService/CreateTeam", About::default()).is_ok());
    }

    #[test]
    fn the_bootstrap_credential_opens_one_door() {
        let opened = TABLE.iter().filter(|(name, _)| {
            let about = About { team: Some(TeamId::from_bytes([1; 16])), ..About::default() };
            authorize(&Caller::Bootstrap, name, about).is_ok()
        });
        let opened: Vec<_> = opened.map(|(name, _)| *name).collect();
        assert_eq!(opened, ["PrincipalService/CreatePrincipal"]);
    }
}
