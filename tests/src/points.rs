//! Every named moment of the core at which `kills` ends the process, and what a phone has to be doing
//! to come by there. A test compares the list with the sources.

use serde::{Deserialize, Serialize};

/// What a phone does in one life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Scene {
    /// Registers or signs in.
    Enter,
    /// Reads, writes and syncs.
    Work,
    /// The same while the practice refuses access tokens.
    Refresh,
    /// The same while the practice forgets the phone's place in the feed.
    Gone,
    /// The same after the practice was restored from a backup.
    Restored,
    /// Writes without a network.
    Offline,
    /// Has messages that the practice refused.
    Refused,
    /// Locks, unlocks, suspends, resumes.
    Doors,
    /// Finds its file damaged.
    Damage,
    /// Signs out or wipes.
    Leave,
}

use Scene::{Damage, Doors, Enter, Gone, Leave, Offline, Refresh, Refused, Restored, Work};

/// The name of each moment, and where to look for it.
pub const POINTS: &[(&str, Scene)] = &[
    // Opening, for everybody.
    ("install.read", Enter),
    ("install.keyed", Enter),
    ("install.changed", Enter),
    ("install.saved", Enter),
    ("file.written", Enter),
    ("file.synced", Enter),
    ("file.renamed", Enter),
    ("card.kept", Enter),
    // Registering and signing in.
    ("register.asked", Enter),
    ("register.answered", Enter),
    ("register.redeemed", Enter),
    ("sign-in.pending", Doors),
    ("sign-in.taken", Doors),
    ("sign-in.redeemed", Doors),
    ("admit.begun", Enter),
    ("records.directory-made", Enter),
    ("key.made", Enter),
    ("key.wrapped", Enter),
    ("key.written", Enter),
    ("records.keyed", Enter),
    ("connection.file-made", Enter),
    ("connection.keyed", Enter),
    ("connection.logged", Enter),
    ("migrate.begun", Enter),
    ("migrate.made", Enter),
    ("migrate.numbered", Enter),
    ("migrate.committed", Enter),
    ("admit.opened", Enter),
    ("admit.saved", Enter),
    ("admit.named", Enter),
    ("admit.entered", Enter),
    ("feed.install-adopted", Enter),
    // Unlocking and locking.
    ("unlock.keyed", Work),
    ("unlock.opened", Work),
    ("unlock.entered", Work),
    ("lock.left", Doors),
    ("close.begun", Doors),
    ("close.emptied", Doors),
    ("suspend.closed", Doors),
    ("resume.opened", Doors),
    // Every write.
    ("store.begun", Work),
    ("store.worked", Work),
    ("store.committed", Work),
    // The verbs.
    ("start.begun", Work),
    ("start.drafted", Work),
    ("send.begun", Work),
    ("send.drafted", Work),
    ("mark.replaced", Work),
    ("mark.kept", Work),
    ("write.kept", Work),
    ("draft.begun", Work),
    ("draft.kept", Work),
    ("change.kept", Offline),
    ("outbox.queued", Work),
    ("outbox.kept", Work),
    ("outbox.requeued", Refused),
    // Sending.
    ("sync.locked", Work),
    ("outbox.numbered", Work),
    ("outbox.claimed", Work),
    ("push.claimed", Work),
    ("push.sent", Work),
    ("push.answered", Work),
    ("push.settled", Work),
    ("outbox.released", Offline),
    ("push.gone", Restored),
    // Fetching.
    ("pull.asked", Work),
    ("pull.answered", Work),
    ("feed.staged", Gone),
    ("feed.applied", Work),
    ("feed.swept", Gone),
    ("outbox.uncounted", Gone),
    ("feed.recounted", Gone),
    ("feed.dropped", Work),
    ("feed.placed", Work),
    ("pull.taken", Work),
    ("pull.published", Work),
    ("pull.gone", Gone),
    ("feed.refill-marked", Gone),
    ("sync.ended", Work),
    // Tokens.
    ("tokens.asked", Refresh),
    ("tokens.answered", Refresh),
    ("tokens.saved", Refresh),
    ("tokens.adopted", Refresh),
    // Repair.
    ("repair.begun", Damage),
    ("repair.copied", Damage),
    ("repair.saved", Damage),
    ("repair.closed", Damage),
    ("repair.synced", Damage),
    ("repair.whole", Damage),
    ("repair.one-aside", Damage),
    ("repair.moved-aside", Damage),
    ("repair.aside", Damage),
    ("repair.renamed", Damage),
    ("repair.adopted", Damage),
    // Leaving.
    ("wipe.marked", Leave),
    ("leave.begun", Leave),
    ("leave.closed", Leave),
    ("leave.noted", Leave),
    ("destroy.closed", Leave),
    ("wipe.key-destroyed", Leave),
    ("wipe.removed", Leave),
    ("wipe.done", Leave),
    ("destroy.wiped", Leave),
    ("destroy.forgotten", Leave),
    ("leave.destroyed", Leave),
    ("revoke.delivered", Leave),
];
