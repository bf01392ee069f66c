//! Rules that need no state: names, passwords, times, numbers, secrets.

pub(crate) mod apps;
pub(crate) mod ids;
pub(crate) mod names;
pub(crate) mod numbers;
pub(crate) mod passwords;
pub(crate) mod secrets;
pub(crate) mod times;
