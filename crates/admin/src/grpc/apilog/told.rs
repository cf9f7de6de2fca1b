//! What the parts of an entry tell of services.
//!
//! Must not know of calls, nor where parts are stored.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use domain::id::ServiceId;
use prost::Message;
use wire::proto::gander::admin::v1 as api;
use wire::proto::gander::stored::v1 as stored;

/// The most bytes of reasons in an entry; with the call it stays below 3 MiB.
const REASONS_BYTES: usize = 2_304 * 1024;

/// What happened in services, each true where it did in any.
#[derive(Clone, Copy, Debug, Default)]
pub struct Happened {
    /// An incident was created.
    pub created: bool,
    /// An incident was resolved.
    pub resolved: bool,
    /// An incident was open, or resolved, already.
    pub duplicate: bool,
    /// Maintenance held it back.
    pub suppressed: bool,
    /// The evaluation failed.
    pub failed: bool,
}

impl Happened {
    /// What happened in this service.
    pub fn of(service: &api::ServiceReasons) -> Self {
        use api::{ResolveVerdict, TriggerVerdict};
        Self {
            created: service.trigger() == TriggerVerdict::Created,
            resolved: service.resolve() == ResolveVerdict::Resolved,
            duplicate: service.trigger() == TriggerVerdict::Duplicate
                || service.resolve() == ResolveVerdict::Duplicate,
            suppressed: service.trigger() == TriggerVerdict::Suppressed,
            failed: service.failed,
        }
    }

    fn join(&mut self, other: Self) {
        self.created |= other.created;
        self.resolved |= other.resolved;
        self.duplicate |= other.duplicate;
        self.suppressed |= other.suppressed;
        self.failed |= other.failed;
    }

    /// Whether anything did.
    pub const fn is_something(self) -> bool {
        self.created || self.resolved || self.duplicate || self.suppressed || self.failed
    }
}

/// Whether something matched in the service, or its evaluation failed.
pub fn matched(service: &api::ServiceReasons) -> bool {
    Happened::of(service).is_something() || service.filters.iter().any(is_matched)
}

/// Whether something of the filter holds.
pub fn is_matched(filter: &api::FilterReasons) -> bool {
    filter.verdict() != api::FilterVerdict::Unspecified
}

/// What is told of a service, and by which part.
#[derive(Clone, Debug)]
struct Service {
    part: u32,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Reasons(Box<api::ServiceReasons>),
    /// Something matched, and the reasons are left out for their size.
    Beyond(Happened),
    /// Nothing matched, and there are no reasons.
    Unmatched,
}

/// What is kept of a part.
#[derive(Clone, Copy, Debug)]
struct Part {
    number: u32,
    epoch: u64,
    /// How many unmatched services it has of which not even the ids are told.
    nameless: u64,
    cut: bool,
}

/// What is told of services.
#[derive(Clone, Debug, Default)]
pub struct Told {
    services: BTreeMap<ServiceId, Service>,
    /// Of those with reasons the ones in which nothing matched: they make room for others.
    idle: BTreeSet<ServiceId>,
    bytes: usize,
    /// By partition and the service after which they begin.
    parts: BTreeMap<(u32, Bytes), Part>,
    /// How many parts were added.
    added: u32,
}

impl Told {
    /// Adds a part. Parts of one partition come in the order of their epochs.
    pub fn add(&mut self, part: stored::ReasonsPart) {
        self.drop_older(&part);
        let number = self.added;
        self.added += 1;
        for service in part.services {
            self.add_service(number, service);
        }
        let mut told = 0;
        for id in part.unmatched.chunks_exact(16) {
            let Ok(id) = ServiceId::try_from(id) else { continue };
            told += 1;
            self.forget(id);
            self.services.insert(id, Service { part: number, what: What::Unmatched });
        }
        let nameless = part.unmatched_count.saturating_sub(told);
        let kept = Part { number, epoch: part.epoch, nameless, cut: part.cut };
        self.parts.insert((part.partition, part.after), kept);
    }

    /// Drops what this part takes the place of: the part with the same place, and all that older
    /// epochs of its partition told from there on. A worker tells reasons before it commits; where
    /// it was killed in between, they tell of what never happened, perhaps in services that are
    /// deleted or disabled since, of which nothing is told any more.
    fn drop_older(&mut self, part: &stored::ReasonsPart) {
        let (mut gone, mut older) = (BTreeSet::new(), BTreeSet::new());
        let from = (part.partition, Bytes::new());
        for ((_, after), told) in
            self.parts.range(from..).take_while(|(at, _)| at.0 == part.partition)
        {
            let is_older = told.epoch < part.epoch;
            if *after == part.after || (is_older && *after > part.after) {
                gone.insert(told.number);
            } else if is_older {
                older.insert(told.number);
            }
        }
        if gone.is_empty() && older.is_empty() {
            return;
        }
        self.parts.retain(|_, told| !gone.contains(&told.number));
        let is_dropped = |id: &ServiceId, service: &Service| {
            let beyond = id.as_bytes()[..] > part.after[..];
            gone.contains(&service.part) || (beyond && older.contains(&service.part))
        };
        let dropped = self.services.iter().filter(|(id, service)| is_dropped(id, service));
        let dropped: Vec<_> = dropped.map(|(id, _)| *id).collect();
        dropped.into_iter().for_each(|id| self.forget(id));
    }

    fn add_service(&mut self, part: u32, service: api::ServiceReasons) {
        let id = service.service.rsplit('/').next().and_then(|id| ServiceId::parse(id).ok());
        let Some(id) = id else { return };
        self.forget(id);
        let (bytes, matched) = (service.encoded_len(), matched(&service));
        if matched {
            self.make_room(bytes);
        }
        let what = if self.bytes + bytes <= REASONS_BYTES {
            self.bytes += bytes;
            if !matched {
                self.idle.insert(id);
            }
            What::Reasons(Box::new(service))
        } else if matched {
            What::Beyond(Happened::of(&service))
        } else {
            What::Unmatched
        };
        self.services.insert(id, Service { part, what });
    }

    /// Makes room for so many bytes: of services in which nothing matched only the ids are kept.
    fn make_room(&mut self, bytes: usize) {
        while bytes <= REASONS_BYTES
            && self.bytes + bytes > REASONS_BYTES
            && let Some(id) = self.idle.pop_last()
        {
            if let Some(service) = self.services.get_mut(&id)
                && let What::Reasons(reasons) = &service.what
            {
                self.bytes -= reasons.encoded_len();
                service.what = What::Unmatched;
            }
        }
    }

    /// Forgets what an earlier part told of a service.
    fn forget(&mut self, id: ServiceId) {
        self.idle.remove(&id);
        if let Some(Service { what: What::Reasons(reasons), .. }) = self.services.remove(&id) {
            self.bytes -= reasons.encoded_len();
        }
    }

    /// Whether any part was added.
    pub const fn is_something(&self) -> bool {
        self.added > 0
    }

    /// Whether something is told of this service.
    pub fn has(&self, service: ServiceId) -> bool {
        self.services.contains_key(&service)
    }

    /// Whether reasons were left out for their size, but of services in which nothing matched.
    pub fn is_cut(&self) -> bool {
        self.parts.values().any(|part| part.cut) || self.left_out() > 0
    }

    /// In how many services something matched whose reasons are left out for their size.
    pub fn left_out(&self) -> u64 {
        let beyond = |service: &&Service| matches!(service.what, What::Beyond(_));
        u64::try_from(self.services.values().filter(beyond).count()).unwrap_or(u64::MAX)
    }

    /// What happened in all services.
    pub fn happened(&self) -> Happened {
        let mut happened = Happened::default();
        for service in self.services.values() {
            match &service.what {
                What::Reasons(reasons) => happened.join(Happened::of(reasons)),
                What::Beyond(beyond) => happened.join(*beyond),
                What::Unmatched => {}
            }
        }
        happened
    }

    /// The services in which nothing matched and of which there are no reasons, in order.
    pub fn unmatched(&self) -> impl Iterator<Item = ServiceId> {
        let unmatched = |service: &Service| matches!(service.what, What::Unmatched);
        self.services.iter().filter(move |(_, service)| unmatched(service)).map(|(id, _)| *id)
    }

    /// In how many services nothing matched.
    pub fn unmatched_count(&self) -> u64 {
        let known = u64::try_from(self.idle.len() + self.unmatched().count()).unwrap_or(u64::MAX);
        self.parts.values().fold(known, |all, part| all.saturating_add(part.nameless))
    }

    /// The reasons there are, in the order of services.
    pub fn reasons(&self) -> impl Iterator<Item = &api::ServiceReasons> {
        self.services.values().filter_map(|service| match &service.what {
            What::Reasons(reasons) => Some(&**reasons),
            What::Beyond(_) | What::Unmatched => None,
        })
    }

    /// The same, first those of services in which something matched.
    pub fn into_reasons(self) -> Vec<api::ServiceReasons> {
        let (mut busy, mut idle) = (Vec::new(), Vec::new());
        for (id, service) in self.services {
            if let What::Reasons(reasons) = service.what {
                let list = if self.idle.contains(&id) { &mut idle } else { &mut busy };
                list.push(*reasons);
            }
        }
        busy.append(&mut idle);
        busy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> ServiceId {
        ServiceId::from_bytes([n; 16])
    }

    /// The reasons of a service of about so many bytes.
    fn service(n: u8, created: bool, bytes: usize) -> api::ServiceReasons {
        let trigger = if created { api::TriggerVerdict::Created } else { Default::default() };
        let filter =
            api::FilterReasons { display_name: "x".repeat(bytes), ..api::FilterReasons::default() };
        api::ServiceReasons {
            service: format!("teams/-/services/{}", id(n)),
            trigger: trigger.into(),
            filters: vec![filter],
            ..api::ServiceReasons::default()
        }
    }

    fn part(epoch: u64, after: Option<u8>, created: &[u8]) -> stored::ReasonsPart {
        stored::ReasonsPart {
            epoch,
            after: after.map_or_else(Bytes::new, |n| Bytes::copy_from_slice(id(n).as_bytes())),
            services: created.iter().map(|n| service(*n, true, 10)).collect(),
            ..stored::ReasonsPart::default()
        }
    }

    fn shown(told: &Told) -> Vec<ServiceId> {
        told.services.keys().copied().collect()
    }

    #[test]
    fn who_takes_a_partition_over_takes_back_what_was_not_committed() {
        let mut told = Told::default();
        told.add(part(1, None, &[1, 2]));
        let unmatched = Bytes::copy_from_slice(id(4).as_bytes());
        let uncommitted = part(1, Some(2), &[3]);
        told.add(stored::ReasonsPart { unmatched, unmatched_count: 9, cut: true, ..uncommitted });
        told.add(stored::ReasonsPart { partition: 1, ..part(1, None, &[9]) });
        assert_eq!((told.unmatched_count(), told.is_cut()), (9, true));
        // Service 3 was deleted before the partition was taken over.
        told.add(part(2, Some(2), &[5]));
        told.add(part(2, Some(5), &[6]));
        assert_eq!(shown(&told), [1, 2, 5, 6, 9].map(id));
        assert_eq!((told.unmatched_count(), told.is_cut()), (0, false));
        told.add(part(3, Some(1), &[]));
        assert_eq!(shown(&told), [1, 9].map(id), "also of a part that began before");
        told.add(part(3, None, &[7]));
        told.add(part(3, None, &[8]));
        assert_eq!(shown(&told), [8, 9].map(id), "the last with the same place counts");
        let bytes = told.reasons().map(Message::encoded_len).sum::<usize>();
        assert_eq!(told.bytes, bytes);
    }

    #[test]
    fn services_in_which_nothing_matched_give_way() {
        let quarter = REASONS_BYTES / 4 - 200;
        let mut told = Told::default();
        let add = |told: &mut Told, partition: u32, services: Vec<api::ServiceReasons>| {
            let part = stored::ReasonsPart { partition, services, ..part(0, None, &[]) };
            told.add(part);
        };
        let idle = (1..=5).map(|n| service(n, false, quarter)).collect();
        add(&mut told, 0, idle);
        assert_eq!(told.unmatched().collect::<Vec<_>>(), [id(5)]);
        add(&mut told, 1, vec![service(8, true, quarter), service(9, true, quarter)]);
        assert_eq!(told.unmatched().collect::<Vec<_>>(), [3, 4, 5].map(id));
        assert_eq!((told.unmatched_count(), told.is_cut(), told.left_out()), (5, false, 0));
        let order = told.clone().into_reasons();
        let order: Vec<_> = order.iter().map(|service| service.service.clone()).collect();
        let expected = [8, 9, 1, 2].map(|n| format!("teams/-/services/{}", id(n)));
        assert_eq!(order, expected);
        add(&mut told, 2, (10..=12).map(|n| service(n, true, quarter)).collect());
        assert_eq!((told.unmatched_count(), told.is_cut(), told.left_out()), (5, true, 1));
        assert!(told.has(id(12)) && told.happened().created);
        add(&mut told, 3, vec![service(13, true, REASONS_BYTES)]);
        assert_eq!((told.left_out(), told.reasons().count()), (2, 4));
    }
}
