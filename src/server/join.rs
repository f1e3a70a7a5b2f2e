//! Where invitations are redeemed and certificates renewed: one path on the tunnel's listener, by
//! POST. Who shows the secret of an invitation becomes a user; who shows the certificate of a user
//! gets the next one, or leaves. Guessing is slowed down as that of passwords is.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use actix::Addr;
use actix_web::{
    HttpResponse,
    http::{StatusCode, header},
    web::Bytes,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use etherws_actors::{
    error::one_line,
    monitor::{Event, Kind},
    switch::Switch,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use slog::{Logger, error, info};
use tokio::{sync::Semaphore, task::spawn_blocking};

use super::{
    auth::attempts::Attempts,
    endpoint::{Endpoint, at, revoke},
    guard::check_content_type,
    peer::ClientCertificate,
    refusal::{Refusal, Refused},
    request::Request,
    sessions::Sessions,
};
use crate::users::{ChangeError, Joined, Users, book::NoEntry, ca::Requested};

/// What follows the tunnel's path.
const PATH: &str = "/join";

/// Longest body of a request, in octets: ours have 700.
pub(super) const MAX_BODY: usize = 16 * 1024;

/// Whose failures are counted: a secret belongs to nobody who could be named.
const NOBODY: &str = "";

/// Whether `path` is that of invitations, on a listener with the tunnel at `tunnel`.
pub(super) fn is_at(path: &str, tunnel: &str) -> bool {
    path.strip_prefix(tunnel.trim_end_matches('/')) == Some(PATH)
}

/// The same of a URL of the tunnel.
pub(crate) fn url_of(tunnel: &str) -> String {
    format!("{}{PATH}", tunnel.trim_end_matches('/'))
}

/// What somebody asks for who joins, renews or leaves.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    /// Secret of an invitation, in base64 as the link has it. Without it the connection's
    /// certificate says who asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) secret: Option<String>,
    /// Request for a certificate (PKCS #10), PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) request: Option<String>,
    /// To be a user no longer.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) leave: bool,
}

impl Asked {
    /// To join by this secret.
    pub(crate) fn to_join(secret: &[u8], request: String) -> Self {
        let secret = Some(URL_SAFE_NO_PAD.encode(secret));
        Self { secret, request: Some(request), leave: false }
    }
}

/// What a user is told.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Answer {
    /// What the hub calls the user.
    pub(crate) name: String,
    /// What the hub is called.
    pub(crate) hub: String,
    /// The hub's own address of the LAN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) hub_address: Option<String>,
    /// The user's address of the LAN, with its prefix length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) address: Option<String>,
    /// Whether a DHCP server of the LAN gives addresses.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) dhcp: bool,
    /// The certificate, and behind it that of the hub's CA, PEM; without it an operator has to
    /// approve the user first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) certificate: Option<String>,
}

/// The service.
pub(crate) struct Join {
    users: Arc<Users>,
    sessions: Arc<Sessions>,
    switch: Addr<Switch>,
    attempts: Mutex<Attempts>,
    /// One secret is looked at after the other, so that each guess knows of those before it.
    turn: Semaphore,
    log: Logger,
}

impl Join {
    pub(crate) fn new(
        users: &Arc<Users>,
        sessions: &Arc<Sessions>,
        switch: &Addr<Switch>,
        log: &Logger,
    ) -> Self {
        Self {
            users: Arc::clone(users),
            sessions: Arc::clone(sessions),
            switch: switch.clone(),
            attempts: Mutex::default(),
            turn: Semaphore::new(1),
            log: log.clone(),
        }
    }

    /// The users.
    pub(super) fn users(&self) -> &Users {
        &self.users
    }

    /// Whether `request` may be read at all.
    ///
    /// # Errors
    /// It is of another type, or too many others have failed from where it comes.
    pub(super) fn check(&self, request: &Request<'_>) -> Result<(), Refusal> {
        check_content_type(&request.headers)?;
        self.check_attempts(request)
    }

    /// Whether nobody has failed too often where `request` comes from. Who shows the certificate of
    /// a user is no stranger.
    fn check_attempts(&self, request: &Request<'_>) -> Result<(), Refusal> {
        if self.user(request).is_some() {
            return Ok(());
        }
        let attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        let (source, now) = (request.peer.source(), Instant::now());
        let checked = attempts.check_user(source, NOBODY, now);
        checked.and_then(|()| attempts.check(source, now)).map_err(|wait| {
            let text = "Too many wrong invitations from this address; try again later";
            Refusal::later(Refused::RateLimited, text, wait)
        })
    }

    /// Carries out what was read.
    ///
    /// # Errors
    /// Nobody is let in; the refusal says why.
    pub(super) async fn answer(
        &self,
        endpoint: &Endpoint,
        request: &Request<'_>,
        body: Bytes,
    ) -> Result<HttpResponse, Refusal> {
        let wrong = |text: String| Refusal::request(StatusCode::BAD_REQUEST, text);
        let asked: Asked = serde_json::from_slice(&body)
            .map_err(|error| wrong(format!("The body is no such JSON: {error}")))?;
        let requested = asked.request.as_deref().map(Requested::read).transpose();
        let requested = requested.map_err(|error| wrong(one_line(&*error)))?;
        let now = Timestamp::now().as_second();
        let (what, done) = match (asked.secret, requested) {
            (Some(secret), Some(requested)) => {
                let secret = URL_SAFE_NO_PAD.decode(secret).unwrap_or_default();
                let users = Arc::clone(&self.users);
                let join = move || users.join(&secret, &requested, now);
                let _turn = self.turn.acquire().await;
                self.check_attempts(request)?;
                let done = spawn_blocking(join).await;
                if let Ok(Err(ChangeError::Refused(NoEntry::Unknown))) = &done {
                    self.fail(request);
                }
                ("joined", done)
            }
            (None, requested) => {
                let name = self.shown(request)?;
                if asked.leave {
                    return self.leave(endpoint, request, name).await;
                }
                let Some(requested) = requested else {
                    return Err(wrong("The request for a certificate is missing".to_owned()));
                };
                let users = Arc::clone(&self.users);
                let renew = move || users.renew(&name, &requested, now);
                ("renewed", spawn_blocking(renew).await)
            }
            (Some(_), None) => {
                return Err(wrong("The request for a certificate is missing".to_owned()));
            }
        };
        match done {
            Ok(Ok(joined)) => {
                let what = if joined.issued.is_some() { what } else { "pending" };
                // Who waits for an operator asks every few seconds.
                if joined.issued.is_some() || !joined.again {
                    self.tell(endpoint, request, &joined.name, what);
                }
                Ok(self.welcome(joined))
            }
            Ok(Err(ChangeError::Refused(why))) => Err(Self::refuse(why)),
            Ok(Err(ChangeError::System(error))) => {
                error!(self.log, "nobody can join: {}", one_line(&*error));
                Err(unavailable())
            }
            Err(_) => Err(unavailable()),
        }
    }

    /// The user whose certificate the client has shown.
    fn shown(&self, request: &Request<'_>) -> Result<String, Refusal> {
        self.user(request).ok_or_else(|| {
            self.fail(request);
            Self::refuse(NoEntry::Unknown)
        })
    }

    /// The same, if it has shown any.
    fn user(&self, request: &Request<'_>) -> Option<String> {
        let user = match &request.peer.certificate {
            ClientCertificate::Named(_, marks) => {
                marks.key().and_then(|key| self.users.of_key(key))
            }
            _ => None,
        };
        user.map(|(name, _)| name)
    }

    /// Notes that somebody has failed.
    fn fail(&self, request: &Request<'_>) {
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        attempts.fail(request.peer.source(), NOBODY, Instant::now());
    }

    async fn leave(
        &self,
        endpoint: &Endpoint,
        request: &Request<'_>,
        name: String,
    ) -> Result<HttpResponse, Refusal> {
        let (users, left) = (Arc::clone(&self.users), name.clone());
        let now = Timestamp::now().as_second();
        let written = spawn_blocking(move || users.revoke(&left, now)).await;
        revoke(&[name.as_str().into()], &self.sessions, &self.switch, &self.log);
        match written {
            Ok(Ok(())) => {
                self.tell(endpoint, request, &name, "left");
                Ok(HttpResponse::NoContent().finish())
            }
            _ => Err(unavailable()),
        }
    }

    fn tell(&self, endpoint: &Endpoint, request: &Request<'_>, name: &str, what: &str) {
        info!(self.log, "user {what}"; "user" => name, "peer" => %request.peer);
        let event = || Event::new(Kind::User).text("user", name).text("what", what);
        endpoint.monitor.tell(|| at(event(), request.peer));
    }

    fn welcome(&self, joined: Joined) -> HttpResponse {
        let policy = self.users.policy();
        let Joined { name, address, has_vlan, issued, .. } = joined;
        let status = if issued.is_some() { StatusCode::OK } else { StatusCode::ACCEPTED };
        let network = policy.pool.network;
        let own = policy.pool.taken.iter().find(|own| network.is_none_or(|net| net.contains(*own)));
        HttpResponse::build(status).insert_header((header::CACHE_CONTROL, "no-store")).json(
            Answer {
                name,
                hub: policy.name.clone(),
                // In a VLAN it may not be there.
                hub_address: own.filter(|_| !has_vlan).map(ToString::to_string),
                address,
                dhcp: policy.dhcp,
                certificate: issued.map(|issued| issued.chain),
            },
        )
    }

    fn refuse(why: NoEntry) -> Refusal {
        let text = match why {
            NoEntry::Unknown => "There is no such invitation, or no such user; ask for a new link",
            NoEntry::Expired => "The invitation has expired; ask for a new link",
            NoEntry::Used => "The invitation was used already; ask for a new link",
            NoEntry::Revoked => "The user was revoked; ask for a new link",
            NoEntry::KeyTaken => {
                "This key is that of a user already; remove join-*.key and join again"
            }
            NoEntry::Full => "The hub has as many users as it may have; ask its operator",
            NoEntry::NoAddress => "The hub has no address left to give; ask its operator",
            NoEntry::TooSoon => {
                let text = "The last certificate was issued a moment ago";
                return Refusal::later(Refused::RateLimited, text, Duration::from_secs(60));
            }
        };
        Refusal::new(Refused::Authentication, text).status(StatusCode::FORBIDDEN)
    }
}

fn unavailable() -> Refusal {
    Refusal::new(Refused::Busy, "The hub cannot process the request now; its log says why")
}

impl fmt::Debug for Join {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Join").field("users", &self.users).finish_non_exhaustive()
    }
}

/// Body of the fuzz target `join`.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(data: &[u8]) {
    use crate::users::{book::Book, link::Link};

    if let Ok(Asked { request: Some(request), .. }) = serde_json::from_slice(data)
        && let Ok(requested) = Requested::read(&request)
    {
        assert!(!requested.key().is_empty());
    }
    if let Ok(link) = Link::parse(&String::from_utf8_lossy(data)) {
        assert_eq!(Link::parse(&link.to_string()), Ok(link));
    }
    if let Ok(book) = Book::parse(data) {
        assert_eq!(Book::parse(book.to_text().as_bytes()), Ok(book));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invitations_are_redeemed_below_the_tunnel() {
        for (path, tunnel, wanted) in [
            ("/join", "/", true),
            ("/lan/join", "/lan", true),
            ("/lan/join", "/lan/", true),
            ("/join", "/lan", false),
            ("/lanjoin", "/lan", false),
            ("/join/", "/", false),
        ] {
            assert_eq!(is_at(path, tunnel), wanted, "{path} {tunnel}");
        }
        assert_eq!(url_of("wss://h:8443/lan/"), "wss://h:8443/lan/join");
        assert_eq!(url_of("wss://h/"), "wss://h/join");
    }
}
