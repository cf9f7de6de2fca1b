//! Every course of the lease protocol, as far as a small world goes: a change whose call has returned
//! is acted on by every gateway that serves. And what is done wrong is found.

mod model;

use model::{Lease, Wrong};
use stateright::{Checker, Model};

const HOLDS: &str = "no gateway serves without a change whose call has returned";
const LETS_IN: &str = "nobody is let in by what a call that has returned has put out";
const AFTER_THE_MARK: &str = "no lease that is stored after a mark lacks its change";
const PAST: &str = "a call returns past a gateway that does not act on its change";
const SERVES: &str = "a gateway serves with the change";

/// How many steps the courses of larger worlds are followed in `make test`.
const STEPS: usize = 12;

const SMALL: Lease = Lease {
    gateways: 1,
    changes: 1,
    ticks: 2,
    crashes: 0,
    late_marks: false,
    asks: false,
    twins: false,
    writes: 4,
    wrong: None,
};

const LARGER: [Lease; 3] = [
    Lease { gateways: 2, ..SMALL },
    Lease { crashes: 1, late_marks: true, ..SMALL },
    Lease { changes: 2, late_marks: true, writes: 5, ..SMALL },
];

#[expect(clippy::print_stdout, reason = "how much was checked is told")]
fn check(lease: &Lease, steps: Option<usize>) {
    let checker = lease.checker().threads(2);
    let checker = match steps {
        Some(steps) => checker.target_max_depth(steps),
        None => checker,
    };
    let checked = checker.spawn_bfs().join();
    let far = steps.map_or("to the end".to_owned(), |steps| format!("{steps} steps"));
    println!("{far}: {} states of {lease:?}", checked.unique_state_count());
    for always in [HOLDS, LETS_IN, AFTER_THE_MARK] {
        checked.assert_no_discovery(always);
    }
    if steps.is_none() {
        checked.assert_any_discovery(PAST);
        checked.assert_any_discovery(SERVES);
    }
}

#[test]
fn courses_of_leases_keep_what_a_call_has_promised() {
    for lease in [Lease { asks: true, ..SMALL }, Lease { twins: true, ..SMALL }] {
        check(&lease, None);
    }
    for lease in LARGER {
        check(&lease, Some(STEPS));
    }
}

#[test]
#[ignore = "minutes"]
fn courses_of_leases_in_larger_worlds_do_too() {
    for lease in LARGER {
        check(&lease, None);
    }
}

#[test]
fn courses_of_leases_with_a_broken_rule_are_found() {
    let late_marks = Lease { changes: 2, late_marks: true, writes: 5, ..SMALL };
    let cases = [
        (SMALL, Wrong::CountedFromAck),
        (SMALL, Wrong::AckNotAwaited),
        (SMALL, Wrong::Unconditional),
        (SMALL, Wrong::Behind),
        (SMALL, Wrong::Unread),
        (SMALL, Wrong::Impatient),
        (SMALL, Wrong::SlowClock),
        (Lease { asks: true, ..SMALL }, Wrong::ClockFirst),
        (late_marks, Wrong::LateMark),
    ];
    for (lease, wrong) in cases {
        let found = stateright::HasDiscoveries::AnyOf([HOLDS, LETS_IN].into());
        let lease = Lease { wrong: Some(wrong), ..lease };
        let checked = lease.checker().finish_when(found).spawn_bfs().join();
        let path = checked.discovery(HOLDS).or_else(|| checked.discovery(LETS_IN));
        let path = path.unwrap_or_else(|| panic!("{wrong:?} is not found"));
        println!("{wrong:?}: {:?}", path.into_actions());
    }
}
