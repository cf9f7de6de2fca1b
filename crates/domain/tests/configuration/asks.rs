//! What may be asked of the configuration. Ids, names and targets are few, so that they collide.
//!
//! Must not know what an ask leads to.

use std::collections::BTreeSet;

use domain::access::Role;
use domain::id::{MaintenanceId, PrincipalId, ServiceId, TeamId, TokenId};
use domain::name::DisplayName;
use domain::reach::Reach;
use proptest::prelude::*;

/// How many teams there may be.
pub const TEAMS: u8 = 4;
/// How many services there may be.
pub const SERVICES: u8 = 5;
/// How many maintenance windows of a service there may be.
const WINDOWS: u8 = 2;
/// How many tokens there may be.
pub const TOKENS: u8 = 8;
/// How many principals there may be.
pub const PRINCIPALS: u8 = 5;
/// The names that all choose from.
pub const NAMES: [&str; 3] = ["Checkout", "Basket", "Søk"];

/// What version of the thing the caller knows.
#[derive(Clone, Copy, Debug)]
pub enum Known {
    /// It does not say.
    Nothing,
    /// The one that is.
    Current,
    /// One before that.
    Older,
}

/// When something is to expire, from now.
pub type Expiry = Option<i8>;

/// What is asked of a team.
#[derive(Clone, Debug)]
pub enum OfTeam {
    Create(DisplayName),
    Rename(Known, DisplayName),
    Delete(Known),
}

/// What is asked of a service of a team.
#[derive(Clone, Debug)]
pub enum OfService {
    Create(DisplayName),
    /// The name, whether it is disabled, how many filters.
    Update(Known, Option<DisplayName>, Option<bool>, Option<u8>),
    /// A maintenance window that begins so much later, if it says so, and lasts so many days.
    Maintain(MaintenanceId, Option<i8>, i16),
    EndMaintenance(MaintenanceId),
    Delete(Known),
}

/// What is asked of a token.
#[derive(Clone, Debug)]
pub enum OfToken {
    Create(DisplayName, Reach, Expiry),
    /// The name, the expiry, whether it may come as the URL parameter.
    Update(Known, Option<DisplayName>, Option<Expiry>, Option<bool>),
    /// Switch tracking on or off.
    Track(Known, bool),
    EndTracking,
    Expire,
    ReplaceSecret(Known),
    Delete(Known),
}

/// What is asked of a principal.
#[derive(Clone, Debug)]
pub enum OfPrincipal {
    /// The name, the roles, the expiry, whether by the bootstrap credential.
    Create(DisplayName, BTreeSet<Role>, Expiry, bool),
    Update(Known, Option<DisplayName>, Option<BTreeSet<Role>>, Option<Expiry>),
    ReplaceCredential(Known),
    Expire,
    Delete(Known),
}

/// What is asked.
#[derive(Clone, Debug)]
pub enum Ask {
    Team(TeamId, OfTeam),
    /// With the team that the caller names, which may be another one.
    Service(TeamId, ServiceId, OfService),
    Token(TokenId, OfToken),
    Principal(PrincipalId, OfPrincipal),
    IssueBootstrap,
}

/// Some time passes, then something is asked.
#[derive(Clone, Debug)]
pub struct Step {
    /// How much time passes first.
    pub pause: u8,
    /// What is asked then.
    pub ask: Ask,
}

/// Many steps.
pub fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0..3u8, asks()).prop_map(|(pause, ask)| Step { pause, ask });
    prop::collection::vec(step, 0..80)
}

fn asks() -> impl Strategy<Value = Ask> {
    prop_oneof![
        4 => (teams(), of_team()).prop_map(|(id, ask)| Ask::Team(id, ask)),
        9 => (teams(), services(), of_service())
            .prop_map(|(team, id, ask)| Ask::Service(team, id, ask)),
        10 => (tokens(), of_token()).prop_map(|(id, ask)| Ask::Token(id, ask)),
        6 => (principals(), of_principal()).prop_map(|(id, ask)| Ask::Principal(id, ask)),
        1 => Just(Ask::IssueBootstrap),
    ]
}

fn of_team() -> impl Strategy<Value = OfTeam> {
    prop_oneof![
        6 => names().prop_map(OfTeam::Create),
        2 => (known(), names()).prop_map(|(known, name)| OfTeam::Rename(known, name)),
        1 => known().prop_map(OfTeam::Delete),
    ]
}

fn of_service() -> impl Strategy<Value = OfService> {
    let change = (known(), maybe(names()), any::<Option<bool>>(), maybe(0..3u8));
    prop_oneof![
        6 => names().prop_map(OfService::Create),
        4 => change.prop_map(|(known, name, disabled, filters)| {
            OfService::Update(known, name, disabled, filters)
        }),
        3 => (windows(), maybe(starts()), days())
            .prop_map(|(id, later, days)| OfService::Maintain(id, later, days)),
        2 => windows().prop_map(OfService::EndMaintenance),
        1 => known().prop_map(OfService::Delete),
    ]
}

fn of_token() -> impl Strategy<Value = OfToken> {
    let change = (known(), maybe(names()), maybe(expiries()), any::<Option<bool>>());
    prop_oneof![
        6 => (names(), reaches(), expiries())
            .prop_map(|(name, reach, expiry)| OfToken::Create(name, reach, expiry)),
        4 => change.prop_map(|(known, name, expiry, url)| {
            OfToken::Update(known, name, expiry, url)
        }),
        3 => known().prop_map(OfToken::ReplaceSecret),
        2 => (known(), any::<bool>()).prop_map(|(known, on)| OfToken::Track(known, on)),
        1 => Just(OfToken::EndTracking),
        3 => Just(OfToken::Expire),
        1 => known().prop_map(OfToken::Delete),
    ]
}

fn of_principal() -> impl Strategy<Value = OfPrincipal> {
    let new = (names(), roles(), expiries(), any::<bool>());
    let change = (known(), maybe(names()), maybe(roles()), maybe(expiries()));
    prop_oneof![
        5 => new.prop_map(|(name, roles, expiry, by_bootstrap)| {
            OfPrincipal::Create(name, roles, expiry, by_bootstrap)
        }),
        4 => change.prop_map(|(known, name, roles, expiry)| {
            OfPrincipal::Update(known, name, roles, expiry)
        }),
        1 => known().prop_map(OfPrincipal::ReplaceCredential),
        2 => Just(OfPrincipal::Expire),
        2 => known().prop_map(OfPrincipal::Delete),
    ]
}

/// The thing asked for, or nothing.
fn maybe<T: std::fmt::Debug + Clone>(
    some: impl Strategy<Value = T>,
) -> impl Strategy<Value = Option<T>> {
    prop::option::of(some)
}

fn known() -> impl Strategy<Value = Known> {
    prop_oneof![4 => Just(Known::Nothing), 3 => Just(Known::Current), 1 => Just(Known::Older)]
}

fn names() -> impl Strategy<Value = DisplayName> {
    prop::sample::select(&NAMES[..]).prop_map(|text| DisplayName::parse(text).unwrap())
}

fn starts() -> impl Strategy<Value = i8> {
    prop_oneof![1 => Just(-1), 3 => 0..30i8]
}

/// The bounds of a window's length, and beyond.
fn days() -> impl Strategy<Value = i16> {
    prop_oneof![1 => Just(0), 6 => 1..=366i16, 1 => Just(367)]
}

fn expiries() -> impl Strategy<Value = Expiry> {
    prop_oneof![2 => Just(None), 1 => (-1..2i8).prop_map(Some), 3 => (1..30i8).prop_map(Some)]
}

fn reaches() -> impl Strategy<Value = Reach> {
    prop_oneof![
        1 => Just(Reach::Global),
        2 => teams().prop_map(Reach::Team),
        3 => (teams(), services()).prop_map(|(team, service)| Reach::Service(team, service)),
    ]
}

fn roles() -> impl Strategy<Value = BTreeSet<Role>> {
    let role = prop_oneof![
        3 => Just(Role::GlobalAdmin),
        1 => Just(Role::Stakeholder),
        1 => teams().prop_map(Role::TeamManager),
        1 => teams().prop_map(Role::Observer),
    ];
    prop::collection::btree_set(role, 1..3)
}

/// A team by its number.
pub fn team(n: u8) -> TeamId {
    TeamId::from_bytes([n; 16])
}

/// A service by its number.
pub fn service(n: u8) -> ServiceId {
    ServiceId::from_bytes([n; 16])
}

/// A maintenance window by its number.
fn window(n: u8) -> MaintenanceId {
    MaintenanceId::from_bytes([n; 16])
}

/// A token by its number.
pub fn token(n: u8) -> TokenId {
    TokenId::from_bytes([n; 16])
}

/// A principal by its number.
pub fn principal(n: u8) -> PrincipalId {
    PrincipalId::from_bytes([n; 16])
}

fn teams() -> impl Strategy<Value = TeamId> {
    (0..TEAMS).prop_map(team)
}

fn services() -> impl Strategy<Value = ServiceId> {
    (0..SERVICES).prop_map(service)
}

fn windows() -> impl Strategy<Value = MaintenanceId> {
    (0..WINDOWS).prop_map(window)
}

fn tokens() -> impl Strategy<Value = TokenId> {
    (0..TOKENS).prop_map(token)
}

fn principals() -> impl Strategy<Value = PrincipalId> {
    (0..PRINCIPALS).prop_map(principal)
}
