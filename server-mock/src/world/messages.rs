//! What staff write, and what was written before this world began.

use super::{
    Access, Author, PastThread, StaffError, World,
    threads::{NewMessage, NewThread},
};
use chrono::{DateTime, Utc};
use uuid::Uuid;

impl World {
    /// A member of staff begins a thread with a client.
    pub fn write_to_client(
        &mut self,
        staff: Uuid,
        client: Uuid,
        subject: &str,
        body: &str,
        now: DateTime<Utc>,
    ) -> Result<Uuid, StaffError> {
        self.client(client).ok_or(StaffError::ClientUnknown)?;
        self.check_writer(staff)?;
        check_subject(subject)?;
        self.check_body(body)?;
        let id = self.new_id(now);
        self.open_thread(
            NewThread {
                id,
                client,
                subject: subject.to_owned(),
                route: None,
                participants: vec![staff],
                created_by: Author::staff(staff),
            },
            now,
        );
        self.append_from_staff(staff, id, client, body, now);
        Ok(id)
    }

    /// A member of staff writes in a thread, and so takes part in it. Tells the message's id.
    pub fn reply(
        &mut self,
        staff: Uuid,
        thread: Uuid,
        body: &str,
        now: DateTime<Utc>,
    ) -> Result<Uuid, StaffError> {
        let found = self.live_thread_mut(thread)?;
        let (client, closed) = (found.client, found.closed);
        self.check_writer(staff)?;
        self.check_body(body)?;
        if closed {
            return Err(StaffError::ThreadClosed);
        }
        self.add_participants(thread, &[staff]);
        Ok(self.append_from_staff(staff, thread, client, body, now))
    }

    /// A member of staff has read a thread up to its newest message.
    pub fn mark_thread_read(&mut self, staff: Uuid, thread: Uuid) -> Result<(), StaffError> {
        self.staff(staff).ok_or(StaffError::StaffUnknown)?;
        let thread = self.live_thread_mut(thread)?;
        let newest = thread.newest();
        thread.staff_read.insert(staff, newest);
        Ok(())
    }

    /// Puts a thread with its history in, without mails: the fast way to fill a practice.
    pub fn import_thread(&mut self, client: Uuid, past: PastThread) -> Result<Uuid, StaffError> {
        self.client(client).ok_or(StaffError::ClientUnknown)?;
        let first = past.messages.first().ok_or(StaffError::Invalid("messages"))?;
        let (created_by, began) = (first.author, first.sent_at);
        if past.participants.iter().any(|id| !self.staff.contains_key(id)) {
            return Err(StaffError::StaffUnknown);
        }
        let PastThread { subject, route, participants, messages, read_upto, closed } = past;
        let id = self.new_id(began);
        self.open_thread(NewThread { id, client, subject, route, participants, created_by }, began);
        for message in messages {
            let message_id = self.new_id(message.sent_at);
            let new = NewMessage { id: message_id, author: message.author, body: message.body };
            self.append(id, new, message.sent_at);
        }
        self.mark_read(id, read_upto);
        if closed {
            self.close_thread(id)?;
        }
        Ok(id)
    }

    fn append_from_staff(
        &mut self,
        staff: Uuid,
        thread: Uuid,
        client: Uuid,
        body: &str,
        now: DateTime<Utc>,
    ) -> Uuid {
        let id = self.new_id(now);
        let new = NewMessage { id, author: Author::staff(staff), body: body.to_owned() };
        self.append(thread, new, now);
        // M4; who cannot sign in is not told of what cannot be read
        if self.access(client) == Some(Access::Active) {
            self.mail_new_message(client, now);
        }
        id
    }

    fn check_writer(&self, staff: Uuid) -> Result<(), StaffError> {
        let staff = self.staff(staff).ok_or(StaffError::StaffUnknown)?;
        if staff.active { Ok(()) } else { Err(StaffError::StaffInactive) }
    }

    fn check_body(&self, body: &str) -> Result<(), StaffError> {
        let fits = self.body_fits(body) && !body.trim().is_empty();
        if fits { Ok(()) } else { Err(StaffError::Invalid("body")) }
    }

    /// Whether a body is not longer than the practice allows.
    pub(super) fn body_fits(&self, body: &str) -> bool {
        let max = usize::try_from(self.practice.policy.message_max_chars).unwrap_or(usize::MAX);
        body.chars().count() <= max
    }
}

/// The longest subject, in characters.
pub(super) const SUBJECT_MAX_CHARS: usize = 200;

fn check_subject(subject: &str) -> Result<(), StaffError> {
    let fits = subject.chars().count() <= SUBJECT_MAX_CHARS && !subject.trim().is_empty();
    if fits { Ok(()) } else { Err(StaffError::Invalid("subject")) }
}
