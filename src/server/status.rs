//! What control shows of the listeners: their counters, and who is there now. Reads
//! only.

use std::sync::Arc;

use super::{counters::ServerCounters, pending::Pending, sessions::Sessions};
use crate::rpc::{
    Refusal,
    entry::{Entries, Server},
    query::{Answer, Query},
};

/// All listeners of the program.
#[derive(Debug)]
pub(crate) struct Status {
    pub(crate) listeners: Vec<Listener>,
    pub(crate) sessions: Arc<Sessions>,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Listener {
    /// What it serves, as in the log.
    pub(crate) service: &'static str,
    pub(crate) counters: Arc<ServerCounters>,
    pub(crate) pending: Arc<Pending>,
}

impl Answer for Status {
    fn answer(&self, query: Query) -> Result<Entries, Refusal> {
        match query {
            Query::ShowServer => {
                Ok(Entries::Servers(self.listeners.iter().map(|one| self.show(one)).collect()))
            }
        }
    }
}

impl Status {
    fn show(&self, listener: &Listener) -> Server {
        let now = [
            ("connections", listener.pending.count()),
            // Sessions are the tunnel's, on whichever listener it is.
            ("sessions", if listener.service == "control" { 0 } else { self.sessions.count() }),
        ];
        let now = now.into_iter().map(|(name, count)| (name.to_owned(), count as u64));
        Server {
            service: listener.service.to_owned(),
            counters: now.chain(listener.counters.values()).collect(),
        }
    }
}
