//! The tokens: in the encrypted file, refreshed by one flight for any number of 401s, durable
//! before they are used.

use super::api::{self, Call, Failure};
use super::install::{Account, Tombstone};
use super::oauth::{self, Tokens};
use super::state::Event;
use super::{Session, State, User, install};
use crate::error::{PortalError, Reason};
use crate::log;
use crate::ports::TransportError;
use crate::proof::{planted, point};
use crate::store::{Store, Transaction};
use crate::values::Secret;
use futures_util::future::{join, select};
use http::{Method, Response};
use rusqlite::{Connection, OptionalExtension};
use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use url::Url;

/// How long a sign-out waits for the server to hear of it.
const SHORT_TRY: Duration = Duration::from_secs(2);

/// The stored session.
pub(super) struct Row {
    pub(super) access: Secret<String>,
    pub(super) refresh: Secret<String>,
    pub(super) ended: Option<Reason>,
    /// The install that the tokens are bound to, where it was written down.
    pub(super) install: Option<String>,
}

/// Tokens that a refresh brought, with the one that it used up.
#[derive(Clone)]
pub(super) struct Rotated {
    /// Whose.
    pub(super) directory: String,
    used: Secret<String>,
    tokens: Tokens,
}

pub(super) fn load(connection: &Connection) -> Result<Option<Row>, PortalError> {
    let row = connection
        .query_row("SELECT access_token, refresh_token, ended, install FROM session", [], |row| {
            Ok(Row {
                access: Secret::new(row.get(0)?),
                refresh: Secret::new(row.get(1)?),
                ended: row.get::<_, Option<String>>(2)?.map(|code| Reason::from_code(&code)),
                install: row.get(3)?,
            })
        })
        .optional()?;
    Ok(row)
}

pub(super) fn save(tx: &Transaction<'_>, tokens: &Tokens, install: Option<&str>) -> Result<(), PortalError> {
    tx.prepare_cached(
        "INSERT OR REPLACE INTO session (one, login_id, access_token, refresh_token, ended, install)
         VALUES (1, ?1, ?2, ?3, NULL, ?4)",
    )?
    .execute((&tokens.login_id, tokens.access.expose(), tokens.refresh.expose(), install))?;
    Ok(())
}

/// Rotated tokens take the place of those that they were got for. Whoever signed in meanwhile has
/// others, of another install: those stay.
fn rotate(tx: &Transaction<'_>, used: &Secret<String>, tokens: &Tokens) -> Result<(), PortalError> {
    let present = load(tx)?;
    if present.as_ref().is_some_and(|row| row.refresh.expose() != used.expose()) {
        return Ok(());
    }
    save(tx, tokens, present.and_then(|row| row.install).as_deref())
}

impl Session {
    /// Sends one request as the client whose open records `who` is: nobody else's token is ever used
    /// for it. A 401 refreshes and asks once more.
    pub(crate) async fn authorized(
        &self,
        who: &Arc<Store>,
        method: Method,
        url: Url,
        json: Option<Vec<u8>>,
    ) -> Result<Response<Vec<u8>>, Failure> {
        if !matches!(self.state(), State::Active) {
            return Err(self.store().err().map_or(Failure::Unauthorized, Failure::Local));
        }
        let User { access: mut token, account: Account { install_id: install, .. }, .. } =
            self.user_of(who)?;
        let mut refreshed = false;
        let answer = loop {
            let (method, url, json) = (method.clone(), url.clone(), json.clone());
            match api::send(&self.ports, Call { method, url, token: Some(&token), json }).await {
                // What another flight left may be old, too: only a token that came just now counts.
                Err(Failure::Unauthorized) if !refreshed => {
                    (token, refreshed) = self.refresh(who, &token).await?;
                    // Signed in again meanwhile, under another install: the numbers in it are not that one's.
                    if self.user_of(who)?.account.install_id != install {
                        return Err(Failure::Local(PortalError::storage(Reason::Suspended)));
                    }
                }
                answer => break answer,
            }
        };
        match answer {
            Err(Failure::Revoked) => self.revoked(who),
            Err(Failure::Unauthorized) => Err(Failure::Later { reason: Reason::ServerError, wait: None }),
            Ok(response) => {
                if let Some(time) = api::server_time(&response) {
                    self.set_server_clock(time);
                }
                Ok(response)
            }
            answer => answer,
        }
    }

    /// The open user, if it is still the one who asked: while a request is under way the records may
    /// be locked, and opened again, or another person's be opened. Then the run that asked is over, and
    /// nobody is signed out.
    fn user_of(&self, who: &Arc<Store>) -> Result<User, Failure> {
        let user = self.now().user.clone().filter(|user| Arc::ptr_eq(&user.store, who));
        user.ok_or_else(|| {
            Failure::Local(self.store().err().unwrap_or(PortalError::storage(Reason::Suspended)))
        })
    }

    /// A token newer than `stale`, and whether it came just now: it may be another flight's.
    async fn refresh(
        &self,
        who: &Arc<Store>,
        stale: &Secret<String>,
    ) -> Result<(Secret<String>, bool), Failure> {
        let _flight = self.flight.lock().await;
        let account = self.user_of(who)?.account;
        self.save_unsaved(who, &account.directory).await.map_err(Failure::Local)?;
        let row = who.read(load).await.map_err(Failure::Local)?.ok_or(Failure::Unauthorized)?;
        if row.access.expose() != stale.expose() {
            // Somebody (another task or process) was faster.
            self.adopt(who, &row.access);
            return Ok((row.access, false));
        }
        if row.ended.is_some() {
            return Err(Failure::Unauthorized);
        }
        point!("tokens.asked");
        let ask = || oauth::refresh(&self.ports, &self.config, &account.endpoints, &row.refresh);
        let mut answer = if planted!(TwoRefreshesAtOnce) { join(ask(), ask()).await.0 } else { ask().await };
        if matches!(&answer, Err(Failure::Later { reason, .. }) if lost(reason)) {
            // The answer may have been lost after the server rotated: within its grace the same
            // token gets another successor, later it would look stolen. So ask again at once.
            answer = ask().await;
        }
        match answer {
            Ok(tokens) => {
                point!("tokens.answered");
                let rotated = Rotated { directory: account.directory, used: row.refresh, tokens };
                let kept = rotated.clone();
                // Durable before use: a kill between must not strand the client.
                if planted!(TokenUsedBeforeDurable) {
                    self.adopt(who, &rotated.tokens.access);
                    return Ok((rotated.tokens.access, true));
                }
                let saved = who.write(move |tx| {
                    rotate(tx, &rotated.used, &rotated.tokens)?;
                    load(tx)
                });
                let row = match saved.await {
                    Ok(row) => row.ok_or(Failure::Unauthorized)?,
                    Err(error) => {
                        // Closed meanwhile: the old token is used up, so these wait for the next opening.
                        *self.unsaved.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
                        return Err(Failure::Local(error));
                    }
                };
                point!("tokens.saved");
                self.adopt(who, &row.access);
                point!("tokens.adopted");
                log::event(log::LogEvent::SessionRefreshed, None, 0u64);
                Ok((row.access, true))
            }
            Err(Failure::Unauthorized) => {
                self.ended(who).await.map_err(Failure::Local)?;
                Err(Failure::Unauthorized)
            }
            Err(Failure::Revoked) => self.revoked(who),
            Err(failure) => Err(failure),
        }
    }

    /// Makes tokens durable that were rotated while the file was closed.
    pub(super) async fn save_unsaved(&self, store: &Store, directory: &str) -> Result<(), PortalError> {
        let waiting = self
            .unsaved
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take_if(|rotated| rotated.directory == directory);
        let Some(rotated) = waiting else { return Ok(()) };
        let kept = rotated.clone();
        let saved = store.write(move |tx| rotate(tx, &rotated.used, &rotated.tokens)).await;
        if saved.is_err() {
            *self.unsaved.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
        }
        saved
    }

    fn adopt(&self, who: &Arc<Store>, access: &Secret<String>) {
        if let Some(user) = self.now().user.as_mut().filter(|user| Arc::ptr_eq(&user.store, who)) {
            user.access = access.clone();
        }
    }

    /// Only a new sign-in helps; records, drafts and outbox stay.
    async fn ended(&self, who: &Arc<Store>) -> Result<(), PortalError> {
        who.write(|tx| {
            tx.prepare_cached("UPDATE session SET ended = ?1")?.execute([Reason::SessionEnded.code()])?;
            Ok(())
        })
        .await?;
        log::event(log::LogEvent::SessionEnded, Some(&Reason::SessionEnded), 0u64);
        if self.user_of(who).is_ok() {
            self.apply(Event::Ended(Reason::SessionEnded));
        }
        Ok(())
    }

    /// The practice withdrew the access of whoever asked: their keys go at once.
    fn revoked<T>(&self, who: &Arc<Store>) -> Result<T, Failure> {
        let account = self.user_of(who)?.account;
        log::event(log::LogEvent::SessionEnded, Some(&Reason::AccessRevoked), 0u64);
        if self.destroy(&account, Reason::AccessRevoked).is_err() {
            // The key could not be destroyed now: `wipe` marked it and goes on at the next start.
            self.apply(Event::Destroyed(Reason::AccessRevoked));
        }
        Err(Failure::Revoked)
    }

    /// Leaves this device, unless `check` objects: keys and records go at once, then one short try to
    /// tell the server; without network the tombstone is delivered later.
    ///
    /// With `at_once` the key goes before anything else, without waiting for whatever is under way.
    pub(crate) async fn leave(
        &self,
        at_once: bool,
        check: impl FnOnce(&Connection) -> Result<(), PortalError> + Send + 'static,
    ) -> Result<(), PortalError> {
        let account = self.account().or_else(|| self.install().current());
        let Some(account) = account else { return self.wipe_remains() };
        if at_once {
            let (ports, name) = (self.ports.clone(), account.directory.clone());
            // Tried again below, where a failure is answered.
            let _ = self
                .mode
                .blocking(move || install::destroy_key(&ports.files, ports.vault.as_ref(), &name))
                .await;
        }
        point!("leave.begun");
        let _door = self.door.lock().await;
        let open = self.now().user.clone().filter(|user| user.account.directory == account.directory);
        if let Some(user) = &open {
            let row = user.store.end_if(move |c| {
                check(c)?;
                // An unreadable session must not keep anybody here: then there is nothing to revoke.
                Ok(load(c).ok().flatten())
            });
            let row = match row.await {
                Ok(row) => row,
                Err(error @ PortalError::Refused { .. }) => return Err(error),
                Err(error) if !at_once => return Err(error),
                Err(_) => None,
            };
            point!("leave.closed");
            if let Some(row) = row {
                let tombstone = Tombstone {
                    endpoint: account.endpoints.revocation.clone(),
                    refresh_token: row.refresh.expose().clone().into(),
                    at: self.ports.clock.wall().0,
                };
                // A full disk must not keep the keys alive either.
                let _ = self.install().update(|content| content.revocations.push(tombstone));
            }
        }
        point!("leave.noted");
        self.destroy(&account, Reason::NotSignedIn)?;
        point!("leave.destroyed");
        log::event(log::LogEvent::SignedOut, None, 0u64);
        // What takes longer is delivered another time.
        select(pin!(self.deliver_revocations()), self.ports.clock.sleep(SHORT_TRY)).await;
        Ok(())
    }

    /// Tries every waiting revocation once.
    pub(crate) async fn deliver_revocations(&self) {
        let waiting = self.install().tombstones(self.ports.clock.wall().0);
        for tombstone in waiting {
            if oauth::revoke(&self.ports, &self.config, &tombstone).await.is_err() {
                return;
            }
            point!("revoke.delivered");
            let _ = self.install().update(|content| {
                content.revocations.retain(|kept| kept.refresh_token != tombstone.refresh_token);
            });
        }
    }
}

fn lost(reason: &Reason) -> bool {
    // A gateway that lost the practice's answer says 502 or 504.
    *reason == Reason::ServerError
        || [TransportError::ConnectionLost, TransportError::TimedOut, TransportError::BadAnswer]
            .into_iter()
            .any(|error| Reason::from(error) == *reason)
}
