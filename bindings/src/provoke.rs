//! In a build for proofs: a panic at a named moment.

use std::sync::LazyLock;

static MOMENT: LazyLock<Option<String>> = LazyLock::new(|| std::env::var("PORTAL_PANIC_AT").ok());

pub(crate) fn listen() {
    portal_core::proof::listen(|moment| {
        assert!(MOMENT.as_deref() != Some(moment), "canary: Renée O'Connor-Núñez, born 1990-02-28");
    });
}
