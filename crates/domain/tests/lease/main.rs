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

/// How many steps the courses of larger worlds are followed: `LEASE_STEPS=15` takes minutes.
const STEPS: usize = 10;

const SMALL: Lease = Lease {
    gateways: 1,
    changes: 1,
    ticks: 2,
    crashes: 0,
    late_marks: false,
    twins: false,
    writes: 4,
    wrong: None,
};

#[test]
fn courses_of_leases_keep_what_a_call_has_promised() {
    let checked = SMALL.checker().spawn_bfs().join();
    println!("to the end: {} states of {SMALL:?}", checked.unique_state_count());
    checked.assert_properties();
    let steps = std::env::var("LEASE_STEPS").map_or(STEPS, |n| n.parse().expect("a number"));
    let larger = [
        Lease { gateways: 2, ..SMALL },
        Lease { crashes: 1, late_marks: true, ..SMALL },
        Lease { twins: true, ..SMALL },
        Lease { changes: 2, ticks: 3, writes: 6, late_marks: true, ..SMALL },
        Lease {
            gateways: 2,
            changes: 2,
            ticks: 3,
            crashes: 2,
            writes: 8,
            late_marks: true,
            ..SMALL
        },
    ];
    for lease in larger {
        let checked = lease.checker().target_max_depth(steps).spawn_bfs().join();
        println!("{steps} steps: {} states of {lease:?}", checked.unique_state_count());
        checked.assert_no_discovery(HOLDS);
        checked.assert_no_discovery(LETS_IN);
        checked.assert_no_discovery(AFTER_THE_MARK);
    }
}

#[test]
fn courses_of_leases_with_a_broken_rule_are_found() {
    let late_marks = Lease { changes: 2, late_marks: true, ..SMALL };
    let cases = [
        (SMALL, Wrong::CountedFromAck),
        (SMALL, Wrong::AckNotAwaited),
        (SMALL, Wrong::Unconditional),
        (SMALL, Wrong::Unread),
        (SMALL, Wrong::Impatient),
        (SMALL, Wrong::SlowClock),
        (SMALL, Wrong::ClockFirst),
        (SMALL, Wrong::Behind),
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
