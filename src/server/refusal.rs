//! An answer that turns a request away: status, a line for people, and the header
//! that the status wants. The same for requests of either kind; says nothing of users,
//! files or what else there is.

use std::{borrow::Cow, time::Duration};

use actix_codec::Encoder as _;
use actix_http::{
    Response,
    body::BodySize,
    h1::{Codec, Message},
    header::{self, HeaderName, HeaderValue},
};
use actix_web::{HttpResponse, http::StatusCode};
use anyhow::Result;
use bytes::BytesMut;

use super::counters::Refused;

/// Asks for a password (RFC 7617, 2).
const CHALLENGE: &str = "Basic realm=\"etherws\", charset=\"UTF-8\"";

/// An answer that refuses.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    text: Cow<'static, str>,
    header: Option<(HeaderName, HeaderValue)>,
    reason: Refused,
}

impl Refusal {
    pub(crate) const fn new(status: StatusCode, text: &'static str, reason: Refused) -> Self {
        Self { status, text: Cow::Borrowed(text), header: None, reason }
    }

    /// A request for something that is not served.
    pub(crate) fn request(status: StatusCode, text: impl Into<Cow<'static, str>>) -> Self {
        Self { status, text: text.into(), header: None, reason: Refused::Request }
    }

    /// Not this method but `allow` (RFC 9110, 15.5.6).
    pub(crate) fn method(allow: &'static str) -> Self {
        Self::request(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
            .with(header::ALLOW, allow)
    }

    /// The user's name and password are wanted, or others.
    pub(crate) fn unauthorized() -> Self {
        let text = "Authorization Required";
        Self::new(StatusCode::UNAUTHORIZED, text, Refused::Authentication)
            .with(header::WWW_AUTHENTICATE, CHALLENGE)
    }

    /// To be tried again after `wait`.
    pub(crate) fn later(
        status: StatusCode,
        text: &'static str,
        reason: Refused,
        wait: Duration,
    ) -> Self {
        // Whole seconds (RFC 9110, 10.2.3), and never too early.
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        let header = Some((header::RETRY_AFTER, HeaderValue::from(seconds.max(1))));
        Self { header, ..Self::new(status, text, reason) }
    }

    pub(crate) fn with(mut self, name: HeaderName, value: &'static str) -> Self {
        self.header = Some((name, HeaderValue::from_static(value)));
        self
    }

    pub(crate) const fn status(&self) -> StatusCode {
        self.status
    }

    /// For the client, and for the log.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// What it is counted as.
    pub(crate) const fn reason(&self) -> Refused {
        self.reason
    }

    /// As the answer to an upgrade.
    pub(super) fn encode(self, codec: &mut Codec, out: &mut BytesMut) -> Result<()> {
        let mut response = Response::build(self.status);
        response.content_type("text/plain; charset=utf-8").force_close();
        if let Some(header) = self.header {
            response.insert_header(header);
        }
        let size = BodySize::Sized(self.text.len() as u64);
        codec.encode(Message::Item((response.finish().drop_body(), size)), out)?;
        out.extend_from_slice(self.text.as_bytes());
        Ok(())
    }
}

impl From<Refusal> for HttpResponse {
    /// As the answer to any other request.
    fn from(refusal: Refusal) -> Self {
        let mut response = Self::build(refusal.status);
        response.content_type("text/plain; charset=utf-8");
        if let Some(header) = refusal.header {
            response.insert_header(header);
        }
        response.body(refusal.text.into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_to_wait_are_rounded_up() {
        for (millis, seconds) in [(0, "1"), (1, "1"), (1000, "1"), (1001, "2")] {
            let wait = Duration::from_millis(millis);
            let refusal =
                Refusal::later(StatusCode::TOO_MANY_REQUESTS, "", Refused::RateLimited, wait);
            assert_eq!(refusal.header.map(|(_, value)| value), HeaderValue::from_str(seconds).ok());
        }
    }
}
