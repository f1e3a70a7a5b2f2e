//! What control is told of the listeners: their counters, and who is there now; and what
//! it makes for them, tokens.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use etherws_actors::{control::Control, monitor::Monitor};
use jiff::Timestamp;

use super::{
    auth::Tokens,
    capture,
    counters::ServerCounters,
    events,
    order::{Order, Orders},
    pending::Pending,
    sessions::Sessions,
};
use crate::{
    api::{
        entry::{Entries, Host, Server, Stream, Token},
        query::{Answer, Query},
    },
    hosts::Hosts,
    refusal::Refusal,
};

/// All listeners of the program.
#[derive(Debug)]
pub(crate) struct Status {
    pub(crate) listeners: Mutex<Vec<Listener>>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) orders: Orders,
    pub(crate) monitor: Monitor,
    /// When the program began to serve.
    pub(crate) started: Timestamp,
    pub(crate) control: Control,
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

impl Answer for Status {
    async fn answer(&self, query: Query) -> Result<Entries, Refusal> {
        match query {
            Query::ListHosts => {
                let hosts = self.hosts.as_ref().ok_or_else(|| {
                    let text = "no list of hosts is kept: start the switch without --no-hosts";
                    Refusal::runtime(text.to_owned())
                })?;
                let ended = |error| Refusal::runtime(format!("the switch: {error}"));
                let list = hosts.list().await.map_err(ended)?;
                Ok(Entries::Hosts(list.into_iter().map(Host::from).collect()))
            }
            Query::ShowServer => {
                let listeners = self.listeners();
                let listeners = listeners.iter().map(|one| self.show(one));
                let hosts = self.hosts.as_ref().map(|hosts| Server {
                    service: "hosts".to_owned(),
                    counters: hosts.counters().map(|(name, n)| (name.to_owned(), n)).into(),
                });
                Ok(Entries::Servers(listeners.chain(hosts).collect()))
            }
            Query::Monitor => Ok(Entries::Streams(vec![Stream { path: events::PATH.to_owned() }])),
            Query::Capture(what) => {
                capture::check(&self.control, &what).await?;
                let path = format!("{}?{}", capture::PATH, what.to_query());
                Ok(Entries::Streams(vec![Stream { path }]))
            }
            Query::Reload => self.orders.give(Order::Reload).await.map(Entries::Changes),
            Query::Save => self.orders.give(Order::Save).await.map(Entries::Changes),
            Query::CreateToken { user, ttl } => {
                let token = self
                    .tokens
                    .create(Arc::clone(&user), ttl, Instant::now())
                    .map_err(|error| Refusal::runtime(error.to_string()))?;
                let expires = Timestamp::now().checked_add(ttl).unwrap_or(Timestamp::MAX);
                let expires = expires.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
                Ok(Entries::Tokens(vec![Token { token, user: user.to_string(), expires }]))
            }
        }
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
