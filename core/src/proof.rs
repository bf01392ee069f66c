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
            /// Bugs to plant.
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
        /// A page of a pull shows before the last one has come.
        PagesPublishedOneByOne,
        /// A page that begins elsewhere is applied.
        ForeignPageApplied,
        /// An earlier page, out of some cache, is applied.
        EarlierPageApplied,
        /// A pull that was given up leaves its pages to the next one.
        StagedPagesStay,
        /// What the practice deleted stays.
        TombstoneDropped,
        /// What was deleted comes back with the next pull.
        DeletedComesBack,
        /// A resync keeps what the practice no longer has.
        ResyncKeepsDeleted,
        /// Records of a kind that this version does not know are thrown away.
        UnknownKindsDropped,
        /// One bad record stops the whole feed.
        BadRecordStopsTheFeed,
        /// A practice that has forgotten our place is asked for ever.
        GoneIgnored,
        /// A resync clears the outbox.
        OutboxClearedByResync,
        /// A resync clears the drafts.
        DraftsClearedByResync,
        /// After a new sign-in the counters of the install before go on.
        CountersOfAnotherInstall,
        /// After a restore of the practice the old counters go on.
        CountersKeptInANewEpoch,
        /// An op that the practice counted is taken for one that it did.
        AckTakenForApplied,
        /// An op is done as soon as it is sent.
        AckOnSend,
        /// Every try has a number of its own: a gap for each lost answer.
        NewNumberEachTry,
        /// Every try makes another message.
        AnotherIdEachTry,
        /// A try after a day makes another message.
        AnotherIdAfterADay,
        /// A lane is sent from its end.
        NewestFirst,
        /// What was refused for good holds up everything behind it.
        RefusedBlocksItsLane,
        /// What was refused is sent along again.
        RefusalSentAgain,
        /// What was refused disappears.
        RefusalNotShown,
        /// What was refused does not say why.
        RefusalWithoutAReason,
        /// The practice's stored answer to an earlier try counts for nothing.
        StoredResultIgnored,
        /// A stored refusal is taken for done.
        ReplayedIsApplied,
        /// What may have arrived can be taken back.
        DiscardOnItsWay,
        /// A request without an answer counts as one that never left.
        LostIsNotSent,
        /// The text before the correction is sent.
        EditSendsTheOldText,
        /// A session that ends takes the queue along.
        UnauthorizedDiscardsTheQueue,
        /// What was sent disappears until the feed brings it.
        OwnWriteGoneUntilSynced,
        /// What was sent shows twice once the feed brings it.
        OwnWriteTwice,
        /// What is done stays in the outbox.
        DoneNeverLeaves,
        /// What is done leaves at the next pull, whether that contains it or not.
        DoneLeavesTooEarly,
        /// What was read is unread while its mark is on its way.
        MarkForgottenOnItsWay,
        /// A sent draft is still listed.
        SentDraftStays,
        /// The base moves and no screen is told.
        ChangesNotTold,
        /// The badge moves and the first screen is not told.
        BadgeNotTold,
        /// A sync that is asked for during another one is forgotten.
        TriggerDuringAPullLost,
        /// A sync that is asked for between two pages is forgotten.
        TriggerBetweenPagesLost,
        /// The practice's Retry-After counts for nothing.
        RetryAfterIgnored,
        /// The practice's wish to hear of an op later counts for nothing.
        LaneWaitIgnored,
        /// One conversation that has to wait holds up all others.
        OneLaneHoldsAll,
        /// Conversations are sent in whatever order chance has it.
        OrderByChance,
        /// A Retry-After that comes while the files are closed is forgotten.
        WaitForgottenWhenClosed,
        /// The backoff is sixty times too long.
        BackoffInSecondsTakenForMinutes,
        /// How long to wait is drawn from the clock on the wall.
        JitterFromTheClock,
        /// When to try again is judged by the clock on the wall.
        WallClockRules,
        /// A lock in the middle of a sync stops the background after the unlock.
        LockStopsTheBackground,
        /// An unlock during the last breath of a sync is not heard by the background.
        LockEndsTheBackground,
        /// A failure from before the unlock makes what is written after it wait.
        UnlockKeepsTheBackoff,
        /// What waited while locked waits on after the unlock.
        NothingGoesOnAfterUnlock,
        /// What waited while suspended waits on afterwards.
        NothingGoesOnAfterResume,
        /// An unlock or a sign-in opens the records of a suspended app.
        OpensWhileSuspended,
        /// A suspended app keeps a file locked.
        SuspendedWithALock,
        /// Whoever signs in gets the records of the one before.
        RecordsOfWhoeverWasHere,
        /// A start takes the records that are there.
        RecordsGoAtAStart,
        /// Every start writes a file, and needs room for it.
        WritesAtEveryStart,
        /// A wipe that was cut short is never finished.
        WipesNotFinished,
        /// What a sign-in that was cut short left is never removed.
        UnnamedRecordsStay,
        /// A full disk is reported as a mistake of the app.
        FullDiskIsABug,
        /// Two syncs run at once.
        TwoSyncsAtOnce,
        /// Two refreshes run at once.
        TwoRefreshesAtOnce,
        /// A page for whoever was here before is given to whoever is here now.
        PageForWhoeverWasHere,
        /// A rotated token is used before it is durable.
        TokenUsedBeforeDurable,
    }

    thread_local! {
        static PLANTED: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    /// Plants one bug on this thread, or none.
    pub fn plant(mutant: Option<Mutant>) {
        PLANTED.set(mutant);
    }

    thread_local! {
        static KEPT: Cell<Vec<String>> = const { Cell::new(Vec::new()) };
    }

    /// Keeps records for a bug that brings them back.
    pub(crate) fn keep(record: String) {
        KEPT.set(KEPT.take().into_iter().chain([record]).collect());
    }

    /// What was kept.
    pub(crate) fn kept() -> Vec<String> {
        KEPT.take()
    }

    pub(crate) fn is_planted(mutant: Mutant) -> bool {
        PLANTED.get() == Some(mutant)
    }
}
