//! The HTML pages, as pure functions: no script, one small style sheet in the page, and everything
//! that comes from outside escaped.

use std::fmt::{Display, Formatter, Result as Written, Write};

use chrono::SecondsFormat;

use crate::world::{Channel, Mail};

/// The sign-in form. `error` is the one sentence after a failure, the same for every wrong reason.
pub fn sign_in(practice: &str, transaction: &str, login_id: &str, error: Option<&str>) -> String {
    let (alert, wrong, title) = match error {
        Some(text) => (
            format!(r#"<p class="alert" id="error" role="alert">{}</p>"#, Escaped(text)),
            r#" aria-invalid="true" aria-describedby="error""#,
            "Not signed in",
        ),
        None => (String::new(), "", "Sign in"),
    };
    // Whoever has typed the login id already goes on with the password.
    let (first, second) = if login_id.is_empty() { (" autofocus", "") } else { ("", " autofocus") };
    page(
        practice,
        title,
        Width::Narrow,
        &format!(
            r#"<h1>Sign in</h1>
<p class="lead">to your client portal</p>
{alert}
<form method="post" action="/oauth/authorize">
<input type="hidden" name="transaction" value="{transaction}">
<label for="login_id">Email or username</label>
<input id="login_id" name="login_id" type="text" inputmode="email" value="{login_id}" required
 autocomplete="username" autocapitalize="none" autocorrect="off" spellcheck="false" maxlength="254"{wrong}{first}>
<label for="password">Password</label>
<input id="password" name="password" type="password" required
 autocomplete="current-password" maxlength="128"{wrong}{second}>
<button type="submit">Sign in</button>
</form>
<p class="small">Not registered yet? On your phone, open the invitation from the practice.</p>"#,
            transaction = Escaped(transaction),
            login_id = Escaped(login_id),
        ),
    )
}

/// A page that tells what went wrong and leads nowhere else.
pub fn problem(practice: &str, title: &str, text: &str) -> String {
    page(
        practice,
        title,
        Width::Narrow,
        &format!(
            r#"<h1>{}</h1>
<p class="alert" role="alert">{}</p>"#,
            Escaped(title),
            Escaped(text)
        ),
    )
}

/// What an invitation link shows in a browser. Looking at it consumes nothing. `link_state` is
/// `sent`, `expired`, `registered`, `withdrawn` or `replaced`; anything else is an unknown link.
pub fn enroll(practice: &str, link_state: &str) -> String {
    let (title, text) = match link_state {
        "sent" => (
            "Your invitation",
            "Open this link on the phone that has the portal app. There you confirm your last name \
             and date of birth and choose a password. The link works once, within 7 days of its \
             sending.",
        ),
        "expired" => (
            "This invitation has expired",
            "An invitation can be used for 7 days. Please ask the practice to send you a new one.",
        ),
        "registered" => {
            ("This invitation has been used", "You are registered already. Open the portal app and sign in.")
        }
        "withdrawn" => (
            "This invitation was withdrawn",
            "The practice took this invitation back. Please call if you did not expect that.",
        ),
        "replaced" => (
            "There is a newer invitation",
            "The practice has sent you another link since. Please use the one in the newest message.",
        ),
        _ => (
            "This link is not known",
            "Please open the link again from the message in which you got it, or ask the practice \
             for a new one.",
        ),
    };
    page(practice, title, Width::Narrow, &format!("<h1>{title}</h1>\n<p>{text}</p>"))
}

/// The messages that the practice sent by mail and text, newest first.
pub fn mailbox(practice: &str, mails: &[Mail]) -> String {
    let mut newest_first = mails.iter().collect::<Vec<_>>();
    newest_first.sort_by_key(|mail| std::cmp::Reverse((mail.at, mail.id)));
    let mut body = String::from("<h1>Mailbox</h1>\n");
    // Writing into a `String` cannot fail.
    let _ = write!(
        body,
        r#"<p class="lead">{} sent by the practice. This page stands in for the clients' own mail.</p>"#,
        match mails.len() {
            0 => "Nothing".to_owned(),
            1 => "1 message".to_owned(),
            many => format!("{many} messages"),
        }
    );
    for mail in newest_first {
        let _ = write!(body, "\n{}", Letter(mail));
    }
    page(practice, "Mailbox", Width::Wide, &body)
}

/// The start page: what there is to see.
pub fn index(practice: &str) -> String {
    page(
        practice,
        "Reference practice",
        Width::Narrow,
        r#"<h1>Reference practice</h1>
<p>This server plays the practice for the portal app: its rules are real, its people are invented,
and nothing is kept when it ends.</p>
<ul class="links">
<li><a href="/mailbox">Mailbox</a> what the practice has sent by mail and text</li>
<li><a href="/openapi.json">OpenAPI 3.1</a> the contract with the app</li>
<li><a href="/v1/practice">Practice</a> the public record, with the crisis lines</li>
</ul>"#,
    )
}

/// One mail as an article of the mailbox.
struct Letter<'a>(&'a Mail);

impl Display for Letter<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> Written {
        let mail = self.0;
        let by = match mail.channel {
            Channel::Email => "Email",
            Channel::Sms => "Text message",
        };
        write!(
            out,
            r#"<article aria-labelledby="m{id}"><h2 id="m{id}" dir="auto">{subject}</h2>
<p class="small">{by} to <span dir="auto">{to}</span>, <time datetime="{stamp}">{shown} UTC</time></p>
<p class="text" dir="auto">{text}</p>"#,
            id = mail.id,
            subject = Escaped(&mail.subject),
            to = Escaped(&mail.to),
            stamp = mail.at.to_rfc3339_opts(SecondsFormat::Millis, true),
            shown = mail.at.format("%-d %B %Y, %H:%M"),
            text = Escaped(&mail.text),
        )?;
        if let Some(link) = &mail.link {
            // A link of another scheme is shown as text: a tap on it must not run anything.
            if link.starts_with("https://") || link.starts_with("http://") {
                let link = Escaped(link);
                write!(out, r#"<p><a class="link" rel="noreferrer" href="{link}">{link}</a></p>"#)?;
            } else {
                write!(out, r#"<p class="link">{}</p>"#, Escaped(link))?;
            }
        }
        out.write_str("</article>")
    }
}

enum Width {
    Narrow,
    Wide,
}

fn page(practice: &str, title: &str, width: Width, body: &str) -> String {
    format!(
        r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<meta name="referrer" content="no-referrer">
<meta name="color-scheme" content="light dark">
<title>{title} · {practice}</title>
<style>{STYLE}</style>
</head>
<body class="{width}">
<header dir="auto">{practice}</header>
<main>
{body}
</main>
<footer>
<p>In a crisis, call or text <a href="tel:988">988</a> at any hour. In an emergency, call <a href="tel:911">911</a>.</p>
</footer>
</body>
</html>
"#,
        title = Escaped(title),
        practice = Escaped(practice),
        width = match width {
            Width::Narrow => "narrow",
            Width::Wide => "wide",
        },
    )
}

/// Text made harmless for element content and for quoted attribute values.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> Written {
        for letter in self.0.chars() {
            match letter {
                '&' => out.write_str("&amp;")?,
                '<' => out.write_str("&lt;")?,
                '>' => out.write_str("&gt;")?,
                '"' => out.write_str("&quot;")?,
                '\'' => out.write_str("&#39;")?,
                _ => out.write_char(letter)?,
            }
        }
        Ok(())
    }
}

/// Lengths follow the reader's font size, and a test holds the colours to WCAG's contrasts.
const STYLE: &str = "
:root{--back:#f3f5f4;--card:#fff;--ink:#1c2b2a;--soft:#4d5f5d;--line:#7c8b89;--edge:#dde4e2;--act:#12635c;--act-ink:#fff;--warn:#8c1d18;--warn-back:#fdeeed}
@media (prefers-color-scheme:dark){:root{--back:#121817;--card:#1b2423;--ink:#e8eeec;--soft:#a9b9b6;--line:#7d908d;--edge:#2c3a38;--act:#7fd1c7;--act-ink:#08211e;--warn:#ffb4ab;--warn-back:#3b1d1b}}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;display:flex;flex-direction:column;align-items:center;gap:1.25rem;padding:clamp(1.25rem,8vh,5rem) 1rem 1.5rem;background:var(--back);color:var(--ink);font:1rem/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans',sans-serif;overflow-wrap:anywhere}
header,main,footer{width:100%;max-width:26rem}
.wide header,.wide main,.wide footer{max-width:46rem}
header{font-weight:600;font-size:1.125rem;text-align:center;color:var(--act)}
main{background:var(--card);border:1px solid var(--edge);border-radius:1rem;padding:clamp(1.25rem,6vw,2.25rem)}
footer{margin-top:auto;text-align:center;text-wrap:balance;color:var(--soft);font-size:.875rem}
h1{margin:0;font-size:1.625rem;line-height:1.2;font-weight:650}
h2{margin:0;font-size:1.0625rem;line-height:1.35}
p{margin:.75rem 0}
main>:last-child,article>:last-child{margin-bottom:0}
.lead{margin:.25rem 0 1.25rem;color:var(--soft)}
.small{color:var(--soft);font-size:.875rem}
.text{white-space:pre-wrap}
.alert{padding:.75rem 1rem;border-left:.25rem solid var(--warn);border-radius:.375rem;background:var(--warn-back);color:var(--warn)}
label{display:block;margin:1rem 0 .375rem;font-weight:600}
input{width:100%;min-height:3rem;padding:.5rem .875rem;border:1px solid var(--line);border-radius:.5rem;background:var(--card);color:var(--ink);font:inherit}
input[aria-invalid]{border-color:var(--warn)}
button{width:100%;min-height:3rem;margin:1.5rem 0 .5rem;padding:.5rem 1rem;border:0;border-radius:.5rem;background:var(--act);color:var(--act-ink);font:inherit;font-weight:650;cursor:pointer}
button:hover{filter:brightness(1.1)}
a{color:var(--act)}
:focus-visible{outline:.1875rem solid var(--act);outline-offset:.1875rem}
article{margin-top:1.25rem;padding-top:1.25rem;border-top:1px solid var(--edge)}
.link{font-size:.875rem}
.links{padding-left:1.25rem}
.links li{margin:.5rem 0}
@media (forced-colors:active){button{border:1px solid}}
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::MailKind;

    const PAYLOADS: [&str; 4] = [
        "<script>alert(1)</script>",
        r#""><img src=x onerror=alert(1)>"#,
        "' autofocus onfocus='alert(1)",
        "</style></title><svg/onload=alert(1)>",
    ];

    fn mail(text: &str, link: &str) -> Mail {
        Mail {
            id: uuid::Uuid::from_u128(7),
            at: "2026-03-08T06:59:59.250Z".parse().unwrap(),
            kind: MailKind::Invitation,
            channel: Channel::Email,
            to: text.to_owned(),
            subject: text.to_owned(),
            text: text.to_owned(),
            link: Some(link.to_owned()),
        }
    }

    fn every_page(text: &str) -> Vec<String> {
        vec![
            sign_in(text, text, text, None),
            sign_in(text, text, text, Some(text)),
            problem(text, text, text),
            enroll(text, text),
            mailbox(text, &[mail(text, text)]),
            mailbox(text, &[mail(text, &format!("https://localhost/{text}"))]),
            index(text),
        ]
    }

    /// The page as it is without outside text has a fixed number of these characters.
    fn markup(page: &str) -> [usize; 3] {
        ['<', '>', '"'].map(|sign| page.matches(sign).count())
    }

    #[test]
    fn nothing_from_outside_becomes_markup() {
        for payload in PAYLOADS {
            for (hostile, harmless) in every_page(payload).iter().zip(every_page("x")) {
                assert!(!hostile.contains(payload));
                assert!(!hostile.contains("<script"));
                assert_eq!(markup(hostile), markup(&harmless), "{hostile}");
                assert_eq!(
                    hostile.matches('\'').count(),
                    harmless.matches('\'').count(),
                    "a quote got through"
                );
            }
        }
    }

    #[test]
    fn only_web_links_can_be_followed() {
        let page = mailbox("P", &[mail("x", "javascript:alert(1)")]);
        assert!(!page.contains(r#"href="javascript:"#));
        let page = mailbox("P", &[mail("x", "https://localhost:8443/enroll/abc")]);
        assert!(page.contains(r#"href="https://localhost:8443/enroll/abc""#));
    }

    #[test]
    fn the_form_has_its_three_fields() {
        let page = sign_in("P", "t-1", "renee@example.org", Some("Please try again."));
        for part in [
            r#"<form method="post" action="/oauth/authorize">"#,
            r#"name="transaction" value="t-1""#,
            r#"name="login_id""#,
            r#"value="renee@example.org""#,
            r#"name="password""#,
            r#"autocomplete="username""#,
            r#"autocomplete="current-password""#,
            r#"role="alert">Please try again.</p>"#,
            r#"<html lang="en">"#,
            r#"<label for="login_id">"#,
            r#"<label for="password">"#,
        ] {
            assert!(page.contains(part), "{part} is missing");
        }
        assert_eq!(page.matches("<form").count(), 1);
    }

    #[test]
    fn newest_mail_comes_first() {
        let mut later = mail("later", "https://localhost/l");
        later.at += chrono::Duration::minutes(1);
        let page = mailbox("P", &[mail("earlier", "https://localhost/e"), later]);
        assert!(page.find("later").unwrap() < page.find("earlier").unwrap());
    }

    /// The colours of one scheme, by name.
    fn colours(scheme: &str) -> std::collections::BTreeMap<&str, f64> {
        let pairs = scheme.split(';').map(|pair| pair.split_once(':').unwrap());
        pairs.map(|(name, hex)| (name.trim_start_matches('-'), luminance(hex))).collect()
    }

    /// WCAG's relative luminance of `#rgb` or `#rrggbb`.
    fn luminance(hex: &str) -> f64 {
        let digits = hex.trim_start_matches('#');
        let size = digits.len() / 3;
        let channel = |at: usize| {
            let part = digits.get(at * size..(at + 1) * size).unwrap().repeat(3 - size);
            let value = f64::from(u8::from_str_radix(&part, 16).unwrap()) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * channel(0) + 0.7152 * channel(1) + 0.0722 * channel(2)
    }

    #[test]
    fn colours_can_be_told_apart() {
        let schemes = STYLE.split(":root{").skip(1).map(|rest| rest.split_once('}').unwrap().0);
        let schemes = schemes.map(colours).collect::<Vec<_>>();
        assert_eq!(schemes.len(), 2, "light and dark");
        let text = [
            ("ink", "back"),
            ("ink", "card"),
            ("soft", "back"),
            ("soft", "card"),
            ("act", "back"),
            ("act", "card"),
            ("act-ink", "act"),
            ("warn", "warn-back"),
        ];
        let outlines = [("line", "card"), ("warn", "card"), ("act", "card")];
        let wanted = text.map(|pair| (pair, 4.5)).into_iter().chain(outlines.map(|pair| (pair, 3.0)));
        for ((front, back), least) in wanted {
            for scheme in &schemes {
                let (front_light, back_light) = (scheme[front] + 0.05, scheme[back] + 0.05);
                let contrast = front_light.max(back_light) / front_light.min(back_light);
                assert!(contrast >= least, "{front} on {back}: {contrast:.2}");
            }
        }
    }
}
