//! Values that cannot be wrong once they exist: ids, instants with a zone, login ids, and the two
//! wrappers that keep secrets and health data out of logs.

mod guarded;
mod id;
mod time;

pub use guarded::{Phi, Secret};
pub use id::Id;
pub use time::{Millis, When, Zone};
pub(crate) use time::{parse_rfc3339, rfc3339_option};

/// Implements a `Debug` that names the type and nothing that is inside it (DESIGN rule 8).
macro_rules! private_debug {
    ($($name:ty),+ $(,)?) => {$(
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($name), " { .. }"))
            }
        }
    )+};
}
pub(crate) use private_debug;
