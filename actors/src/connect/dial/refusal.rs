//! What a server's refusal means, and the way out: advice that fits the cause, and never
//! what was done already.

use std::fmt;

use awc::http::StatusCode;
use url::Url;

use crate::connect::{
    TlsOptions, TunnelRequest,
    answer::{Head, speaks_of_tls},
    url::ServerUrl,
};
use crate::core::{error::clean, secret::shown};

/// A server's refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// What the server says in its own words, on one line.
    pub words: Option<String>,
    /// The way out.
    pub advice: Option<String>,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, words, advice } = self;
        let reason = StatusCode::from_u16(*status).ok().and_then(|s| s.canonical_reason());
        write!(f, "{status} {}", reason.unwrap_or("without a reason"))?;
        if let Some(words) = words {
            write!(f, ", {words:?}")?;
        }
        match advice {
            Some(advice) => write!(f, "; {advice}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Answer {}

/// What `server` was asked with.
pub(super) struct Asked<'a> {
    pub(super) server: &'a ServerUrl,
    pub(super) request: &'a TunnelRequest,
    pub(super) tls: &'a TlsOptions,
}

impl Asked<'_> {
    /// Makes sense of a head that is no 101, and of what its sender says besides.
    pub(super) fn refused(&self, head: &Head, words: Option<String>) -> Answer {
        let advice = self.advice(head, words.as_deref().unwrap_or_default());
        Answer { status: head.status, words, advice }
    }

    fn advice(&self, head: &Head, words: &str) -> Option<String> {
        let Self { server, request, tls } = self;
        let tunnels = "check that path and port are a tunnel's";
        let advice = match head.status {
            200..=299 => return Some(format!("it answers with a page: {tunnels}")),
            300..=399 => return self.redirect(head.get("location")?),
            400 if !server.tls() && speaks_of_tls(words) => {
                return Some(format!("this port speaks TLS: give {}", server.with_tls()));
            }
            400 | 405 => tunnels,
            401 => return Some(self.unauthorized(head)),
            // It has said why.
            403 if words.contains("certificate") && tls.certificate.is_none() => {
                "give a client certificate (--cert FILE and --key FILE)"
            }
            403 if !words.is_empty() => return None,
            403 if server.tls() && tls.certificate.is_none() => {
                "the server may require a client certificate (--cert FILE and --key FILE), or a \
                 proxy forbids it"
            }
            403 => "the server, or a proxy before it, does not let this client in; see its log",
            404 | 410 => "check the path",
            407 => {
                "a proxy on the way requires a user and a password; name it: \
                 --proxy http://user:password@host:port"
            }
            413 | 414 | 431 if request.headers.is_empty() => {
                "the URL is longer than the server accepts"
            }
            413 | 414 | 431 => "give fewer or shorter headers (--header)",
            421 if request.host.is_some() => {
                "the server does not serve the name that was given with --host; give one that it \
                 serves"
            }
            421 => {
                "the server does not serve the name in the URL; add the name there (--ctlname, or \
                 the proxy's list of names), or give one that it serves with --host and --sni"
            }
            426 => {
                let wanted = head.get("sec-websocket-version").map(clean);
                if let Some(version) = wanted.filter(|version| version != "13") {
                    return Some(format!("it speaks version {version} of WebSocket only, not 13"));
                }
                "check that path and port are a tunnel's, and that a proxy before it passes the \
                 Upgrade header on"
            }
            429 => {
                let wait = match head.get("retry-after").map(str::parse::<u32>) {
                    Some(Ok(seconds)) => format!("{seconds} s"),
                    _ => "a minute".to_owned(),
                };
                return Some(match words {
                    "" => format!(
                        "it has too many sessions, or too many failed logins came from this \
                         address: wait {wait}, then check the user and the password"
                    ),
                    words if words.contains("login") => {
                        format!("wait {wait}, then check the user and the password")
                    }
                    _ => format!("wait {wait}, then try again"),
                });
            }
            502..=504 if !words.is_empty() => "see the logs of the server and of a proxy before it",
            502..=504 => {
                "the server is overloaded, or a proxy before it cannot reach it; see their logs"
            }
            500..=599 => "try again later, or see the server's log",
            _ => return None,
        };
        Some(advice.to_owned())
    }

    fn redirect(&self, location: &str) -> Option<String> {
        let given = Url::parse(&self.server.with_http_scheme()).ok()?;
        let Ok(mut to) = given.join(location) else {
            return Some(format!("it points to {:?}", clean(&shown(location))));
        };
        let scheme = match to.scheme() {
            "http" | "ws" => "ws",
            "https" | "wss" => "wss",
            _ => return Some(format!("it points to {:?}", clean(&shown(location)))),
        };
        let same = to.host() == given.host();
        to.set_scheme(scheme).ok()?;
        let to = clean(&shown(to.as_str()));
        Some(if same && scheme == "wss" && !self.server.tls() {
            format!("it requires TLS; give {to}")
        } else {
            format!("it points to {to}; give that URL if it is the one you mean")
        })
    }

    fn unauthorized(&self, head: &Head) -> String {
        let schemes = head.schemes("www-authenticate");
        let has_header = self.request.headers.iter().any(|header| header.is("authorization"));
        let takes_basic = schemes.iter().any(|one| one.eq_ignore_ascii_case("basic"));
        if has_header {
            "it does not accept the Authorization header that was given".to_owned()
        } else if !takes_basic && !schemes.is_empty() {
            let tried = if self.request.credentials.is_some() { " and was tried" } else { "" };
            format!(
                "it requires {}, and --user is for Basic only{tried}; give what it requires with \
                 --header \"Authorization: ..\"",
                schemes.join(" or ")
            )
        } else if self.request.credentials.is_some() {
            "the user (--user) or the password is wrong".to_owned()
        } else {
            "it requires a user and a password; give them (--user)".to_owned()
        }
    }
}
