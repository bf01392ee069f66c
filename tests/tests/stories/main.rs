//! The stories of `bindings/stories.txt` as Rust tells them: over the public API alone, as a shell has
//! it, against the reference practice on a TLS socket of this machine. Every story has a practice and
//! a directory of its own. `tests/tests/bindings.rs` sees to it that none is missing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../lab/mod.rs"]
mod lab;
mod support;

mod fetching;
mod locking;
mod portal;
mod reading;
mod session;
mod writing;
