//! An answer that turns a request away: status, a line for people, and the header
//! that the status wants. The same for requests of either kind; says nothing of users,
//! files or what else there is.

use std::{borrow::Cow, sync::Arc, time::Duration};

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
use etherws_actors::{
    monitor::{Event, Kind},
    names,
};

use super::{
    endpoint::{Endpoint, at},
    journal::What,
    peer::Peer,
};

/// Asks for a name and a password (RFC 7617, 2): what a 401 asks for unless its gate says
/// what else, since it must ask for something (RFC 9110, 15.5.2).
pub(super) const BASIC: &str = "Basic realm=\"etherws\", charset=\"UTF-8\"";

/// What a client is told whose request's head is too large.
pub(super) const HEAD_SIZE: &str = "The head of a request is limited to 16 KiB";

names! {
    /// Why a connection or request was turned away: a label of metrics, and behind `refused-`
    /// a counter of `showserver`.
    pub(crate) enum Refused {
        /// Wrong name, password, certificate or token, or none.
        Authentication = "authentication",
        /// Logins after too many failures.
        RateLimited = "rate-limited",
        /// Logins, captures or readers of events over their limit.
        Busy = "busy",
        /// Connections that were closed, the oldest first, to make room for others.
        Connections = "connections",
        /// Sessions beyond `--max-sessions`.
        Sessions = "sessions",
        /// Sessions beyond `--max-sessions-per-user`, or beyond the `max-sessions` of the user's
        /// profile.
        SessionsOfUser = "sessions-of-user",
        /// Sessions beyond `--max-sessions-per-address`.
        SessionsOfAddress = "sessions-of-address",
        /// Requests with a head of more than 16 KiB.
        HeadSize = "head-size",
        /// Connections without a valid PROXY header in time, or not from a trusted proxy.
        ProxyHeader = "proxy-header",
        /// Connections over which something came that is not HTTP.
        NotHttp = "not-http",
        /// Requests with a foreign `Origin` or `Host`, or from another machine.
        Origin = "origin",
        /// Requests of users whose role does not allow them.
        Role = "role",
        /// Other requests for what is not served.
        Request = "request",
    }
}

impl Refused {
    /// Whether somebody gets an answer; others are closed without one, since they have not asked
    /// for anything.
    const fn is_answered(self) -> bool {
        !matches!(self, Self::Connections | Self::ProxyHeader)
    }

    /// Of the answer, unless that says it more closely.
    const fn status(self) -> StatusCode {
        match self {
            Self::Authentication => StatusCode::UNAUTHORIZED,
            Self::RateLimited | Self::SessionsOfUser | Self::SessionsOfAddress => {
                StatusCode::TOO_MANY_REQUESTS
            }
            Self::Busy | Self::Connections | Self::Sessions | Self::ProxyHeader => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::HeadSize => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Origin | Self::Role => StatusCode::FORBIDDEN,
            Self::Request | Self::NotHttp => StatusCode::BAD_REQUEST,
        }
    }
}

/// An answer that refuses.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    text: Cow<'static, str>,
    header: Option<(HeaderName, HeaderValue)>,
    reason: Refused,
    /// The user whom the client claims to be.
    user: Option<Arc<str>>,
}

impl Refusal {
    /// For this reason, and with its status.
    pub(crate) fn new(reason: Refused, text: impl Into<Cow<'static, str>>) -> Self {
        Self { status: reason.status(), text: text.into(), header: None, reason, user: None }
    }

    /// A request for something that is not served.
    pub(crate) fn request(status: StatusCode, text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Refused::Request, text).status(status)
    }

    /// Not this method but `allow` (RFC 9110, 15.5.6).
    pub(crate) fn method(allow: &'static str) -> Self {
        Self::request(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
            .with(header::ALLOW, HeaderValue::from_static(allow))
    }

    /// There is nothing at this path.
    pub(crate) fn not_found() -> Self {
        Self::request(StatusCode::NOT_FOUND, "Not Found")
    }

    /// The user's name and password are wanted, or others.
    pub(crate) fn unauthorized() -> Self {
        Self::new(Refused::Authentication, "Authorization Required")
            .with(header::WWW_AUTHENTICATE, HeaderValue::from_static(BASIC))
    }

    /// To be tried again after `wait`.
    pub(crate) fn later(reason: Refused, text: &'static str, wait: Duration) -> Self {
        // Whole seconds (RFC 9110, 10.2.3), and never too early.
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        Self::new(reason, text).with(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)))
    }

    /// With another status than its reason has.
    pub(crate) fn status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    pub(crate) fn with(self, name: HeaderName, value: HeaderValue) -> Self {
        Self { header: Some((name, value)), ..self }
    }

    /// A 401 that asks for `challenge`; any other as it is.
    pub(crate) fn asking(self, challenge: &str) -> Self {
        match HeaderValue::from_str(challenge) {
            Ok(challenge) if self.status == StatusCode::UNAUTHORIZED => {
                self.with(header::WWW_AUTHENTICATE, challenge)
            }
            _ => self,
        }
    }

    /// Of a client that claims to be `user`.
    pub(crate) fn of_user(self, user: Option<Arc<str>>) -> Self {
        Self { user, ..self }
    }

    /// Counts, reports and logs that it is about to be sent to `peer`.
    pub(super) fn report(&self, endpoint: &Endpoint, peer: &Peer) {
        let Self { status, text, reason, user, .. } = self;
        endpoint.counters.refuse(*reason);
        endpoint.monitor.tell(|| match reason {
            Refused::Authentication => {
                let event = at(Event::new(Kind::AuthenticationFailure), peer);
                user.iter().fold(event, |event, user| event.text("user", user.escape_debug()))
            }
            other => at(Event::new(Kind::Refused).text("reason", other.name()), peer),
        });
        let (what, status) = if reason.is_answered() {
            (What::Request, Some(*status))
        } else {
            (What::Connection, None)
        };
        endpoint.journal.turned_away(what, peer, user.as_deref(), status, text);
    }

    /// The HTTP status.
    #[cfg(test)]
    pub(crate) const fn code(&self) -> StatusCode {
        self.status
    }

    /// The HTTP status, and the value of its header.
    #[cfg(test)]
    pub(crate) fn answer(&self) -> (StatusCode, Option<String>) {
        let value = self.header.as_ref().and_then(|(_, value)| value.to_str().ok());
        (self.status, value.map(str::to_owned))
    }

    /// What it is counted as.
    #[cfg(test)]
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
            let refusal = Refusal::later(Refused::RateLimited, "", wait);
            assert_eq!(refusal.answer().1.as_deref(), Some(seconds));
        }
    }

    #[test]
    fn the_document_explains_every_reason() {
        let document = include_str!("../../docs/rpc.md");
        for reason in Refused::ALL {
            let (name, help, status) = (reason.name(), reason.help(), reason.status().as_u16());
            let status = if reason.is_answered() { &format!(" (HTTP {status})") } else { "" };
            let help = help.trim_end_matches('.');
            let row = format!("| `refused-{name}` | {help}{status}. |\n");
            assert!(document.contains(&row), "docs/rpc.md lacks {row}");
        }
    }
}
