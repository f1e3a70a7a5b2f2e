//! A request in this server's own words, whatever protocol has brought it: HTTP/1.1 now,
//! HTTP/2 and QUIC later. Made where a connection is served (`http`), from borrowed parts;
//! gates, guards, the upgrade and the resources read nothing else. Has no body.

use super::{
    peer::Peer,
    refusal::{HEAD_SIZE, Refusal, Refused},
};

/// Largest request head, in octets: ours have 300, and browsers send their cookies.
/// actix-http reads up to 128 KiB before it answers 431 itself.
const MAX_HEAD: usize = 16 * 1024;

/// The head of a request, and who has sent it.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) method: Method,
    pub(crate) path: &'a str,
    /// What follows `?`.
    pub(crate) query: Option<&'a str>,
    pub(crate) headers: Headers<'a>,
    pub(crate) peer: &'a Peer,
}

/// A request's method, as far as this server tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Head,
    Post,
    Other,
}

/// Names in lower case, and values, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Headers<'a>(Vec<(&'a str, &'a [u8])>);

impl Request<'_> {
    /// Whether its head is no larger than we need.
    ///
    /// # Errors
    /// It is larger than 16 KiB.
    pub(super) fn check_size(&self) -> Result<(), Refusal> {
        // As in HTTP/1.1: `name: value` and an end of line.
        let headers = self.headers.0.iter().map(|(name, value)| name.len() + value.len() + 4);
        let target = self.path.len() + self.query.map_or(0, |query| query.len() + 1);
        if target + headers.sum::<usize>() <= MAX_HEAD {
            return Ok(());
        }
        Err(Refusal::new(Refused::HeadSize, HEAD_SIZE))
    }

    /// Whether it only reads.
    pub(super) fn reads(&self) -> bool {
        matches!(self.method, Method::Get | Method::Head)
    }
}

impl<'a> Headers<'a> {
    /// The first value of the header `name`, which is in lower case.
    pub(crate) fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.all(name).next()
    }

    /// The same as text; `None` also where it is not valid UTF-8.
    pub(crate) fn text(&self, name: &str) -> Option<&'a str> {
        self.get(name).and_then(|value| str::from_utf8(value).ok())
    }

    /// All values of the header `name`, which is in lower case.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.0.iter().filter(move |(known, _)| *known == name).map(|(_, value)| *value)
    }
}

impl<'a> FromIterator<(&'a str, &'a [u8])> for Headers<'a> {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a [u8])>>(all: I) -> Self {
        Self(all.into_iter().collect())
    }
}
