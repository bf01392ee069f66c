//! What came of the acts that take time, and whose records are where afterwards.

use super::ledger::Book;
use super::tasks::Process;
use super::{Sim, Violation};
use portal_core::sync::SyncReport;
use portal_core::{PortalError, Reason};
use portal_server_mock::world::Access;
use uuid::Uuid;

/// What came of an act.
pub(crate) enum Done {
    /// A sync that somebody asked for, with where the practice's feed stood then.
    Synced {
        asked: u64,
        book: Option<usize>,
        epoch: Uuid,
        head: u64,
        result: Result<SyncReport, PortalError>,
    },
    /// Signing in or out, locking, unlocking, wiping.
    Door { what: &'static str, person: Option<usize>, result: Result<(), PortalError> },
    /// A suspension.
    Suspended(Result<(), PortalError>),
    /// Its end.
    Resumed(Result<(), PortalError>),
}

impl Sim {
    /// Takes it in.
    pub(super) fn ended(&mut self, process: Process, done: Done) -> Result<(), Violation> {
        let index = process.0;
        match done {
            Done::Synced { asked, book, epoch, head, result } => {
                self.told(index, "synced", result.as_ref().err());
                if result.as_ref().is_ok_and(|report| !report.complete) {
                    // Its time was over: what is left is the background's, whenever that wakes.
                    super::locked(&self.wire).told.disturbed(process);
                }
                if let Some(device) = self.devices.get_mut(index) {
                    device.in_step = result.as_ref().is_ok_and(|report| report.complete);
                }
                if let (Ok(report), Some(book)) = (&result, book)
                    && report.complete
                    && !super::locked(&self.wire).told.gave_stale(process, asked)
                {
                    self.check_nothing_lost(index, book, epoch, head)?;
                }
            }
            Done::Door { what, person, result } => {
                self.told(index, what, result.as_ref().err());
                if let Some(device) = self.devices.get_mut(index) {
                    (device.at_the_door, device.look_again) = (false, true);
                    device.doors += 1;
                }
                if person.is_some() || what == "signs out" || what == "wipes" {
                    super::locked(&self.wire).forget_pages(process);
                }
                self.find_books(index);
            }
            Done::Suspended(result) => {
                self.told(index, "suspended", result.as_ref().err());
                // One that was killed in the meantime is not suspended any more.
                let device = self.devices.get_mut(index).filter(|device| device.process() == process);
                if let (Some(device), Ok(())) = (device, &result) {
                    device.suspended = true;
                    self.check_suspended(index)?;
                }
            }
            Done::Resumed(result) => self.told(index, "resumed", result.as_ref().err()),
        }
        Ok(())
    }

    fn told(&mut self, index: usize, what: &str, error: Option<&PortalError>) {
        let words = error.map_or_else(|| "ok".to_owned(), ToString::to_string);
        self.say(|| format!("device {index} {what}: {words}"));
        self.hear(index, error);
    }

    /// No verb of a living process may answer that it is our mistake, or that a file is damaged (I26,
    /// I25): nothing here damages files.
    pub(super) fn hear(&mut self, index: usize, error: Option<&PortalError>) {
        let dead = self.devices.get(index).is_none_or(|device| device.disk.is_dead());
        let bad = match error {
            Some(PortalError::Bug { .. }) => true,
            Some(PortalError::Storage { reason: Reason::Damaged }) => true,
            Some(error) => *error.reason() == Reason::Damaged,
            None => false,
        };
        let code = error.map_or(0, |error| error.reason().code().len() as u64);
        super::locked(&self.wire).note(code | 1 << 50);
        if let (true, false, Some(error)) = (bad, dead, error) {
            self.violation =
                Some(Violation { invariant: "I26", what: format!("device {index} answers {error}") });
        }
    }

    /// The book of the records that the device has open, or would open.
    pub(super) fn book_of(&self, index: usize) -> Option<usize> {
        self.books.iter().position(|book| book.device == index && book.open)
    }

    /// Looks whose records are where, after a start or somebody at the door.
    pub(super) fn find_books(&mut self, index: usize) {
        let Some(device) = self.devices.get_mut(index) else { return };
        let current = device.current();
        let owner = current.as_ref().and_then(|directory| device.owner(directory, &self.people));
        for book in self.books.iter_mut().filter(|book| book.device == index) {
            book.open = current.as_ref() == Some(&book.directory);
        }
        if let (Some(directory), Some(person)) = (current, owner)
            && self.book_of(index).is_none()
        {
            let mut book = Book::new(index, person, directory);
            // Signed in while the practice was ending their access: these records go at the next request.
            let client = self.people.get(person).map(|person| person.client).unwrap_or_default();
            book.leaving = super::locked(&self.world).access(client) == Some(Access::Revoked);
            self.books.push(book);
        }
    }
}
