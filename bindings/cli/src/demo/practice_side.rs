//! What the practice itself has on record: the demo's judge. It reads the reference practice's own
//! state, so that the core cannot be right by its own account only.

use crate::failure::Failure;
use portal_server_mock::World;
use portal_server_mock::demo::INVITED_EMAIL;
use portal_server_mock::serve::Running;
use portal_server_mock::world::{Author, Message};
use std::collections::HashMap;
use std::sync::PoisonError;

/// The practice's books about the demo's client.
pub(crate) struct Books<'a> {
    running: &'a Running,
}

impl<'a> Books<'a> {
    pub(crate) fn of(running: &'a Running) -> Self {
        Self { running }
    }

    fn read<T>(&self, look: impl FnOnce(&mut World) -> T) -> T {
        look(&mut self.running.world().lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How many clients the practice has, and how many messages in the demo's client's conversations.
    pub(crate) fn size(&self) -> Result<(usize, usize), Failure> {
        let clients = self.read(|world| world.clients().count());
        Ok((clients, self.messages(|_| true)?))
    }

    /// How many of her messages hold this text.
    pub(crate) fn containing(&self, text: &str) -> Result<usize, Failure> {
        self.messages(|message| message.body.contains(text))
    }

    /// How many messages the log of effects has from herself, those from before the demo included.
    pub(crate) fn written_by_client(&self) -> Result<usize, Failure> {
        let client = self.client()?;
        Ok(self.read(|world| world.effects().iter().filter(|effect| effect.author == client).count()))
    }

    fn messages(&self, which: impl Fn(&Message) -> bool) -> Result<usize, Failure> {
        let client = self.client()?.id;
        let of = |world: &mut World| {
            world
                .threads_of(client)
                .map(|thread| thread.messages.iter().filter(|message| which(message)).count())
                .sum()
        };
        Ok(self.read(of))
    }

    fn client(&self) -> Result<Author, Failure> {
        let found = self.read(|world| {
            world.clients().find(|client| client.email == INVITED_EMAIL).map(|client| client.id)
        });
        found.map(Author::client).ok_or_else(|| Failure::NotAsTold("the practice lost its client".to_owned()))
    }

    /// How often each of these texts came to be at the practice, by its log of effects.
    pub(crate) fn arrivals(&self, texts: &[String]) -> Vec<usize> {
        self.read(|world| {
            let mut arrived: HashMap<&str, usize> = HashMap::new();
            for effect in world.effects() {
                let thread = world.thread(effect.thread);
                let message =
                    thread.and_then(|thread| thread.messages.iter().find(|message| message.id == effect.id));
                if let Some(message) = message {
                    *arrived.entry(message.body.as_str()).or_default() += 1;
                }
            }
            texts.iter().map(|text| arrived.get(text.as_str()).copied().unwrap_or_default()).collect()
        })
    }

    /// Somebody at the practice answers in the thread.
    pub(crate) fn answer(&self, thread: &str, text: &str) -> Result<(), Failure> {
        let strange = || Failure::NotAsTold("the practice could not answer".to_owned());
        self.read(|world| {
            let id = thread.parse().map_err(|_| strange())?;
            let thread = world.thread(id).ok_or_else(strange)?;
            let staff = *thread.participants.first().ok_or_else(strange)?;
            let now = std::time::SystemTime::now().into();
            world.reply(staff, id, text, now).map(|_| ()).map_err(|_| strange())
        })
    }
}
