//! What a part tells of which services, and how much.

use std::sync::Arc;

use domain::filter::{Condition, Filter, Filters, Item, Key, Trigger, Urgency};
use domain::id::{FilterId, TeamId};
use domain::name::DisplayName;
use domain::reach::Reach;

use super::*;

const CREATED: Verdict = Verdict::Evaluated(TriggerVerdict::Created, ResolveVerdict::None);
const NOTHING: Verdict = Verdict::Evaluated(TriggerVerdict::None, ResolveVerdict::None);

fn id(n: u16) -> ServiceId {
    let mut id = [0; 16];
    id[..2].copy_from_slice(&n.to_be_bytes());
    ServiceId::from_bytes(id)
}

/// Filters whose reasons are about 12 KiB.
fn long_filters() -> Arc<Filters> {
    let item = |_| Item::parse(&"x".repeat(50)).unwrap();
    let key = Key::parse(&"k".repeat(50)).unwrap();
    let condition = || Condition::new(Some(key.clone()), (0..10).map(item).collect()).unwrap();
    let filter = |n: u8| {
        let conditions = vec![condition(), condition()];
        let trigger = Trigger::new(Urgency::High, conditions, None, None, None).unwrap();
        let name = DisplayName::parse(&format!("filter {n}")).unwrap();
        Filter { id: FilterId::from_bytes([n; 16]), name, trigger, resolve: None }
    };
    Arc::new(Filters::new((0..10).map(filter).collect()).unwrap())
}

struct Given {
    filters: Arc<Filters>,
    draft: Draft,
    next: u16,
}

fn given(filters: Arc<Filters>) -> Given {
    let alert = Alert {
        id: AlertId::from_bytes([1; 16]),
        token: TokenId::from_bytes([2; 16]),
        reach: Reach::Global,
        received_at: Timestamp::default(),
        from: None,
        payload: Bytes::new(),
        tracked_until: None,
    };
    Given { filters, draft: Draft::begin(&alert, Partition(3), None), next: 0 }
}

impl Given {
    /// So many more services in which it came to that.
    fn told(mut self, count: u16, verdict: Verdict) -> Self {
        for n in self.next..self.next + count {
            let entry = matcher::Entry {
                team: TeamId::from_bytes([4; 16]),
                service: id(n),
                shard: 3,
                disabled: verdict == Verdict::Disabled,
                filters: Arc::clone(&self.filters),
                maintenance: Arc::default(),
            };
            let decision = Decision { events: vec![], verdict, triggered: None, resolved: None };
            let payload = &Payload::new("down");
            let view = View { payload, shown: payload };
            self.draft.tell(&entry, Timestamp::default(), view, &decision);
        }
        Self { next: self.next + count, ..self }
    }

    fn part(self) -> ReasonsPart {
        self.draft.end(Some(id(self.next)), true).unwrap().part
    }
}

/// The numbers of the services told in detail, and of those told by their ids.
fn numbers(part: &ReasonsPart) -> (Vec<u16>, Vec<u16>) {
    let of = |id: &[u8]| u16::from_be_bytes([id[0], id[1]]);
    let told = part.services.iter().map(|reasons| {
        let id = reasons.service.rsplit('/').next().unwrap();
        of(ServiceId::parse(id).unwrap().as_bytes())
    });
    (told.collect(), part.unmatched.chunks(16).map(of).collect())
}

#[test]
fn of_services_without_a_match_the_first_are_told_in_detail_and_the_rest_by_id() {
    let part = given(Arc::default())
        .told(99, NOTHING)
        .told(1, CREATED)
        .told(5_000, NOTHING)
        .told(1, Verdict::Failed)
        .part();
    let (told, ids) = numbers(&part);
    let expected: Vec<_> = (0..101).chain([5_100]).collect();
    assert_eq!(told, expected);
    assert_eq!(ids, (101..101 + 4_096).collect::<Vec<_>>());
    assert_eq!((part.unmatched_count, part.cut, part.last), (4_999, false, true));
    assert!(part.services[101].failed && !part.services[100].failed);
}

#[test]
fn of_disabled_services_nothing_is_told() {
    let part = given(Arc::default()).told(3, Verdict::Disabled).told(1, NOTHING).part();
    assert_eq!(numbers(&part), (vec![3], vec![]));
    assert_eq!((part.unmatched_count, part.partition), (0, 3));
}

#[test]
fn where_something_matched_goes_before_the_others_and_the_part_keeps_its_size() {
    let given = given(long_filters()).told(100, NOTHING).told(15, CREATED);
    assert!(!given.draft.is_full());
    let part = given.part();
    let (told, ids) = numbers(&part);
    assert!(part.encoded_len() < MAX_BYTES + 32 * 1024, "{}", part.encoded_len());
    assert!(told.is_sorted() && ids.is_sorted() && part.cut);
    assert!((100..115).all(|n| told.contains(&n)), "{told:?}");
    assert!(told.len() > 16 && told.len() + ids.len() == 115);
    assert_eq!(part.unmatched_count, ids.len() as u64);
}

#[test]
fn a_part_that_is_full_of_matches_ends() {
    let full = given(long_filters()).told(40, CREATED);
    assert!(full.draft.is_full());
}

#[test]
fn a_part_without_a_service_is_told_only_where_it_is_the_last() {
    let nothing = |done| given(Arc::default()).draft.end(None, done);
    assert_eq!(nothing(false), None);
    assert!(nothing(true).is_some_and(|told| told.part.last && told.part.services.is_empty()));
}
