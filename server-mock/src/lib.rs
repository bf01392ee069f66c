//! A reference practice: everything that a phone, a browser and the staff of a behavioral-health
//! practice can ask of a portal server, with the real rules and nothing on disk.
//!
//! The heart is pure. [`World`] holds the state, [`handle`] takes one HTTP request at one instant
//! and says what goes back. No clock, no socket and no operating system randomness is used there, so
//! the same seed and the same calls give the same world, byte for byte. [`serve`] puts it on a TLS
//! socket.
#![forbid(unsafe_code)]

pub mod demo;
pub mod openapi;
pub mod pages;
pub mod serve;
pub mod world;

mod api;
mod rules;

pub use api::{Answer, Outcome, handle};
pub use world::{Faults, Setup, World};
