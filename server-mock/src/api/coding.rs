//! Content coding: `zstd` or `gzip` for what is worth it, when the request asks for it.

use super::reply::Response;
use flate2::{Compression, write::GzEncoder};
use http::{
    HeaderValue, Request,
    header::{ACCEPT_ENCODING, CONTENT_ENCODING, VARY},
};
use std::io::Write;

/// Bodies up to this length go as they are.
const WORTH_IT: usize = 1024;

#[derive(Clone, Copy)]
enum Coding {
    Zstd,
    Gzip,
}

/// Codes the body. Sign-in answers stay plain: they mix secrets with what a stranger may have typed,
/// and their coded length would tell about both.
pub(super) fn encode(request: &Request<Vec<u8>>, mut response: Response) -> Response {
    if response.body().len() <= WORTH_IT || request.uri().path().starts_with("/oauth/") {
        return response;
    }
    response.headers_mut().insert(VARY, HeaderValue::from_static("accept-encoding"));
    let Some(coding) = wanted(request) else { return response };
    let coded = match coding {
        Coding::Zstd => zstd::encode_all(response.body().as_slice(), 3),
        Coding::Gzip => gzip(response.body()),
    };
    // coding into memory fails only when there is none left; the plain body is right then too
    let Ok(body) = coded else { return response };
    let name = match coding {
        Coding::Zstd => "zstd",
        Coding::Gzip => "gzip",
    };
    *response.body_mut() = body;
    response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static(name));
    response
}

fn gzip(body: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body)?;
    encoder.finish()
}

/// The coding with the highest weight; of equals, the denser one.
fn wanted(request: &Request<Vec<u8>>) -> Option<Coding> {
    let headers = request.headers().get_all(ACCEPT_ENCODING).iter();
    let lists = headers.filter_map(|value| value.to_str().ok());
    let items: Vec<(&str, f32)> = lists.flat_map(|list| list.split(',')).filter_map(item).collect();
    let weight = |name: &str| {
        let named = items.iter().find(|(item, _)| item.eq_ignore_ascii_case(name));
        named.map_or(0.0, |(_, weight)| *weight)
    };
    match (weight("zstd"), weight("gzip")) {
        (zstd, gzip) if zstd > 0.0 && zstd >= gzip => Some(Coding::Zstd),
        (_, gzip) if gzip > 0.0 => Some(Coding::Gzip),
        _ => None,
    }
}

/// `name` or `name;q=0.5`.
fn item(text: &str) -> Option<(&str, f32)> {
    let (name, parameters) = text.split_once(';').unwrap_or((text, ""));
    let weight = match parameters.trim().strip_prefix("q=") {
        Some(weight) => weight.trim().parse().ok()?,
        None => 1.0,
    };
    Some((name.trim(), weight))
}
