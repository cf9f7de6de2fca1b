//! The paths that filters look at, as a tree, and a walk of a payload along all of them at once.
//!
//! Must not know what is searched at their ends.

use std::collections::HashMap;

use domain::filter::{Key, Step};
use domain::json::Json;
use foldhash::fast::RandomState;

/// The end of a path: what keys with the same steps share, however they are written.
pub type Place = u32;

type Node = u32;

/// Seeded at random: nobody who chooses names knows which collide.
type Map<K, V> = HashMap<K, V, RandomState>;

const ROOT: Node = 0;

/// What a search may still cost, about in bytes that are looked at.
#[derive(Debug)]
pub struct Left(pub usize);

impl Left {
    /// Takes so much of it; none where there is less.
    pub fn spend(&mut self, cost: usize) -> Option<()> {
        self.0 = self.0.checked_sub(cost)?;
        Some(())
    }
}

/// About what a step from a value to one below costs.
const STEP: usize = 8;

/// What leads from a node to one below.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Edge {
    /// A name, by its number.
    Name(u32),
    Element(usize),
    AnyElement,
}

/// The paths. Names are kept once, and nodes have no parts of their own: 100,000 long keys take little
/// more than their text.
#[derive(Debug)]
pub struct Paths {
    names: Map<Box<str>, u32>,
    edges: Map<(Node, Edge), Node>,
    nodes: Vec<Known>,
    places: u32,
    /// Keys whose whole text a member of the top level may have, though their path is another.
    whole: Map<Box<str>, Place>,
}

/// What is known of a node, so that nothing is looked for where there is nothing.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    place: Option<Place>,
    names: bool,
    any: bool,
    /// The last element that is named, and one.
    elements: usize,
}

impl Default for Paths {
    fn default() -> Self {
        Self {
            names: Map::default(),
            edges: Map::default(),
            nodes: vec![Known::default()],
            places: 0,
            whole: Map::default(),
        }
    }
}

impl Paths {
    /// The place of this key.
    pub fn put(&mut self, key: &Key) -> Place {
        let mut node = ROOT;
        for step in key.steps() {
            node = self.below(node, step);
        }
        let next = self.places;
        let place = *self.nodes[node as usize].place.get_or_insert(next);
        self.places = self.places.max(place + 1);
        let is_its_path = matches!(key.steps(), [Step::Name(name)] if name == key.as_str());
        if !is_its_path && !self.whole.contains_key(key.as_str()) {
            self.whole.insert(key.as_str().into(), place);
        }
        place
    }

    fn below(&mut self, node: Node, step: &Step) -> Node {
        let edge = match step {
            Step::Name(name) => Edge::Name(self.name(name)),
            Step::Element(n) => Edge::Element(*n),
            Step::AnyElement => Edge::AnyElement,
        };
        let known = &mut self.nodes[node as usize];
        match step {
            Step::Name(_) => known.names = true,
            Step::Element(n) => known.elements = known.elements.max(n.saturating_add(1)),
            Step::AnyElement => known.any = true,
        }
        let fresh = count(self.nodes.len());
        let below = *self.edges.entry((node, edge)).or_insert(fresh);
        if below == fresh {
            self.nodes.push(Known::default());
        }
        below
    }

    fn name(&mut self, name: &str) -> u32 {
        match self.names.get(name) {
            Some(known) => *known,
            None => {
                let fresh = count(self.names.len());
                self.names.insert(name.into(), fresh);
                fresh
            }
        }
    }

    /// How many places there are; they are numbered from 0.
    pub const fn len(&self) -> u32 {
        self.places
    }

    /// About how many bytes they take.
    pub fn memory(&self) -> usize {
        let names = |names: &Map<Box<str>, u32>| {
            names.keys().map(|name| name.len()).sum::<usize>() + names.capacity() * 24
        };
        let edges = self.edges.capacity() * size_of::<((Node, Edge), Node)>();
        names(&self.names) + names(&self.whole) + edges + size_of_val(&*self.nodes)
    }

    /// Shows each value that a key may find, with its place. Where a member of the top level has the
    /// whole text of a key, what is on its path is shown too: more than the key finds, never less.
    /// None where it has cost all that it may before the end.
    pub fn walk<'v, 'a>(
        &self,
        root: &'v Json<'a>,
        left: &mut Left,
        show: &mut impl FnMut(Place, &'v Json<'a>, &mut Left) -> Option<()>,
    ) -> Option<()> {
        if let Json::Object(members) = root
            && !self.whole.is_empty()
        {
            left.spend(members.len() * STEP)?;
            for (name, value) in members {
                if let Some(place) = self.whole.get(&**name) {
                    show(*place, value, left)?;
                }
            }
        }
        self.down(ROOT, root, left, show)
    }

    /// As deep as the longest key at most.
    fn down<'v, 'a>(
        &self,
        node: Node,
        value: &'v Json<'a>,
        left: &mut Left,
        show: &mut impl FnMut(Place, &'v Json<'a>, &mut Left) -> Option<()>,
    ) -> Option<()> {
        let known = &self.nodes[node as usize];
        if let Some(place) = known.place {
            show(place, value, left)?;
        }
        match value {
            Json::Object(members) if known.names => {
                left.spend(members.len() * STEP)?;
                for (name, value) in members {
                    let name = self.names.get(&**name);
                    let edge = name.and_then(|name| self.edges.get(&(node, Edge::Name(*name))));
                    if let Some(below) = edge {
                        self.down(*below, value, left, show)?;
                    }
                }
            }
            Json::Array(elements) => {
                left.spend(elements.len().min(known.elements) * STEP)?;
                for (n, value) in elements.iter().enumerate().take(known.elements) {
                    if let Some(below) = self.edges.get(&(node, Edge::Element(n))) {
                        self.down(*below, value, left, show)?;
                    }
                }
                let any = known.any.then(|| self.edges.get(&(node, Edge::AnyElement))).flatten();
                if let Some(below) = any {
                    left.spend(elements.len() * STEP)?;
                    for value in elements {
                        self.down(*below, value, left, show)?;
                    }
                }
            }
            Json::Object(_) | Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
        }
        Some(())
    }
}

fn count(length: usize) -> u32 {
    u32::try_from(length).expect("what is in memory is fewer")
}
