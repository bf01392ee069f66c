//! A browser as small as can be, for the practice's real sign-in pages: it loads a page, fills in the
//! one form, and says where it was sent. The core has no part in it, as on a phone.

use crate::failure::Failure;
use reqwest::StatusCode;
use reqwest::header::LOCATION;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::sync::Arc;
use url::Url;

/// Opens `authorize`, signs in, and returns the address that the practice sends the browser to.
pub(crate) async fn sign_in(
    roots_pem: &str,
    authorize: &str,
    login_id: &str,
    password: &str,
) -> Result<String, Failure> {
    let client = client(roots_pem)?;
    let address = Url::parse(authorize).map_err(|_| strange("the sign-in link is no address"))?;
    let page =
        client.get(address.clone()).send().await.map_err(|_| strange("the sign-in page did not load"))?;
    if page.status() != StatusCode::OK {
        return Err(strange("the sign-in page was refused"));
    }
    let html = page.text().await.map_err(|_| strange("the sign-in page did not load"))?;
    let form = Form::first(&html).ok_or_else(|| strange("the sign-in page has no form"))?;
    if !["login_id", "password"].iter().all(|name| form.fields.iter().any(|(field, _)| field == name)) {
        return Err(strange("the form asks for something else than login and password"));
    }
    let target = address.join(&form.action).map_err(|_| strange("the form leads nowhere"))?;
    let mut body = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in &form.fields {
        let typed = match name.as_str() {
            "login_id" => login_id,
            "password" => password,
            _ => value,
        };
        body.append_pair(name, typed);
    }
    let sent = client
        .post(target)
        .header(reqwest::header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(body.finish())
        .send()
        .await
        .map_err(|_| strange("the form could not be sent"))?;
    if sent.status() != StatusCode::SEE_OTHER {
        return Err(strange("the practice did not accept login and password"));
    }
    let location = sent.headers().get(LOCATION).and_then(|value| value.to_str().ok());
    location.map(str::to_owned).ok_or_else(|| strange("the practice sent the browser nowhere"))
}

fn client(roots_pem: &str) -> Result<reqwest::Client, Failure> {
    let mut roots = rustls::RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(roots_pem.as_bytes()) {
        let added = root.ok().and_then(|root| roots.add(root).ok());
        added.ok_or_else(|| strange("the practice's authority is not readable"))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| strange("TLS cannot be set up"))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .map_err(|_| strange("TLS cannot be set up"))
}

fn strange(what: &str) -> Failure {
    Failure::NotAsTold(what.to_owned())
}

/// A form of a page, as the page wrote it.
#[derive(Debug, PartialEq, Eq)]
struct Form {
    action: String,
    fields: Vec<(String, String)>,
}

impl Form {
    fn first(html: &str) -> Option<Self> {
        let from = html.get(html.find("<form")?..)?;
        let form = from.get(..from.find("</form>")?)?;
        let (head, inside) = form.split_once('>')?;
        let fields = inside.split("<input").skip(1).filter_map(|rest| {
            let tag = rest.split_once('>')?.0;
            Some((attribute(tag, "name")?, attribute(tag, "value").unwrap_or_default()))
        });
        Some(Self { action: attribute(head, "action")?, fields: fields.collect() })
    }
}

/// The value of `name="value"` in a tag.
fn attribute(tag: &str, name: &str) -> Option<String> {
    let start = format!(" {name}=\"");
    let value = tag.get(tag.find(&start)? + start.len()..)?.split_once('"')?.0;
    Some(unescaped(value))
}

fn unescaped(text: &str) -> String {
    // The ampersand last: `&amp;lt;` is the text `&lt;`.
    [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")]
        .iter()
        .fold(text.to_owned(), |text, (name, letter)| text.replace(name, letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_practices_own_page_is_understood() {
        let html = portal_server_mock::pages::sign_in("Practice", "t&\"1", "renee@example.org", Some("No."));
        let form = Form::first(&html).unwrap();
        assert_eq!(form.action, "/oauth/authorize");
        let fields: Vec<_> =
            form.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(fields, [("transaction", "t&\"1"), ("login_id", "renee@example.org"), ("password", "")]);
    }

    #[test]
    fn a_page_without_a_form_is_none() {
        for html in ["", "<html>", "<form", "<form action=\"/x\">", "<form></form>"] {
            assert_eq!(Form::first(html), None, "{html}");
        }
    }
}
