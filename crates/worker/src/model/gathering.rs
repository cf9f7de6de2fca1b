//! When more may gather before it is folded.

use domain::id::InstanceId;
use runtime::nats::Message;
use wire::stored::alert::{Record, encode_batch, record_to};

use super::broker::Model;
use super::schedule::in_model_time;
use super::worker::{Order, Worker};
use super::world::{Recipe, Say, World};

const ALERT: Recipe =
    Recipe::Alert { reach: 0, say: Say::Mapped { trigger: Some(0), resolve: None }, after: 0 };

/// Appends a message of one alert; its sender waits for the outcome or not.
fn append(model: &Model, world: &mut World, outcome_wanted: bool) {
    let records = world.records(&[ALERT]).into_iter();
    let records = records.map(|record| record_to(Record { outcome_wanted, ..record })).collect();
    model.append(encode_batch(world.sequence(), InstanceId::from_bytes([7; 16]), records));
}

#[test]
fn more_gathers_while_nobody_waits_and_there_is_room() {
    let (model, mut world) = (Model::new(5), World::new());
    let mut worker = Worker::start(&model, &world, 1, u64::MAX, 1_000);
    in_model_time(worker.finish(&world)).expect("nothing was skipped");
    let mut takes = |outcome_wanted| {
        append(&model, &mut world, outcome_wanted);
        let sequence = model.state().alerts.last;
        model.input(sequence).expect("it was just appended")
    };
    let owner = &mut worker.owner;
    owner.push(&takes(false));
    assert!(owner.may_gather(), "nobody waits");
    owner.push(&takes(true));
    owner.push(&takes(false));
    assert!(!owner.may_gather(), "one waits");
    in_model_time(worker.obey(Order::Read(0))).expect("nothing was skipped");
    let owner = &mut worker.owner;
    assert!(owner.may_gather(), "who waited was told");
    while owner.has_room() {
        owner.push(&takes(false));
    }
    assert!(!owner.may_gather(), "there is no room");
    in_model_time(worker.obey(Order::Read(0))).expect("nothing was skipped");
    let owner = &mut worker.owner;
    assert!(owner.may_gather() && !owner.has_more());
    owner.push(&Message { pending: 1, ..takes(false) });
    assert!(!owner.may_gather(), "more is there");
    owner.push(&takes(false));
    assert!(owner.may_gather(), "that was all");
    let _ = owner.restart();
    assert!(!owner.may_gather(), "a service may have gone");
}
