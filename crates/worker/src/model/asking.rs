//! What an alert would come to, asked of a worker: told piece by piece, beside the alerts that come.

use std::collections::BTreeSet;

use bytes::Bytes;
use wire::stored::apilog::{LogPart, Part};

use super::broker::Model;
use super::schedule::in_model_time;
use super::worker::Worker;
use super::world::{Recipe, Say, World};
use crate::asked::Asked;

const SERVICES: u16 = 40;

/// The services that parts tell of, and how many parts there are.
fn told(parts: &[Bytes]) -> (BTreeSet<String>, usize) {
    let mut services = BTreeSet::new();
    for part in parts {
        let Part::Reasons(reasons) = LogPart::decode(part).unwrap().part else { panic!("a call") };
        for service in reasons.services {
            assert!(services.insert(service.service), "told twice");
        }
    }
    (services, parts.len())
}

#[test]
fn a_question_is_answered_piece_by_piece_and_the_same() {
    let (model, mut world) = (Model::new(1), World::wide(SERVICES));
    let mut worker = Worker::start(&model, &world, 1, u64::MAX, 1_000);
    in_model_time(worker.finish(&world)).expect("nothing was skipped");
    let say = Say::Mapped { trigger: Some(0), resolve: None };
    let question = world.batch(&[Recipe::Alert { reach: 0, say, after: 0 }]);
    let mut asked = Asked::read(&question).expect("a question");
    let (whole, _) = told(&worker.owner.explain(&mut asked, || false).expect("it is known"));
    assert!(asked.is_done() && whole.len() == usize::from(SERVICES));
    let (mut asked, mut pieces) = (Asked::read(&question).unwrap(), Vec::new());
    while !asked.is_done() {
        let piece = worker.owner.explain(&mut asked, || true).unwrap();
        assert!(told(&piece).0.len() <= 1, "no more than what is begun");
        pieces.extend(piece);
    }
    assert_eq!(told(&pieces).0, whole);
    assert!(model.state().told.is_empty() && model.state().sent.is_empty(), "nothing happens");
}

#[test]
fn a_question_waits_for_the_configuration_that_it_rests_on() {
    let (model, mut world) = (Model::new(1), World::new());
    let mut worker = Worker::start(&model, &world, 1, u64::MAX, 1_000);
    in_model_time(worker.finish(&world)).expect("nothing was skipped");
    world.change(super::world::Change::Disable(0, true));
    let question = world.batch(&[Recipe::Alert { reach: 0, say: Say::Note(0), after: 0 }]);
    let mut asked = Asked::read(&question).expect("a question");
    assert_eq!(worker.owner.explain(&mut asked, || false), None);
    assert!(!asked.is_done());
    let command = world.batch(&[Recipe::Resolve { back: 0, service: 0 }]);
    assert!(Asked::read(&command).is_none() && Asked::read(&Bytes::new()).is_none());
}
