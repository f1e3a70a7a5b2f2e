//! The door of a service: who may pass. Stands before everything else that a request
//! can reach, for tunnel and control alike; what is refused here learns nothing of
//! what is behind.

use std::{sync::Arc, time::Duration};

use actix_http::{
    RequestHead, StatusCode,
    header::{self, HeaderName, HeaderValue},
};
use slog::{Logger, debug, info};

use super::{
    auth::{self, Htpasswd},
    counters,
    identity::Identity,
    refusal::Refusal,
};

/// Largest request head, in octets: ours have 300, and browsers send their cookies.
/// actix-http reads up to 128 KiB before it answers 431 itself.
const MAX_HEAD: usize = 16 * 1024;

/// Refuses a request whose head is too large.
pub(crate) fn check_size(head: &RequestHead) -> Result<(), Refusal> {
    // As in HTTP/1.1: `name: value` and an end of line.
    let header = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() + 4;
    let target = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if target + head.headers().iter().map(header).sum::<usize>() <= MAX_HEAD {
        return Ok(());
    }
    Err(Refusal::new(
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        "A request's head may have 16 KiB at most",
        counters::Refused::HeadSize,
    ))
}

/// Whom a service lets in.
#[derive(Debug)]
pub(crate) struct Door {
    /// Users and their passwords; nobody is asked for one without it.
    pub(crate) htpasswd: Option<Arc<Htpasswd>>,
    pub(crate) log: Logger,
}

impl Door {
    /// Who sent this request, if they may pass. `certificate` is the name in the
    /// client's certificate, once TLS has verified it.
    ///
    /// # Errors
    /// They may not; the refusal is to be sent as it is.
    pub(crate) async fn admit(
        &self,
        head: &RequestHead,
        certificate: Option<&Arc<str>>,
    ) -> Result<Identity, Refusal> {
        let Some(htpasswd) = &self.htpasswd else {
            return Ok(certificate.cloned().map_or(Identity::ANONYMOUS, Identity::certificate));
        };
        let authorization = head.headers().get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
        let address = head.peer_addr.map(|peer| peer.ip());
        match htpasswd.verify(authorization, address).await {
            Ok(name) => match certificate {
                None => Ok(Identity::password(name)),
                Some(shown) if *shown == name => Ok(Identity::certificate(name)),
                Some(shown) => {
                    info!(self.log, "not let in: the certificate is another user's";
                        "peer" => head.peer_addr.map(|peer| peer.to_string()),
                        "user" => %name.escape_debug(), "certificate" => %shown.escape_debug());
                    // Not told from a wrong password: that one is right is nobody's
                    // business either.
                    Err(Refusal::unauthorized())
                }
            },
            Err(refused) => {
                debug!(self.log, "not let in";
                    "peer" => head.peer_addr.map(|peer| peer.to_string()), "reason" => %refused);
                Err(refused.into())
            }
        }
    }

    /// Whether somebody who was let in is still a user.
    pub(super) fn knows(&self, identity: &Identity) -> bool {
        match (&self.htpasswd, &identity.name) {
            (Some(htpasswd), Some(name)) => htpasswd.knows(name),
            _ => true,
        }
    }
}

impl From<auth::Refused> for Refusal {
    fn from(refused: auth::Refused) -> Self {
        use auth::Refused;
        match refused {
            Refused::NoCredentials | Refused::Malformed | Refused::Wrong | Refused::Unreadable => {
                Self::unauthorized()
            }
            Refused::TooMany(wait) => Self::later(
                StatusCode::TOO_MANY_REQUESTS,
                "Too many failed logins from this address; try again later",
                counters::Refused::RateLimited,
                wait,
            ),
            Refused::Busy => Self::later(
                StatusCode::SERVICE_UNAVAILABLE,
                "Too many logins at once; try again in a moment",
                counters::Refused::Busy,
                Duration::from_secs(1),
            ),
        }
    }
}
