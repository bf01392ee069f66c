//! The phone core of a client portal: everything that is true on every phone.
//!
//! Data takes one way: a verb writes the store and the outbox in one transaction; the sync engine
//! carries the outbox to the practice and the practice's feed into the store; a view is read from
//! the store. `docs/ARCHITECTURE.md` has the picture, and each folder here is one room of it.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

pub mod account;
pub mod change;
pub mod error;
#[cfg(feature = "floor")]
pub mod floor;
pub mod home;
pub mod log;
pub mod messages;
pub mod net;
pub mod outbox;
pub mod people;
pub mod portal;
pub mod ports;
pub mod proof;
pub mod runtime;
mod session;
pub mod store;
pub mod sync;
pub mod values;

pub use error::{PortalError, Reason};
pub use portal::{Portal, PortalConfig};

uniffi::setup_scaffolding!("portal");
