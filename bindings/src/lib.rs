//! The core as a library for Kotlin and Swift. Everything that they see is defined in `portal-core`
//! (ADR 1); here is only what belongs to a library as a whole: where memory comes from and what happens
//! when the core panics.

#![forbid(unsafe_code)]

use portal_core::runtime::AtStart;

portal_core::uniffi_reexport_scaffolding!();

/// What is freed is overwritten: health records, passwords and keys do not stay behind (SECURITY S2).
#[global_allocator]
static ALLOCATOR: zeroizing_alloc::ZeroAlloc<std::alloc::System> =
    zeroizing_alloc::ZeroAlloc(std::alloc::System);

inventory::submit!(AtStart(prepare));

fn prepare() {
    // The text of a panic may quote a record, so nobody gets to see it: only the place is told.
    std::panic::set_hook(Box::new(|info| {
        if let Some(place) = info.location() {
            portal_core::log::panicked(place);
        }
    }));
    #[cfg(feature = "proof")]
    provoke::listen();
}

#[cfg(feature = "proof")]
mod provoke;
