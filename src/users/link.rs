//! What an invitation is handed over as: one URL, whose fragment holds what the hub is known by
//! and the secret that lets in. Pure. A fragment is sent to no server, so it stands in no log.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use etherws_actors::{
    connect::{Pin, Scheme, ServerUrl},
    error::one_line,
};

/// What the fragment begins with; another form has another number.
const FORM: &str = "etherws1:";

/// Octets of a secret: nobody guesses 128 bits.
pub(crate) const SECRET_OCTETS: usize = 16;

/// Octets of the hash that is a pin.
const PIN_OCTETS: usize = 32;

/// In its place where there is none.
const NO_PIN: [u8; PIN_OCTETS] = [0; PIN_OCTETS];

/// Octets of the time at which it ends.
const TIME_OCTETS: usize = 8;

/// Octets of the sum behind all of it: a link that was mistyped, or cut, leads nowhere else.
const SUM_OCTETS: usize = 4;

/// Longest link that is read, in octets: a QR code holds fewer.
const MAX_LINK: usize = 2048;

/// An invitation.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Link {
    /// The hub's, the first of them as the link's own; `wss`.
    pub(crate) urls: Vec<ServerUrl>,
    /// Of the key of its CA; `None`: its certificate is one of a public CA.
    pub(crate) pin: Option<Pin>,
    /// The secret.
    pub(crate) secret: [u8; SECRET_OCTETS],
    /// Until when it can be used, in seconds of Unix.
    pub(crate) until: i64,
}

impl Link {
    /// Reads one.
    ///
    /// # Errors
    /// What is wrong with it, and what to do; never its secret.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let damaged = || {
            "the link is damaged; copy all of it, from https:// to its end, in quotes".to_owned()
        };
        if text.len() > MAX_LINK {
            return Err(damaged());
        }
        let (url, fragment) = text.split_once('#').ok_or_else(damaged)?;
        let Some(code) = fragment.strip_prefix(FORM) else {
            return Err(if fragment.starts_with("etherws") {
                "the link is of a later version of etherws; update this one".to_owned()
            } else {
                damaged()
            });
        };
        let bare = url.strip_prefix("https://").ok_or_else(damaged)?;
        let octets = URL_SAFE_NO_PAD.decode(code).map_err(|_| damaged())?;
        let (octets, own) = octets.split_last_chunk().ok_or_else(damaged)?;
        if *own != sum(bare, octets) {
            return Err(damaged());
        }
        let (secret, rest) = octets.split_first_chunk().ok_or_else(damaged)?;
        let (pin, rest) = rest.split_first_chunk::<PIN_OCTETS>().ok_or_else(damaged)?;
        let (until, rest) = rest.split_first_chunk::<TIME_OCTETS>().ok_or_else(damaged)?;
        let rest = str::from_utf8(rest).map_err(|_| damaged())?;
        let further = rest.split('\n').filter(|url| !url.is_empty());
        let all = [bare].into_iter().chain(further).map(|url| {
            ServerUrl::parse(&format!("wss://{url}"), Scheme::WebSocket)
                .map_err(|error| format!("the link is damaged: {}", one_line(&error)))
        });
        Ok(Self {
            urls: all.collect::<Result<_, _>>()?,
            pin: (*pin != NO_PIN).then(|| Pin::from(*pin)),
            secret: *secret,
            until: i64::from_be_bytes(*until),
        })
    }
}

/// The sum of the first URL without its scheme, and of what the fragment holds.
fn sum(url: &str, octets: &[u8]) -> [u8; SUM_OCTETS] {
    let all = digest(&SHA256, &[url.as_bytes(), b"\n", octets].concat());
    let mut sum = [0; SUM_OCTETS];
    sum.copy_from_slice(&all.as_ref()[..SUM_OCTETS]);
    sum
}

impl fmt::Display for Link {
    /// As it is handed over, with its secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut urls = self.urls.iter().map(|url| {
            let url = url.to_string();
            url.strip_prefix("wss://").unwrap_or(&url).to_owned()
        });
        let first = urls.next().unwrap_or_default();
        let mut octets = self.secret.to_vec();
        octets.extend(self.pin.map_or(NO_PIN, |pin| pin.octets()));
        octets.extend(self.until.to_be_bytes());
        octets.extend(urls.collect::<Vec<_>>().join("\n").bytes());
        octets.extend(sum(&first, &octets));
        write!(f, "https://{first}#{FORM}{}", URL_SAFE_NO_PAD.encode(octets))
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("urls", &self.urls).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(urls: &[&str]) -> Link {
        let url = |url: &&str| ServerUrl::parse(url, Scheme::WebSocket).unwrap();
        Link {
            urls: urls.iter().map(url).collect(),
            pin: Some(Pin::from([0xa5; 32])),
            secret: [7; SECRET_OCTETS],
            until: 1_800_000_000,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for urls in [
            &["wss://hub.example/"][..],
            &["wss://192.0.2.1:8443/lan", "wss://[2001:db8::1]/", "wss://hub.example/"],
        ] {
            let text = link(urls).to_string();
            assert_eq!(Link::parse(&text).unwrap(), link(urls), "{text}");
            assert!(text.starts_with(&urls[0].replace("wss", "https")), "{text}");
            assert!(text.len() < 300, "a QR code that a telephone reads: {}", text.len());
        }
        let public = Link { pin: None, ..link(&["wss://hub.example/"]) };
        assert_eq!(Link::parse(&public.to_string()).unwrap(), public);
    }

    #[test]
    fn what_is_damaged_is_told_without_the_secret() {
        let text = link(&["wss://hub.example/"]).to_string();
        let code = text.split_once(FORM).unwrap().1.to_owned();
        for wrong in [
            &text[..40],
            &text.replace("https", "http"),
            &text.replace('#', ""),
            &text.replace("etherws1", "etherws2"),
            &text.replace("hub.example", ""),
            &text.replace("hub.example", "bub.example"),
            &text.replace(&code[..4], "AAAA"),
            &(text.clone() + "A"),
            &(text.clone() + "!"),
            "",
        ] {
            let error = Link::parse(wrong).unwrap_err();
            assert!(!error.contains(&code[..20]) && error.contains("link"), "{error}");
        }
    }
}
