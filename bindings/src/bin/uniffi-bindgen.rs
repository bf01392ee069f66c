//! Writes the Kotlin and the Swift code from the metadata in the built library.

fn main() {
    uniffi::uniffi_bindgen_main();
}
