//! Mails of the practice. None of them says anything about a person (M4).

use super::{Channel, Mail, MailKind, World};
use chrono::{DateTime, Utc};
use uuid::Uuid;

impl World {
    /// Every mail that was sent, oldest first.
    pub fn mails(&self) -> &[Mail] {
        &self.mails
    }

    pub(super) fn mail_invitation(&mut self, client: Uuid, link: String, now: DateTime<Utc>) {
        let practice = self.practice.name.clone();
        let subject = format!("Your invitation to the client portal of {practice}");
        let text = format!(
            "{practice} invites you to its client portal. Open the link on your phone to register. \
             It works for 7 days."
        );
        self.mail(client, MailKind::Invitation, subject, text, Some(link), now);
    }

    pub(super) fn mail_new_message(&mut self, client: Uuid, now: DateTime<Utc>) {
        let practice = self.practice.name.clone();
        let subject = format!("A new message from {practice}");
        let text = format!("{practice} sent you a message. Open the app to read it.");
        self.mail(client, MailKind::NewMessage, subject, text, None, now);
    }

    pub(super) fn mail_new_device(&mut self, client: Uuid, now: DateTime<Utc>) {
        let practice = self.practice.name.clone();
        let subject = format!("A new sign-in at {practice}");
        let text = format!(
            "Someone signed in to your client portal of {practice} from a device that was not used \
             before. If it was not you, call the practice."
        );
        self.mail(client, MailKind::NewDevice, subject, text, None, now);
    }

    fn mail(
        &mut self,
        client: Uuid,
        kind: MailKind,
        subject: String,
        text: String,
        link: Option<String>,
        now: DateTime<Utc>,
    ) {
        let id = self.new_id(now);
        let Some(to) = self.clients.get(&client).map(|client| client.email.clone()) else { return };
        let channel = Channel::Email;
        self.mails.push(Mail { id, at: now, kind, channel, to, subject, text, link });
    }
}
