//! A phone that was used, as the stories of damage need it: many copies of its files, one truth.

use super::{copy, first_thread, users};
use portal_core::messages::{Draft, ThreadFilter};
use portal_core::runtime::Mode;
use portal_core::store::SoftVault;
use portal_core::{Portal, PortalError};
use portal_tests::phone::{PASSWORD, Scratch, browse, now, registration};
use portal_tests::practice::Practice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const LOGIN: &str = "renee@example.org";

/// A used phone, locked, with an unsent message and a draft; and what its client sees.
pub struct Used {
    pub practice: Arc<Practice>,
    pub vault: Arc<SoftVault>,
    _keys: Scratch,
    pub pristine: Scratch,
    pub truth: String,
}

impl Used {
    pub fn new(messages: usize) -> Self {
        let practice = Practice::demo(messages);
        let (keys, pristine) = (Scratch::new(), Scratch::new());
        let vault = Arc::new(SoftVault::open(keys.path(), SoftVault::NAME).unwrap());
        let used = Self { practice, vault, _keys: keys, pristine, truth: String::new() };
        let portal = used.open(used.pristine.path()).unwrap();
        now(portal.account().register(registration(&used.practice))).unwrap();
        now(portal.sync(None)).unwrap();
        used.practice.set_online(false);
        let thread = first_thread(&portal);
        now(portal.messages().send(thread, "Waits".into())).unwrap();
        draft(&portal, "A draft");
        let truth = super::seen(&portal).unwrap();
        now(portal.account().lock()).unwrap();
        Self { truth, ..used }
    }

    pub fn open(&self, directory: &Path) -> Result<Arc<Portal>, PortalError> {
        let clock = self.practice.clock.clone();
        super::open(self.practice.clone(), clock, self.vault.clone(), directory, 1, Mode::Inline)
    }

    /// A copy of the pristine files, and the user's directory in it.
    pub fn copy(&self) -> (Scratch, PathBuf) {
        let scratch = Scratch::new();
        copy(self.pristine.path(), scratch.path());
        let user = users(scratch.path()).remove(0);
        (scratch, user)
    }

    pub fn sign_in(&self, portal: &Portal) -> Result<(), PortalError> {
        self.practice.set_online(true);
        let url = now(portal.account().sign_in_begin())?;
        let back = browse(&self.practice, &url, LOGIN, PASSWORD).unwrap();
        now(portal.account().sign_in_finish(back))?;
        let report = now(portal.sync(None))?;
        assert!(report.complete);
        self.practice.set_online(false);
        Ok(())
    }

    pub fn raw(&self, user: &Path) -> rusqlite::Connection {
        let key = super::database_key(&super::master_key(user, self.vault.as_ref()));
        super::database(&user.join("portal.db"), &key).unwrap()
    }
}

pub fn draft(portal: &Portal, text: &str) {
    let draft = Draft { key: None, thread: None, recipient: None, subject: "s".into(), text: text.into() };
    now(portal.messages().save_draft(draft)).unwrap();
}

/// The conversations alone: what the server can give again.
pub fn conversations(portal: &Portal) -> Vec<String> {
    let page = now(portal.messages().threads(ThreadFilter::All, 0, 100)).unwrap();
    let mut all = Vec::new();
    for thread in page.threads {
        let messages = super::messages(portal, &thread.id).unwrap();
        all.extend(messages.into_iter().filter(|one| one.entry.is_none()).map(|one| one.text));
    }
    all.sort();
    all
}

/// After a repair: nothing of the base, and no message or draft that was not there before.
pub fn check_only_ours(used: &Used, portal: &Portal) {
    assert!(conversations(portal).is_empty());
    assert!(now(portal.home().view()).unwrap().as_of.is_none(), "not in step: no list passes for the whole");
    for entry in now(portal.outbox().entries()).unwrap() {
        assert!(used.truth.contains(&entry.id));
    }
    for draft in now(portal.messages().drafts()).unwrap() {
        assert_eq!(draft.draft.text, "A draft");
    }
}
