//! The link of an invitation: `https://<practice>/enroll/<token>`, and nothing else.

use crate::error::{PortalError, Reason};
use crate::values::Secret;
use url::Url;

/// Takes the token out of a link of this practice. Mail programs add spaces and line ends; those
/// are forgiven, everything else is not.
pub(crate) fn token(link: &str, practice: &Url) -> Result<Secret<String>, PortalError> {
    let malformed = || PortalError::refused_field(Reason::InvitationMalformed, "invitation_link");
    let link = link.trim();
    if link.len() > 2048 || !link.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(malformed());
    }
    let url = Url::parse(link).map_err(|_| malformed())?;
    let plain = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if !plain || url.origin() != practice.origin() {
        return Err(malformed());
    }
    let token = url.path().strip_prefix("/enroll/").ok_or_else(malformed)?;
    let form = token.len() == 43
        && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    form.then(|| Secret::new(token.to_owned())).ok_or_else(malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_practices_links_are_invitations() {
        let practice = Url::parse("https://portal.example:8443/").unwrap();
        let good = "A".repeat(43);
        assert!(token(&format!("  https://portal.example:8443/enroll/{good}\n"), &practice).is_ok());
        for bad in [
            String::new(),
            good.clone(),
            format!("http://portal.example:8443/enroll/{good}"),
            format!("https://portal.example/enroll/{good}"),
            format!("https://evil.example:8443/enroll/{good}"),
            format!("https://x@portal.example:8443/enroll/{good}"),
            format!("https://portal.example:8443/enroll/{good}?x=1"),
            format!("https://portal.example:8443/enroll/{good}#x"),
            format!("https://portal.example:8443/enroll/{good}/"),
            format!("https://portal.example:8443/enroll/../{good}"),
            format!("https://portal.example:8443/enroll/{}", "A".repeat(42)),
            format!("https://portal.example:8443/enroll/{}%2F", "A".repeat(40)),
            format!("https://portal.example:8443/enroll/{}", "ä".repeat(43)),
            format!("javascript:alert('{good}')"),
        ] {
            let error = token(&bad, &practice).unwrap_err();
            assert_eq!(error.reason(), &Reason::InvitationMalformed, "{bad}");
        }
    }
}
