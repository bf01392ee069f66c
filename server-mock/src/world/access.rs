//! Who may come in: signing in, tokens, and the practice's word on it (I3, I4).

use super::{
    Access, Grant, GrantRefusal, LoginEvent, LoginResult, StaffError, TokenReply, Transaction, World,
    tokens::{Issue, Redemption},
};
use crate::rules::{apps::App, names, passwords, secrets};
use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

/// Who makes a request, after the access token.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    pub(crate) account: Uuid,
    pub(crate) install: Uuid,
}

/// Why an access token lets nobody in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenRefusal {
    Unknown,
    Expired,
    AccessRevoked,
}

/// Why a sign-in failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SignInRefusal {
    /// Any reason at all.
    Wrong,
    /// Too many failures of this login id, known or not.
    Locked(TimeDelta),
}

impl World {
    /// Ends a client's access: sessions and pending invitations in one act (I3). The rows stay, for
    /// a reactivation.
    pub fn revoke_access(&mut self, client: Uuid, now: DateTime<Utc>) -> Result<(), StaffError> {
        let account = self.account_of_mut(client).ok_or(StaffError::ClientUnknown)?;
        account.access = Access::Revoked;
        let account = account.id;
        self.tokens.end_all(account, now);
        self.withdraw_open_invitation(client);
        Ok(())
    }

    /// Lets a client in again, with the credentials of before.
    pub fn reactivate(&mut self, client: Uuid) -> Result<(), StaffError> {
        let account = self.account_of_mut(client).ok_or(StaffError::ClientUnknown)?;
        if account.access != Access::Revoked {
            return Err(StaffError::AccessNotRevoked);
        }
        let registered = account.password.is_some();
        account.access = if registered { Access::Active } else { Access::None };
        Ok(())
    }

    /// Remembers a sign-in page that is about to be shown; tells its secret.
    pub(crate) fn begin_sign_in(&mut self, transaction: Transaction, now: DateTime<Utc>) -> String {
        let secret = self.new_secret();
        self.tokens.begin(&secret, transaction, now);
        secret
    }

    /// The sign-in page that a form was on.
    pub(crate) fn take_sign_in(&mut self, secret: &str, now: DateTime<Utc>) -> Option<Transaction> {
        self.tokens.take(secret, now)
    }

    /// Checks a login id and a password, and tells a code. Every wrong reason costs one password
    /// hash and looks the same.
    pub(crate) fn sign_in(
        &mut self,
        grant: Grant,
        login_id: &str,
        password: &str,
        now: DateTime<Utc>,
    ) -> Result<String, SignInRefusal> {
        let login = names::comparable_login(login_id);
        let key = secrets::sha256(login.as_bytes());
        if let Some(remaining) = self.sign_in_failures.remaining(&key, now) {
            return Err(SignInRefusal::Locked(remaining));
        }
        let account = self.login_ids.get(&login).and_then(|id| self.accounts.get_mut(id));
        let active = account.as_ref().is_some_and(|account| account.access == Access::Active);
        let stored = account.as_ref().and_then(|account| account.password.as_ref());
        let matches = stored.unwrap_or(&self.decoy).verify(&passwords::prepared(password));
        match account {
            Some(account) if matches && active => {
                self.sign_in_failures.clear(&key);
                let account = account.id;
                Ok(self.issue_code(account, grant, None, now))
            }
            other => {
                if let Some(account) = other {
                    account.logins.push(LoginEvent {
                        at: now,
                        install: None,
                        result: LoginResult::Refused,
                        new_device: false,
                    });
                }
                self.sign_in_failures.fail(key, now);
                Err(SignInRefusal::Wrong)
            }
        }
    }

    pub(super) fn issue_code(
        &mut self,
        account: Uuid,
        grant: Grant,
        install: Option<Uuid>,
        now: DateTime<Utc>,
    ) -> String {
        let code = self.new_secret();
        self.tokens.add_code(&code, account, grant, install, now);
        code
    }

    /// Grant type `authorization_code`.
    pub(crate) fn redeem_code(
        &mut self,
        shown: &Redemption<'_>,
        now: DateTime<Utc>,
    ) -> Result<TokenReply, GrantRefusal> {
        let account = self.tokens.code_account(shown.code).ok_or(GrantRefusal::CodeUnknown)?;
        let issue = self.tokens.redeem(shown, now);
        if self.is_revoked(account) {
            return Err(GrantRefusal::AccessRevoked);
        }
        let issue = issue?;
        self.note_sign_in(account, shown.install, now);
        Ok(self.give_tokens(&issue, now))
    }

    /// Grant type `refresh_token`.
    pub(crate) fn refresh(
        &mut self,
        token: &str,
        app: App,
        now: DateTime<Utc>,
    ) -> Result<TokenReply, GrantRefusal> {
        let unknown = GrantRefusal::RefreshUnknown;
        let account = self.tokens.refresh_account(token, app).ok_or(unknown)?;
        if self.is_revoked(account) {
            return Err(GrantRefusal::AccessRevoked);
        }
        let issue = self.tokens.rotate(token, app, now)?;
        Ok(self.give_tokens(&issue, now))
    }

    /// Ends the family of a token (RFC 7009).
    pub(crate) fn revoke_token(&mut self, token: &str, app: App) {
        self.tokens.revoke(token, app);
    }

    /// Who an access token stands for.
    pub(crate) fn authenticate(&self, token: &str, now: DateTime<Utc>) -> Result<Caller, TokenRefusal> {
        let bearer = self.tokens.bearer(token, now).ok_or(TokenRefusal::Unknown)?;
        if self.is_revoked(bearer.account) {
            Err(TokenRefusal::AccessRevoked)
        } else if bearer.ended {
            Err(TokenRefusal::Unknown)
        } else if bearer.expired {
            Err(TokenRefusal::Expired)
        } else {
            Ok(Caller { account: bearer.account, install: bearer.install })
        }
    }

    fn is_revoked(&self, account: Uuid) -> bool {
        self.account(account).is_none_or(|account| account.access == Access::Revoked)
    }

    /// I4: the history, and a mail when the install is new to this user. The install that
    /// registered is known already.
    fn note_sign_in(&mut self, account: Uuid, install: Uuid, now: DateTime<Utc>) {
        let Some(account) = self.accounts.get_mut(&account) else { return };
        let new_device = account.installs.insert(install);
        let result = LoginResult::SignedIn;
        account.logins.push(LoginEvent { at: now, install: Some(install), result, new_device });
        let client = account.client;
        if new_device {
            self.mail_new_device(client, now);
        }
    }

    fn give_tokens(&mut self, issue: &Issue, now: DateTime<Utc>) -> TokenReply {
        let access_token = self.new_secret();
        let refresh_token = issue.offline.then(|| self.new_secret());
        let expires_in = self.tokens.give(issue.family, &access_token, refresh_token.as_deref(), now);
        let login_id = self.account(issue.account).map(|account| account.login_id.clone());
        TokenReply {
            access_token,
            expires_in,
            refresh_token,
            scope: issue.scope,
            account: issue.account,
            login_id: login_id.unwrap_or_default(),
        }
    }
}
