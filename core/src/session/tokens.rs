//! The tokens: in the encrypted file, refreshed by one flight for any number of 401s, durable
//! before they are used.

use super::api::{self, Call, Failure};
use super::install::Tombstone;
use super::oauth::{self, Tokens};
use super::state::Event;
use super::{Session, State};
use crate::error::{PortalError, Reason};
use crate::log;
use crate::ports::TransportError;
use crate::store::Store;
use crate::values::Secret;
use http::{Method, Response};
use rusqlite::{Connection, OptionalExtension, Transaction};
use std::sync::Arc;
use url::Url;

/// The stored session.
pub(super) struct Row {
    pub(super) access: Secret<String>,
    pub(super) refresh: Secret<String>,
    pub(super) ended: Option<Reason>,
}

pub(super) fn load(connection: &Connection) -> Result<Option<Row>, PortalError> {
    let row = connection
        .query_row("SELECT access_token, refresh_token, ended FROM session", [], |row| {
            Ok(Row {
                access: Secret::new(row.get(0)?),
                refresh: Secret::new(row.get(1)?),
                ended: row.get::<_, Option<String>>(2)?.map(|code| Reason::from_code(&code)),
            })
        })
        .optional()?;
    Ok(row)
}

pub(super) fn save(tx: &Transaction<'_>, tokens: &Tokens) -> Result<(), PortalError> {
    tx.execute(
        "INSERT OR REPLACE INTO session (one, login_id, access_token, refresh_token, ended) VALUES (1, ?1, ?2, ?3, NULL)",
        (&tokens.login_id, tokens.access.expose(), tokens.refresh.expose()),
    )?;
    Ok(())
}

impl Session {
    /// Sends one request as the signed-in client. A 401 refreshes once and asks once more.
    pub(crate) async fn authorized(&self, method: Method, url: Url, json: Option<Vec<u8>>) -> Result<Response<Vec<u8>>, Failure> {
        let access = self.access().ok_or(Failure::Unauthorized)?;
        let call = |token| Call { method: method.clone(), url: url.clone(), token: Some(token), json: json.clone() };
        let answer = match api::send(&self.ports, call(&access)).await {
            Err(Failure::Unauthorized) => {
                let fresh = self.refresh(&access).await?;
                api::send(&self.ports, call(&fresh)).await
            }
            answer => answer,
        };
        match answer {
            Err(Failure::Revoked) => self.revoked(),
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

    fn access(&self) -> Option<Secret<String>> {
        let now = self.now();
        matches!(now.state, State::Active).then(|| now.user.as_ref().map(|user| user.access.clone())).flatten()
    }

    /// A token newer than `stale`: another flight's, or a new one.
    async fn refresh(&self, stale: &Secret<String>) -> Result<Secret<String>, Failure> {
        let _flight = self.flight.lock().await;
        let storage = Failure::Local;
        let store = self.store().map_err(storage)?;
        let account = self.account().ok_or(Failure::Unauthorized)?;
        let row = store.read(load).await.map_err(storage)?.ok_or(Failure::Unauthorized)?;
        if row.access.expose() != stale.expose() {
            // Somebody (another task or process) was faster.
            self.adopt(&row.access);
            return Ok(row.access);
        }
        if row.ended.is_some() {
            return Err(Failure::Unauthorized);
        }
        let mut answer = oauth::refresh(&self.ports, &self.config, &account.endpoints, &row.refresh).await;
        if matches!(&answer, Err(Failure::Later { reason, .. }) if lost(reason)) {
            // The answer may have been lost after the server rotated: within its grace the same
            // token gets another successor, later it would look stolen. So ask again at once.
            answer = oauth::refresh(&self.ports, &self.config, &account.endpoints, &row.refresh).await;
        }
        match answer {
            Ok(tokens) => {
                let access = tokens.access.clone();
                // Durable before use: a kill between must not strand the client.
                store.write(move |tx| save(tx, &tokens)).await.map_err(storage)?;
                self.adopt(&access);
                log::event(log::Event::SessionRefreshed, None, 0u64);
                Ok(access)
            }
            Err(Failure::Unauthorized) => {
                self.ended(&store).await.map_err(storage)?;
                Err(Failure::Unauthorized)
            }
            Err(Failure::Revoked) => self.revoked(),
            Err(failure) => Err(failure),
        }
    }

    fn adopt(&self, access: &Secret<String>) {
        if let Some(user) = self.now().user.as_mut() {
            user.access = access.clone();
        }
    }

    /// Only a new sign-in helps; records, drafts and outbox stay.
    async fn ended(&self, store: &Arc<Store>) -> Result<(), PortalError> {
        store
            .write(|tx| {
                tx.execute("UPDATE session SET ended = ?1", [Reason::SessionEnded.code()])?;
                Ok(())
            })
            .await?;
        log::event(log::Event::SessionEnded, Some(&Reason::SessionEnded), 0u64);
        self.apply(Event::Ended(Reason::SessionEnded));
        Ok(())
    }

    /// The practice withdrew the access: the keys go at once.
    fn revoked<T>(&self) -> Result<T, Failure> {
        if let Some(account) = self.account() {
            log::event(log::Event::SessionEnded, Some(&Reason::AccessRevoked), 0u64);
            if self.destroy(&account, Reason::AccessRevoked).is_err() {
                // The key could not be destroyed now: `wipe` marked it and goes on at the next start.
                self.apply(Event::Destroyed(Reason::AccessRevoked));
            }
        }
        Err(Failure::Revoked)
    }

    /// Leaves this device: keys at once, then one try to tell the server; without network the
    /// tombstone is delivered later.
    pub(crate) async fn leave(&self, reason: Reason) -> Result<(), PortalError> {
        let _door = self.door.lock().await;
        let open = self.now().user.clone();
        let account = match &open {
            Some(user) => user.account.clone(),
            None => self.install().current().ok_or_else(|| PortalError::signed_out(Reason::NotSignedIn))?,
        };
        if let Some(user) = &open {
            // An unreadable file must not keep anybody signed in: then there is nothing to revoke.
            if let Ok(Some(row)) = user.store.read(load).await {
                let tombstone = Tombstone {
                    endpoint: account.endpoints.revocation.clone(),
                    refresh_token: row.refresh.expose().clone(),
                    at: self.ports.clock.wall().0,
                };
                // A full disk must not keep the keys alive either.
                let _ = self.install().update(|content| content.revocations.push(tombstone));
            }
            let _ = user.store.suspend().await;
        }
        self.destroy(&account, reason)?;
        log::event(log::Event::SignedOut, None, 0u64);
        self.deliver_revocations().await;
        Ok(())
    }

    /// Tries every waiting revocation once.
    pub(crate) async fn deliver_revocations(&self) {
        let waiting = self.install().tombstones(self.ports.clock.wall().0);
        for tombstone in waiting {
            if oauth::revoke(&self.ports, &self.config, &tombstone).await.is_err() {
                return;
            }
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
