//! The switch behind which the proofs stand: named moments at which a test kills the process, and
//! bugs that the simulator has to find. Without the feature `proof` nothing of it is compiled in, and
//! a build without debug assertions refuses the feature.

#[cfg(all(feature = "proof", not(debug_assertions)))]
compile_error!("the feature `proof` plants bugs: no release build may contain it");

/// A named moment between two steps. In a build for proofs whoever listens may end the process here.
macro_rules! point {
    ($name:literal) => {
        #[cfg(feature = "proof")]
        $crate::proof::reached($name);
    };
}

/// Whether this bug is planted: never, outside of a build for proofs.
macro_rules! planted {
    ($mutant:ident) => {{
        #[cfg(feature = "proof")]
        let planted = $crate::proof::is_planted($crate::proof::Mutant::$mutant);
        #[cfg(not(feature = "proof"))]
        let planted = false;
        planted
    }};
}

pub(crate) use {planted, point};

#[cfg(feature = "proof")]
pub use switch::*;

#[cfg(feature = "proof")]
mod switch {
    use std::cell::Cell;
    use std::sync::OnceLock;

    static LISTENER: OnceLock<fn(&'static str)> = OnceLock::new();

    /// Calls `listener` at every named moment, on the thread that reaches it; the first one stays.
    pub fn listen(listener: fn(&'static str)) {
        let _ = LISTENER.set(listener);
    }

    pub(crate) fn reached(name: &'static str) {
        if let Some(listener) = LISTENER.get() {
            listener(name);
        }
    }

    macro_rules! mutants {
        ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
            /// Bugs to plant, each one that some product really had.
            #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
            pub enum Mutant {
                $($(#[doc = $doc])+ $name,)+
            }

            impl Mutant {
                /// Every one.
                pub const ALL: &'static [Self] = &[$(Self::$name,)+];

                /// What it does, in a sentence.
                pub fn sentence(self) -> &'static str {
                    match self {
                        $(Self::$name => concat!($($doc,)+).trim_start(),)+
                    }
                }
            }
        };
    }

    mutants! {
        /// The place in the feed is stored before the rows that lead there.
        CursorBeforeRows,
    }

    thread_local! {
        static PLANTED: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    /// Plants one bug on this thread, or none.
    pub fn plant(mutant: Option<Mutant>) {
        PLANTED.set(mutant);
    }

    pub(crate) fn is_planted(mutant: Mutant) -> bool {
        PLANTED.get() == Some(mutant)
    }
}
