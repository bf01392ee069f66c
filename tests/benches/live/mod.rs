//! What a phone is told of a practice on a real socket, and the phone as a shell opens it.
#![allow(dead_code, unreachable_pub, reason = "each bench uses a part")]

use portal_core::account::Registration;
use portal_core::store::SoftVault;
use portal_core::{Portal, PortalConfig};
use portal_server_mock::demo;
use portal_server_mock::serve::Running;
use portal_tests::phone::{PASSWORD, config};
use std::path::Path;
use std::sync::Arc;

/// What one needs to know to register there: address, invitation, authority.
pub fn told(practice: &Running) -> [String; 3] {
    let world = practice.world().lock().unwrap();
    let mail = world.mails().iter().find(|mail| mail.to == demo::INVITED_EMAIL).unwrap();
    let roots = practice.ca_pem().unwrap().trim_end();
    [practice.base_url().to_owned(), mail.link.clone().unwrap(), roots.to_owned()]
}

/// A phone that nobody has registered with yet.
pub async fn phone(directory: &Path, url: &str, roots: &str) -> Arc<Portal> {
    let (url, roots) = (url.to_owned(), roots.to_owned());
    let config = PortalConfig { practice_url: url, roots_pem: roots, ..config(&directory.join("data")) };
    let vault = SoftVault::open(&directory.join("keys"), SoftVault::NAME).unwrap();
    Portal::open(config, Arc::new(vault)).await.unwrap()
}

/// Registers; the first pull begins by itself.
pub async fn register(phone: &Portal, link: &str) {
    let registration = Registration {
        invitation_link: link.to_owned(),
        last_name: demo::INVITED_FAMILY_NAME.to_owned(),
        date_of_birth: demo::INVITED_BIRTH_DATE.to_owned(),
        password: PASSWORD.to_owned(),
    };
    phone.account().register(registration).await.unwrap();
}
