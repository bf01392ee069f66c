//! The phone core of a client portal: everything that is true on every phone.
//!
//! Data takes one way: a verb writes the store and the outbox in one transaction; the sync engine
//! carries the outbox to the practice and the practice's feed into the store; a view is read from
//! the store. `docs/ARCHITECTURE.md` has the picture, and each folder here is one room of it.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

pub mod change;
pub mod error;
mod log;
pub mod net;
pub mod ports;
pub mod runtime;
pub mod store;
pub mod values;

uniffi::setup_scaffolding!("portal");
