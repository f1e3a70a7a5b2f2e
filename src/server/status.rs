//! What control is told of the listeners: their counters, and who is there now; and what
//! it makes for them, tokens.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use etherws_actors::{control::Control, monitor::Monitor};
use futures_util::future::LocalBoxFuture;
use jiff::Timestamp;

use super::{
    auth::Tokens,
    capture,
    certificates::{self, Certificates},
    counters::ServerCounters,
    events,
    operation::{Operation, Operations},
    pending::Pending,
    sessions::Sessions,
};
use crate::{
    api::{
        call::Service,
        program::{Certificate, Server, Token},
    },
    capture::Capture,
    config::Change,
    hosts::{HostInfo, Hosts},
    refusal::Refusal,
};

/// All listeners of the program.
#[derive(Debug)]
pub(crate) struct Status {
    pub(crate) listeners: Mutex<Vec<Listener>>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) operations: Operations,
    pub(crate) monitor: Monitor,
    /// When the program began to serve.
    pub(crate) started: Timestamp,
    pub(crate) control: Control,
    /// When they end.
    pub(crate) certificates: Arc<Certificates>,
    /// `None`: nobody looks for hosts.
    pub(crate) hosts: Option<Hosts>,
}

/// One of them.
#[derive(Debug, Clone)]
pub(crate) struct Listener {
    /// What it serves, as in the log.
    pub(crate) service: &'static str,
    pub(crate) counters: Arc<ServerCounters>,
    pub(crate) pending: Arc<Pending>,
}

impl Service for Status {
    fn hosts(&self) -> LocalBoxFuture<'_, Result<Vec<HostInfo>, Refusal>> {
        Box::pin(async {
            let hosts = self.hosts.as_ref().ok_or_else(|| {
                Refusal::runtime("no list of hosts is kept: start the switch without --no-hosts")
            })?;
            Ok(hosts.list(&self.control).await?)
        })
    }

    fn servers(&self) -> Vec<Server> {
        let listeners = self.listeners();
        let listeners = listeners.iter().map(|one| self.show(one));
        let hosts = self.hosts.as_ref().map(|hosts| Server {
            service: "hosts".to_owned(),
            counters: hosts.counters().map(|(name, n)| (name.to_owned(), n)).into(),
        });
        listeners.chain(hosts).collect()
    }

    fn certificates(&self) -> Vec<Certificate> {
        let show = |one: certificates::Certificate| Certificate {
            file: one.file.display().to_string(),
            expires: one.ends().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            subject: one.subject,
        };
        self.certificates.list().into_iter().map(show).collect()
    }

    fn create_token(&self, user: &str, ttl: Duration) -> Result<Token, Refusal> {
        let token = self.tokens.create(user.into(), ttl, Instant::now());
        let token = token.map_err(|error| Refusal::runtime(error.to_string()))?;
        let expires = Timestamp::now().checked_add(ttl).unwrap_or(Timestamp::MAX);
        let expires = expires.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        Ok(Token { token, user: user.to_owned(), expires })
    }

    fn reload(&self) -> LocalBoxFuture<'_, Result<Vec<Change>, Refusal>> {
        Box::pin(self.operations.request(Operation::Reload))
    }

    fn save(&self) -> LocalBoxFuture<'_, Result<Vec<Change>, Refusal>> {
        Box::pin(self.operations.request(Operation::Save))
    }

    fn events(&self) -> String {
        events::PATH.to_owned()
    }

    fn capture<'a>(&'a self, what: &'a Capture) -> LocalBoxFuture<'a, Result<String, Refusal>> {
        Box::pin(async {
            let what = capture::resolve(&self.control, what.clone()).await?;
            Ok(format!("{}?{}", capture::PATH, what.to_query()))
        })
    }
}

impl Status {
    /// What listens now.
    pub(crate) fn listeners(&self) -> Vec<Listener> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Others listen from now on.
    pub(crate) fn set_listeners(&self, listeners: Vec<Listener>) {
        *self.listeners.lock().unwrap_or_else(PoisonError::into_inner) = listeners;
    }

    fn show(&self, listener: &Listener) -> Server {
        let now = [
            ("connections", listener.pending.count()),
            // Sessions are the tunnel's, on whichever listener it is.
            (
                "sessions",
                if !listener.service.contains("tunnel") { 0 } else { self.sessions.count() },
            ),
        ];
        let now = now.into_iter().map(|(name, count)| (name.to_owned(), count as u64));
        Server {
            service: listener.service.to_owned(),
            counters: now.chain(listener.counters.values()).collect(),
        }
    }
}
