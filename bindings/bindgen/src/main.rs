//! Writes the Kotlin and the Swift code from the metadata in the built library.
#![forbid(unsafe_code)]

fn main() {
    uniffi::uniffi_bindgen_main();
}
