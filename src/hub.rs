//! Asks a hub as its user: to join, for the next certificate, or to leave. One request of HTTPS on
//! a connection of its own, by the way that the tunnel goes.

use std::{path::Path, time::Duration};

use actix_rt::time::timeout;
use anyhow::{Context as _, Result, bail};
use awc::http::StatusCode;
use etherws_actors::{
    connect::{
        Route, Scheme, ServerUrl, certificate::Facts, files::read_certificates, http_client,
    },
    error::{clean, one_line},
};

use crate::{
    server::join::{Answer, Asked, url_of},
    users::ca::{ORGANIZATION, renewal},
};

/// For a whole request.
const TIME_LIMIT: Duration = Duration::from_secs(20);

/// Longest answer that is read, in octets: a chain has 2,000.
const MAX_ANSWER: usize = 64 * 1024;

/// What a hub has answered.
#[derive(Debug)]
pub(crate) enum Reply {
    /// It has certified the user: the chain in PEM.
    Certified(Answer, String),
    /// An operator has to approve the user first.
    Pending(Answer),
    /// The user is none any more.
    Left,
}

/// Asks the hub whose tunnel is at `tunnel`.
///
/// # Errors
/// It cannot be reached, or refuses: the text says why.
pub(crate) async fn ask(tunnel: &ServerUrl, route: &Route, asked: &Asked) -> Result<Reply> {
    let answered = timeout(TIME_LIMIT, send(tunnel, route, asked)).await;
    answered.unwrap_or_else(|_| bail!("{tunnel} has not answered within {TIME_LIMIT:?}"))
}

async fn send(tunnel: &ServerUrl, route: &Route, asked: &Asked) -> Result<Reply> {
    let url = ServerUrl::parse(&url_of(&tunnel.to_string()), Scheme::WebSocket)?;
    let (http, uri) = http_client(&url, route).await.map_err(|error| {
        let text = one_line(&error);
        // To pin the key that was shown would be what whoever stands in between wants.
        if !route.tls.pins.is_empty() && text.contains("pinned keys") {
            let text = "what answers there is not the hub that the link is from: its certificate is of another CA";
            return anyhow::Error::msg(format!("{tunnel}: {text}"));
        }
        error.into()
    })?;
    let request = http.post(uri).timeout(TIME_LIMIT).send_json(asked);
    let mut answer = match request.await {
        Ok(answer) => answer,
        Err(error) => bail!("{tunnel} has not answered: {}", clean(&error.to_string())),
    };
    let body = answer.body().limit(MAX_ANSWER).await;
    let body = body.map_err(|error| anyhow::Error::msg(one_line(&error)))?;
    let read = || serde_json::from_slice::<Answer>(&body);
    let foreign = || format!("{tunnel} is not an etherws hub, or a proxy in between answers");
    match answer.status() {
        StatusCode::NO_CONTENT => Ok(Reply::Left),
        StatusCode::ACCEPTED => Ok(Reply::Pending(read().with_context(foreign)?)),
        StatusCode::OK => {
            let mut answer = read().with_context(foreign)?;
            let chain = answer.certificate.take().with_context(foreign)?;
            Ok(Reply::Certified(answer, chain))
        }
        StatusCode::NOT_FOUND => bail!("{tunnel} invites nobody: it has no [users]"),
        status => {
            let said = clean(&String::from_utf8_lossy(&body));
            bail!("{tunnel} refuses (HTTP {}): {said}", status.as_u16())
        }
    }
}

/// For how long a certificate is valid that a hub has issued, in seconds of Unix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Validity {
    /// From when on it is to be renewed.
    pub(crate) renewal: i64,
    pub(crate) until: i64,
}

impl Validity {
    /// Of the first certificate in a file; `None` for one that no hub has issued.
    pub(crate) fn of_hub(path: &Path) -> Option<Self> {
        let chain = read_certificates(path).ok()?;
        let own = chain.first()?;
        let (_, parsed) = x509_parser::parse_x509_certificate(own).ok()?;
        let mut issuers = parsed.issuer().iter_organization();
        if !issuers.any(|name| name.as_str().is_ok_and(|name| name == ORGANIZATION)) {
            return None;
        }
        let Facts { from, until, .. } = Facts::of(own)?;
        Some(Self { renewal: renewal(from, until), until })
    }
}
