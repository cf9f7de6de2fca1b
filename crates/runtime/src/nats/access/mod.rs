//! Who may do what at nats-server: a user for each role, with a key of its own.
//!
//! - `rights`: the one table of it. `accounts`: the same as configuration of nats-server.
//! - `key`: keys, made and used. `door`: where to connect, and as whom.
//!
//! A role is not only a user but also an account, because permissions do not hold by themselves: any
//! request may name any subject for its answer, and within one account the server then writes there.
//! Admin and operators are in the account that has the streams; they are trusted with these.

mod accounts;
mod door;
mod key;
mod rights;

pub use accounts::{Subscriber, accounts};
pub use door::Door;
pub use key::{Key, KeyError, Keys};
pub use rights::User;
