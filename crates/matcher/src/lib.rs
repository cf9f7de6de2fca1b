//! Which services an alert visits, and what their filters find.
//!
//! Layout: `index` is what a worker asks, made of a `compiled` part and of what changed since that was
//! made; `paths` are the places that filters look at, `items` the texts that are searched there.
//! Pure. Must not know partitions' positions or incidents; the meaning of filters is the reference
//! in `domain`, and what is found here is only where it is asked.

mod compiled;
mod index;
mod items;
mod paths;

pub use compiled::{Compiled, Scratch};
pub use index::{Entry, Index, Passed, Rebuild, Rebuilt, evaluate};
