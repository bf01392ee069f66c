//! OAuth's perishables: sign-in transactions, codes, and families of tokens. All are stored hashed.

use crate::rules::{
    apps::App,
    secrets::{self, Digest},
};
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::HashMap;
use uuid::Uuid;

const TRANSACTION_LIFE: TimeDelta = TimeDelta::minutes(10);
const CODE_LIFE: TimeDelta = TimeDelta::seconds(60);
const ACCESS_LIFE: TimeDelta = TimeDelta::seconds(300);
const FAMILY_LIFE: TimeDelta = TimeDelta::days(30);
/// How long a rotated refresh token is still taken, in case the answer was lost.
const GRACE: TimeDelta = TimeDelta::seconds(60);
/// How long what has ended is remembered, so that its answer can say that it has.
const MEMORY: TimeDelta = TimeDelta::days(30);

/// What the user is asked to allow.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    pub(crate) app: App,
    pub(crate) redirect_uri: String,
    pub(crate) challenge: String,
    /// Whether the app gets a refresh token.
    pub(crate) offline: bool,
}

impl Grant {
    fn scope(&self) -> &'static str {
        if self.offline { "portal offline_access" } else { "portal" }
    }
}

/// A sign-in page that was shown.
#[derive(Clone, Debug)]
pub(crate) struct Transaction {
    pub(crate) grant: Grant,
    pub(crate) state: String,
}

/// What a code is shown with.
pub(crate) struct Redemption<'a> {
    pub(crate) code: &'a str,
    pub(crate) redirect_uri: &'a str,
    pub(crate) app: App,
    pub(crate) verifier: &'a str,
    pub(crate) install: Uuid,
}

/// Why the token endpoint gives nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GrantRefusal {
    CodeUnknown,
    CodeExpired,
    CodeUsed,
    VerifierWrong,
    RefreshUnknown,
    RefreshExpired,
    RefreshReused,
    AccessRevoked,
}

impl GrantRefusal {
    /// The stable code on the wire.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::CodeUnknown => "code_unknown",
            Self::CodeExpired => "code_expired",
            Self::CodeUsed => "code_used",
            Self::VerifierWrong => "verifier_wrong",
            Self::RefreshUnknown => "refresh_unknown",
            Self::RefreshExpired => "refresh_expired",
            Self::RefreshReused => "refresh_reused",
            Self::AccessRevoked => "access_revoked",
        }
    }
}

/// What the token endpoint gives.
pub(crate) struct TokenReply {
    pub(crate) access_token: String,
    pub(crate) expires_in: i64,
    pub(crate) refresh_token: Option<String>,
    pub(crate) scope: &'static str,
    pub(crate) account: Uuid,
    pub(crate) login_id: String,
}

/// All of them.
#[derive(Clone, Default)]
pub(super) struct Tokens {
    transactions: HashMap<Digest, (Transaction, DateTime<Utc>)>,
    codes: HashMap<Digest, Code>,
    families: HashMap<FamilyId, Family>,
    refresh: HashMap<Digest, FamilyId>,
    access: HashMap<Digest, AccessToken>,
    last_family: FamilyId,
    sweep_at: usize,
}

type FamilyId = u64;

#[derive(Clone)]
struct Code {
    account: Uuid,
    grant: Grant,
    /// The install that registered; a sign-in in the browser names none.
    install: Option<Uuid>,
    expires: DateTime<Utc>,
    /// What it gave out.
    family: Option<FamilyId>,
}

/// All tokens that come from one sign-in.
#[derive(Clone)]
struct Family {
    account: Uuid,
    install: Uuid,
    app: App,
    scope: &'static str,
    began: DateTime<Utc>,
    /// The one refresh token that is good.
    current: Option<Digest>,
    /// The one before it, and when it was rotated.
    previous: Option<(Digest, DateTime<Utc>)>,
    /// Why it is over, as a later refresh is told.
    ended: Option<GrantRefusal>,
}

#[derive(Clone)]
struct AccessToken {
    family: FamilyId,
    expires: DateTime<Utc>,
}

/// What an access token stands for.
pub(super) struct Bearer {
    pub(super) account: Uuid,
    pub(super) install: Uuid,
    pub(super) ended: bool,
    pub(super) expired: bool,
}

/// What a family's next tokens are made of.
pub(super) struct Issue {
    pub(super) family: FamilyId,
    pub(super) account: Uuid,
    pub(super) scope: &'static str,
    pub(super) offline: bool,
}

impl Tokens {
    pub(super) fn begin(&mut self, secret: &str, transaction: Transaction, now: DateTime<Utc>) {
        self.sweep(now);
        self.transactions.insert(hash(secret), (transaction, now + TRANSACTION_LIFE));
    }

    /// A transaction works once, for ten minutes.
    pub(super) fn take(&mut self, secret: &str, now: DateTime<Utc>) -> Option<Transaction> {
        let (transaction, expires) = self.transactions.remove(&hash(secret))?;
        (now < expires).then_some(transaction)
    }

    pub(super) fn add_code(
        &mut self,
        secret: &str,
        account: Uuid,
        grant: Grant,
        install: Option<Uuid>,
        now: DateTime<Utc>,
    ) {
        self.sweep(now);
        let code = Code { account, grant, install, expires: now + CODE_LIFE, family: None };
        self.codes.insert(hash(secret), code);
    }

    /// Whose code this is.
    pub(super) fn code_account(&self, code: &str) -> Option<Uuid> {
        self.codes.get(&hash(code)).map(|code| code.account)
    }

    /// Redeems a code, once. A second showing ends what the first gave out.
    pub(super) fn redeem(
        &mut self,
        shown: &Redemption<'_>,
        now: DateTime<Utc>,
    ) -> Result<Issue, GrantRefusal> {
        let code = self.codes.get_mut(&hash(shown.code)).ok_or(GrantRefusal::CodeUnknown)?;
        if let Some(family) = code.family {
            self.end(family, GrantRefusal::RefreshUnknown);
            return Err(GrantRefusal::CodeUsed);
        }
        if now >= code.expires {
            return Err(GrantRefusal::CodeExpired);
        }
        let grant = &code.grant;
        let same_request = grant.app == shown.app && grant.redirect_uri == shown.redirect_uri;
        if !same_request || code.install.is_some_and(|install| install != shown.install) {
            return Err(GrantRefusal::CodeUnknown);
        }
        if !secrets::pkce_matches(shown.verifier, &grant.challenge) {
            return Err(GrantRefusal::VerifierWrong);
        }
        self.last_family += 1;
        let family = self.last_family;
        code.family = Some(family);
        let (account, scope, offline) = (code.account, grant.scope(), grant.offline);
        let begun = Family {
            account,
            install: shown.install,
            app: shown.app,
            scope,
            began: now,
            current: None,
            previous: None,
            ended: None,
        };
        self.families.insert(family, begun);
        Ok(Issue { family, account, scope, offline })
    }

    /// Whose refresh token this is, to the app that it was given to.
    pub(super) fn refresh_account(&self, token: &str, app: App) -> Option<Uuid> {
        let family = self.families.get(self.refresh.get(&hash(token))?)?;
        (family.app == app).then_some(family.account)
    }

    /// Takes a refresh token for the next one.
    pub(super) fn rotate(
        &mut self,
        token: &str,
        app: App,
        now: DateTime<Utc>,
    ) -> Result<Issue, GrantRefusal> {
        let digest = hash(token);
        let id = *self.refresh.get(&digest).ok_or(GrantRefusal::RefreshUnknown)?;
        let family = self.families.get_mut(&id).filter(|family| family.app == app);
        let family = family.ok_or(GrantRefusal::RefreshUnknown)?;
        if let Some(why) = family.ended {
            return Err(why);
        }
        if now >= family.began + FAMILY_LIFE {
            return Err(GrantRefusal::RefreshExpired);
        }
        if family.current == Some(digest) {
            family.previous = Some((digest, now));
        } else if !family.previous.is_some_and(|(one, at)| one == digest && now < at + GRACE) {
            // either a thief or the owner shows it, and nobody can tell which
            family.ended = Some(GrantRefusal::RefreshReused);
            return Err(GrantRefusal::RefreshReused);
        }
        let (account, scope) = (family.account, family.scope);
        Ok(Issue { family: id, account, scope, offline: true })
    }

    /// Stores the tokens of a family; the refresh token before them stops being the good one.
    pub(super) fn give(
        &mut self,
        family: FamilyId,
        access: &str,
        refresh: Option<&str>,
        now: DateTime<Utc>,
    ) -> i64 {
        self.sweep(now);
        self.access.insert(hash(access), AccessToken { family, expires: now + ACCESS_LIFE });
        if let (Some(token), Some(known)) = (refresh, self.families.get_mut(&family)) {
            known.current = Some(hash(token));
            self.refresh.insert(hash(token), family);
        }
        ACCESS_LIFE.num_seconds()
    }

    pub(super) fn bearer(&self, token: &str, now: DateTime<Utc>) -> Option<Bearer> {
        let token = self.access.get(&hash(token))?;
        let family = self.families.get(&token.family)?;
        let (account, install) = (family.account, family.install);
        let expired = now >= token.expires;
        Some(Bearer { account, install, ended: family.ended.is_some(), expired })
    }

    /// RFC 7009: either kind of token ends its family.
    pub(super) fn revoke(&mut self, token: &str, app: App) {
        let digest = hash(token);
        let access = self.access.get(&digest).map(|token| token.family);
        let family = self.refresh.get(&digest).copied().or(access);
        let own = |id: &FamilyId| self.families.get(id).is_some_and(|family| family.app == app);
        if let Some(family) = family.filter(own) {
            self.end(family, GrantRefusal::RefreshUnknown);
        }
    }

    /// Ends all that an account was given (I3).
    pub(super) fn end_all(&mut self, account: Uuid, now: DateTime<Utc>) {
        for code in self.codes.values_mut().filter(|code| code.account == account) {
            code.expires = code.expires.min(now);
        }
        for family in self.families.values_mut().filter(|family| family.account == account) {
            family.ended.get_or_insert(GrantRefusal::RefreshUnknown);
        }
    }

    fn end(&mut self, family: FamilyId, why: GrantRefusal) {
        if let Some(family) = self.families.get_mut(&family) {
            family.ended.get_or_insert(why);
        }
    }

    /// Forgets what has been over for long, each time that the number has doubled.
    fn sweep(&mut self, now: DateTime<Utc>) {
        let size = |tokens: &Self| {
            tokens.transactions.len() + tokens.codes.len() + tokens.refresh.len() + tokens.access.len()
        };
        if size(self) < self.sweep_at.max(10_000) {
            return;
        }
        self.transactions.retain(|_, (_, expires)| now < *expires);
        self.families.retain(|_, family| now < family.began + FAMILY_LIFE + MEMORY);
        let families = &self.families;
        self.codes.retain(|_, code| match code.family {
            Some(family) => families.contains_key(&family),
            None => now < code.expires + MEMORY,
        });
        self.refresh.retain(|_, family| families.contains_key(family));
        self.access.retain(|_, token| now < token.expires + MEMORY);
        self.sweep_at = size(self) * 2;
    }
}

fn hash(secret: &str) -> Digest {
    secrets::sha256(secret.as_bytes())
}
