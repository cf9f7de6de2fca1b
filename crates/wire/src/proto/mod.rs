//! Generated from `proto/`; `make proto` writes it anew. Only this file is written by hand.
#![allow(
    missing_docs,
    clippy::all,
    clippy::pedantic,
    clippy::wildcard_enum_match_arm,
    clippy::unwrap_used,
    reason = "generated code follows its generator"
)]

/// The encoded descriptors of all files, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!("descriptor.bin");

pub mod gander {
    pub mod admin {
        pub mod v1 {
            include!("gander.admin.v1.rs");
            include!("gander.admin.v1.serde.rs");
        }
    }
    pub mod events {
        pub mod v1 {
            include!("gander.events.v1.rs");
            include!("gander.events.v1.serde.rs");
        }
    }
    pub mod stored {
        pub mod v1 {
            include!("gander.stored.v1.rs");
        }
    }
}
