//! `Secret` and `Phi`: what they hold cannot be printed, logged or serialised by accident.

use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// A key, token, code or password. It is erased when dropped and has no `Display` and no
/// `Serialize`; `Debug` prints `[secret]`.
///
/// ```compile_fail
/// let secret = portal_core::values::Secret::new(String::from("hunter2"));
/// println!("{secret}");
/// ```
///
/// ```compile_fail
/// let secret = portal_core::values::Secret::new(String::from("hunter2"));
/// serde_json::to_string(&secret);
/// ```
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Secret<T: Zeroize>(T);

impl<T: Zeroize> Secret<T> {
    /// Takes the value into custody.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself, for the one place that must use it.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// Health data, or anything else that tells who somebody is. `Debug` prints `[phi]`; there is no
/// `Display`, so it cannot be formatted into a log line or an error.
///
/// ```compile_fail
/// let name = portal_core::values::Phi::new("Renée");
/// format!("{name}");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Phi<T>(T);

impl<T> Phi<T> {
    /// Marks a value as personal.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value, for a view or a request body.
    pub fn expose(&self) -> &T {
        &self.0
    }

    /// Takes the value out, to put it into a view.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> fmt::Debug for Phi<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[phi]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_prints_nothing_of_the_value() {
        assert_eq!(format!("{:?}", Secret::new(String::from("canary"))), "[secret]");
        assert_eq!(format!("{:?}", Some(Phi::new("canary"))), "Some([phi])");
    }
}
