//! The apps that may sign people in. They are public: none has a secret.

/// A registered OAuth client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum App {
    /// The phone app.
    Phone,
    /// The command line.
    Cli,
}

impl App {
    /// The app with this `client_id`.
    pub(crate) fn from_id(id: &str) -> Option<Self> {
        match id {
            "org.portal.phone" => Some(Self::Phone),
            "org.portal.cli" => Some(Self::Cli),
            _ => None,
        }
    }

    /// Whether this is exactly a redirect that the app registered. Only the port of the loopback
    /// redirect is free (RFC 8252 §7.3).
    pub(crate) fn accepts_redirect(self, uri: &str) -> bool {
        match self {
            Self::Phone => uri == "org.portal.phone:/signed-in",
            Self::Cli => {
                let port = uri.strip_prefix("http://127.0.0.1:");
                port.and_then(|rest| rest.strip_suffix("/signed-in")).is_some_and(is_port)
            }
        }
    }
}

fn is_port(text: &str) -> bool {
    let digits = !text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit());
    digits && text.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::App;

    #[test]
    fn a_redirect_is_exact_but_for_the_loopback_port() {
        for good in ["http://127.0.0.1:1/signed-in", "http://127.0.0.1:65535/signed-in"] {
            assert!(App::Cli.accepts_redirect(good), "{good}");
        }
        for bad in [
            "http://127.0.0.1/signed-in",
            "http://127.0.0.1:/signed-in",
            "http://127.0.0.1:0/signed-in",
            "http://127.0.0.1:080/signed-in",
            "http://127.0.0.1:65536/signed-in",
            "http://127.0.0.1:+80/signed-in",
            "http://127.0.0.1:80/signed-in/",
            "http://127.0.0.1:80/signed-in?x",
            "http://127.0.0.1:80@evil.example/signed-in",
            "http://localhost:80/signed-in",
            "https://127.0.0.1:80/signed-in",
            "org.portal.phone:/signed-in",
        ] {
            assert!(!App::Cli.accepts_redirect(bad), "{bad}");
        }
        assert!(App::Phone.accepts_redirect("org.portal.phone:/signed-in"));
        assert!(!App::Phone.accepts_redirect("org.portal.phone:/signed-in#"));
    }
}
