//! Taking a partition: when it must succeed, and when it must say that alerts would be skipped.

use std::time::Duration;

use wire::Partition;

use super::broker::{Fault, Model};
use super::invariants::check_done;
use super::schedule::in_model_time;
use super::worker::{Order, Worker};
use super::world::{PARTITIONS, Recipe, Say, World};
use crate::takeover::Error;

const ALERT: Recipe =
    Recipe::Alert { reach: 0, say: Say::Mapped { trigger: Some(0), resolve: None }, after: 0 };

fn start(model: &Model, world: &World, n: u8) -> Worker {
    Worker::start(model, world, n, u64::MAX, 1_000)
}

/// A worker that has done three messages, with another one waiting.
async fn worked(seed: u64) -> (Model, World, Worker) {
    let (model, mut world) = (Model::new(seed), World::new());
    for _ in 0..3 {
        model.append(world.batch(&[ALERT]));
    }
    let mut worker = start(&model, &world, 1);
    worker.finish(&world).await.expect("nothing was skipped");
    model.append(world.batch(&[ALERT]));
    (model, world, worker)
}

async fn refusal(worker: &mut Worker) -> String {
    match worker.owner.take(Partition(0)).await {
        Err(Error::WouldSkip { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_owner_that_commits_and_purges_meanwhile_neither_fails_nor_fools_a_take_over() {
    for seed in 0..80 {
        in_model_time(async {
            let (model, world, mut owner) = worked(seed).await;
            let mut taker = start(&model, &world, 2);
            taker.owner.broker.pace = 20;
            let taking = async { taker.owner.take(Partition(0)).await };
            let purging = async {
                tokio::time::sleep(Duration::from_millis(seed * 5)).await;
                owner.obey(Order::Read(1)).await.expect("nothing was skipped");
                owner.obey(Order::Purge).await.expect("nothing was skipped");
            };
            let (taken, ()) = tokio::join!(taking, purging);
            assert!(taken.as_ref().err().is_none_or(Error::is_transient), "{taken:?}");
            taker.finish(&world).await.expect("nothing was skipped");
            let reached = taker.owner.owned.values().map(|owned| &owned.state);
            check_done(&model.state(), &world, reached);
        });
    }
}

/// Its fence does not hold any more: what it finds is the other one's doing.
#[test]
fn a_taker_that_stands_still_while_another_takes_over_and_purges_does_not_stop() {
    for seed in 0..80 {
        in_model_time(async {
            let (model, world, _) = worked(seed).await;
            let (mut slow, mut next) = (start(&model, &world, 2), start(&model, &world, 3));
            slow.owner.broker.pace = 20;
            let taking = async { slow.owner.take(Partition(0)).await };
            let going_on = async {
                tokio::time::sleep(Duration::from_millis(seed * 5)).await;
                next.finish(&world).await.expect("nothing was skipped");
                next.obey(Order::Purge).await.expect("nothing was skipped");
            };
            let (taken, ()) = tokio::join!(taking, going_on);
            assert!(taken.as_ref().err().is_none_or(Error::is_transient), "{taken:?}");
        });
    }
}

#[test]
fn a_server_that_is_behind_does_not_make_a_take_over_forget() {
    for behind in 1..16 {
        in_model_time(async {
            let (model, world, mut owner) = worked(1).await;
            owner.finish(&world).await.expect("nothing was skipped");
            let mut taker = start(&model, &world, 2);
            for partition in 0..PARTITIONS {
                model.state().behind = behind;
                taker.obey(Order::Take(partition)).await.expect("nothing was skipped");
            }
            let (before, now) = (&owner.owner.owned, &taker.owner.owned);
            for (partition, known) in now {
                assert_eq!(known.state, before[partition].state, "{behind} behind");
            }
            assert_eq!(now.len(), before.len());
        });
    }
}

/// As a full disk leaves them.
#[test]
fn an_older_state_that_was_not_removed_does_not_keep_a_partition_from_its_taker() {
    in_model_time(async {
        let (model, world, mut owner) = worked(1).await;
        owner.finish(&world).await.expect("nothing was skipped");
        let mut left = 0;
        {
            let mut state = model.state();
            for (sequence, subject, payload) in state.log.clone() {
                let is_state = subject.starts_with("gander.state.");
                if is_state && !state.incidents.messages.contains_key(&sequence) {
                    state.incidents.messages.insert(sequence, (subject, payload));
                    left += 1;
                }
            }
        }
        assert!(left > 0, "nothing was replaced");
        let mut taker = start(&model, &world, 2);
        taker.finish(&world).await.expect("nothing was skipped");
        for (partition, known) in &taker.owner.owned {
            assert_eq!(known.state, owner.owner.owned[partition].state);
        }
    });
}

#[test]
fn another_input_stream_is_refused_at_every_attempt() {
    in_model_time(async {
        let (model, world, _) = worked(1).await;
        let mut taker = start(&model, &world, 2);
        taker.owner.streams.alerts_identity += 1;
        for _ in 0..3 {
            assert!(refusal(&mut taker).await.contains("not the one it was"));
        }
        taker.owner.streams.alerts_identity -= 1;
        assert!(taker.owner.take(Partition(0)).await.is_ok(), "the old one is still known");
    });
}

#[test]
fn input_that_is_gone_before_it_was_folded_is_refused() {
    in_model_time(async {
        let (model, world, _) = worked(1).await;
        model.state().alerts.messages.clear();
        let reason = refusal(&mut start(&model, &world, 2)).await;
        assert_eq!(reason, "it has done message 3, the first one left is 5");
    });
}

#[test]
fn a_position_beyond_the_input_is_refused() {
    in_model_time(async {
        let (model, world, _) = worked(1).await;
        model.state().alerts.last = 2;
        let reason = refusal(&mut start(&model, &world, 2)).await;
        assert_eq!(reason, "it has done message 3, the last one is 2");
    });
}

#[test]
fn a_take_over_of_unknown_outcome_is_known_by_its_batch() {
    in_model_time(async {
        let (model, world, mut owner) = worked(1).await;
        model.state().faults = [Fault::AckLost, Fault::Late].into();
        let mut taker = start(&model, &world, 2);
        assert!(taker.owner.take(Partition(0)).await.is_ok());
        assert!(taker.owner.take(Partition(1)).await.is_err_and(|error| error.is_transient()));
        model.land_all();
        owner.obey(Order::Read(1)).await.expect("nothing was skipped");
        assert!(owner.owner.owned.is_empty(), "both fences have moved on");
        taker.finish(&world).await.expect("nothing was skipped");
    });
}

#[test]
fn input_is_not_purged_while_a_partition_was_never_taken() {
    in_model_time(async {
        let (model, mut world) = (Model::new(1), World::new());
        model.append(world.batch(&[ALERT]));
        let mut worker = start(&model, &world, 1);
        for order in [Order::Take(0), Order::Read(1), Order::Purge] {
            worker.obey(order).await.expect("nothing was skipped");
        }
        assert_eq!(model.state().alerts.messages.len(), 1);
        worker.finish(&world).await.expect("nothing was skipped");
        worker.obey(Order::Purge).await.expect("nothing was skipped");
        assert_eq!(model.state().alerts.messages.len(), 0);
        assert_eq!(worker.owner.owned.len(), usize::try_from(PARTITIONS).unwrap());
    });
}
