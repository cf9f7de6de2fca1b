//! Values of every kind, those at the bounds of what is allowed among them.
//!
//! `control` is configuration, `work` what workers read and write. Must not know the forms.

pub mod control;
pub mod work;

use bytes::Bytes;
use domain::id::{
    AlertId, EventId, FilterId, IncidentId, InstanceId, MaintenanceId, PrincipalId, ServiceId,
    TeamId, TokenId,
};
use domain::name::{DisplayName, MAX_CHARACTERS};
use domain::reach::Reach;
use domain::secret::{Digest, LastFour};
use domain::time::Timestamp;
use proptest::prelude::*;
use wire::Traceparent;

/// Sixteen bytes, zeros and ones among them.
pub fn sixteen() -> impl Strategy<Value = [u8; 16]> {
    prop_oneof![6 => any::<[u8; 16]>(), 1 => Just([0; 16]), 1 => Just([255; 16])]
}

/// Thirty-two bytes.
pub fn thirty_two() -> impl Strategy<Value = [u8; 32]> {
    prop_oneof![6 => any::<[u8; 32]>(), 1 => Just([0; 32]), 1 => Just([255; 32])]
}

macro_rules! ids {
    ($($name:ident: $id:ty;)*) => {$(
        /// An id.
        pub fn $name() -> impl Strategy<Value = $id> {
            sixteen().prop_map(<$id>::from_bytes)
        }
    )*};
}

ids! {
    teams: TeamId;
    services: ServiceId;
    filters: FilterId;
    windows: MaintenanceId;
    tokens: TokenId;
    principals: PrincipalId;
    alerts: AlertId;
    incidents: IncidentId;
    events: EventId;
    instances: InstanceId;
}

/// A count or a number, small, large or at the ends.
pub fn numbers() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), Just(1), Just(u64::MAX), 0..300u64, any::<u64>()]
}

/// Any point in time that the rules may have.
pub fn times() -> impl Strategy<Value = Timestamp> {
    let micros = prop_oneof![
        4 => any::<i64>(),
        1 => Just(0),
        1 => Just(-1),
        1 => Just(i64::MIN),
        1 => Just(i64::MAX),
    ];
    micros.prop_map(Timestamp::from_micros)
}

/// The first and the last point in time that an event can carry: of the years 1 to 9999.
pub const FIRST_TO_LAST: [i64; 2] = [-62_135_596_800_000_000, 253_402_300_799_999_999];

/// Any point in time that an event can carry.
pub fn event_times() -> impl Strategy<Value = Timestamp> {
    let [first, last] = FIRST_TO_LAST;
    let near = 1_700_000_000_000_000..1_900_000_000_000_000_i64;
    let micros = prop_oneof![
        first..=last,
        near.clone(),
        near.prop_map(|at| at / 1_000_000 * 1_000_000),
        prop::sample::select(vec![first, last, 0, -1, 1, 1_000, 1_000_000, -1_000_001]),
    ];
    micros.prop_map(Timestamp::from_micros)
}

/// Any text of at most this many characters, control characters and such that change the
/// direction of text among them.
pub fn texts(most: usize) -> impl Strategy<Value = String> {
    let odd = "\0\r\n\t\"\\%<>&'\u{7f}\u{85}\u{202e}\u{2028}\u{feff}\u{fffd}é😀";
    let odd = prop::sample::select(odd.chars().collect::<Vec<_>>());
    let character = prop_oneof![2 => any::<char>(), 2 => odd, 1 => prop::char::range(' ', '~')];
    prop_oneof![
        8 => prop::collection::vec(character, 0..=most.min(24)).prop_map(String::from_iter),
        1 => Just("😀".repeat(most)),
        1 => Just(String::new()),
    ]
}

/// A name.
pub fn names() -> impl Strategy<Value = DisplayName> {
    prop_oneof![
        8 => texts(MAX_CHARACTERS).prop_filter_map("no name", |text| DisplayName::parse(&text).ok()),
        1 => Just(DisplayName::parse(&"😀".repeat(MAX_CHARACTERS)).unwrap()),
        1 => Just(DisplayName::parse("x").unwrap()),
    ]
}

/// A source; never an empty one.
pub fn sources() -> impl Strategy<Value = Option<String>> {
    prop::option::of(texts(100)).prop_map(|from| from.filter(|from| !from.is_empty()))
}

/// A payload: bytes, or nothing.
pub fn payloads() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        6 => prop::collection::vec(any::<u8>(), 0..60).prop_map(Bytes::from),
        1 => Just(Bytes::new()),
        1 => Just(Bytes::from(vec![0xff; 2_000])),
    ]
}

/// The digest of a secret: not zeros.
pub fn digests() -> impl Strategy<Value = Digest> {
    let some = thirty_two().prop_filter("no secret has it", |bytes| *bytes != [0; 32]);
    some.prop_map(Digest::from_bytes)
}

/// The end of a secret.
pub fn last_fours() -> impl Strategy<Value = LastFour> {
    "[0-9A-Za-z]{4}".prop_map(|text| LastFour::parse(&text).unwrap())
}

/// A place in a trace, or none.
pub fn traces() -> impl Strategy<Value = Option<Traceparent>> {
    let ids = (1..u128::MAX, 1..u64::MAX, any::<bool>());
    prop::option::of(ids.prop_map(|(trace, span, sampled)| {
        Traceparent::new(trace.to_be_bytes(), span.to_be_bytes(), sampled).unwrap()
    }))
}

/// Any reach.
pub fn reaches() -> impl Strategy<Value = Reach> {
    prop_oneof![
        Just(Reach::Global),
        teams().prop_map(Reach::Team),
        (teams(), services()).prop_map(|(team, service)| Reach::Service(team, service)),
    ]
}
