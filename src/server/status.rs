//! What control is told of the listeners: their counters, and who is there now; and what
//! it makes for them, tokens.

use std::{
    collections::{BTreeSet, HashMap},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use etherws_actors::{
    control::Control,
    error::is_harmful,
    frame::MacAddr,
    kinds::PortSpec,
    monitor::{Event, Kind, Monitor},
};
use futures_util::future::LocalBoxFuture;
use jiff::Timestamp;
use nix::{
    sys::signal::{Signal, raise},
    unistd::gethostname,
};
use slog::{Logger, info};

use super::{
    auth::{Gate, Identity, Tokens},
    capture,
    certificates::{self, Certificates},
    counters::ServerCounters,
    endpoint::revoke,
    events,
    journal::Journal,
    operation::{Operation, Operations},
    pending::Pending,
    sessions::Sessions,
};
use crate::{
    api::{
        PortReport,
        audit::Audit,
        call::Service,
        doctor::Finding,
        program::{Certificate, Server, Token},
        status::{ListenerInfo, Overview},
    },
    capture::Capture,
    config::Change,
    hosts::{HostInfo, Hosts},
    options::Roles,
    refusal::Refusal,
    users::Users,
};

/// Time for the answer that the switch ends.
const FAREWELL: Duration = Duration::from_millis(50);

/// Looks for what keeps a port from working.
pub(crate) type Examine = fn(PortReport, Option<PortSpec>) -> LocalBoxFuture<'static, Vec<Finding>>;

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
    /// MAC address of the switch in protocols.
    pub(crate) mac: MacAddr,
    /// What looks at a port.
    pub(crate) examine: Examine,
    /// Who may do what by control.
    pub(crate) roles: Mutex<Arc<Roles>>,
    pub(crate) log: Logger,
    pub(crate) journal: Arc<Journal>,
    /// Its configuration file.
    pub(crate) configuration: Option<PathBuf>,
    pub(crate) control: Control,
    /// When they end.
    pub(crate) certificates: Arc<Certificates>,
    /// `None`: nobody looks for hosts.
    pub(crate) hosts: Option<Hosts>,
    /// `None`: nobody is invited.
    pub(crate) users: Option<Arc<Users>>,
}

/// One of them.
#[derive(Debug, Clone)]
pub(crate) struct Listener {
    /// What it serves, as in the log.
    pub(crate) service: &'static str,
    /// As control shows it.
    pub(crate) info: ListenerInfo,
    pub(crate) counters: Arc<ServerCounters>,
    pub(crate) pending: Arc<Pending>,
    /// Whom its tunnel lets in, if it has one.
    pub(crate) tunnel: Option<Arc<Gate>>,
}

/// Name of this machine, empty if it has none.
pub(crate) fn host_name() -> String {
    gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

impl Service for Status {
    fn audit(&self, audit: &Audit<'_>) {
        let Audit { caller, method, params, before, after, outcome, denied } = audit;
        let (user, from) = (&caller.name, &caller.from);
        // They hold what a caller has typed.
        let [params, before, after, outcome] =
            [params, before, after, outcome].map(|text| text.replace(is_harmful, "\u{fffd}"));
        self.monitor.tell(|| {
            let event = Event::new(Kind::Control).of_guest(*denied);
            let event = event
                .text("user", user)
                .text("from", from)
                .text("method", method)
                .text("params", &params);
            event.text("before", &before).text("after", &after).text("outcome", &outcome)
        });
        if *denied {
            return self.journal.denied(from, user, &format!("{method}: {outcome}"));
        }
        info!(self.log, "control"; "user" => user, "from" => from, "method" => method,
            "params" => params, "before" => before, "after" => after, "outcome" => outcome);
    }

    fn hosts(&self) -> LocalBoxFuture<'_, Result<Vec<HostInfo>, Refusal>> {
        Box::pin(async {
            let hosts = self.hosts.as_ref().ok_or_else(|| {
                Refusal::runtime("no list of hosts is kept: start the switch without --no-hosts")
            })?;
            Ok(hosts.list(&self.control).await?)
        })
    }

    fn examine(
        &self,
        port: PortReport,
        spec: Option<PortSpec>,
    ) -> LocalBoxFuture<'_, Vec<Finding>> {
        (self.examine)(port, spec)
    }

    fn overview(&self) -> Overview {
        let uptime = Timestamp::now().duration_since(self.started).as_secs();
        Overview {
            host: host_name(),
            mac: self.mac.to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started: self.started.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            uptime: u64::try_from(uptime).unwrap_or(0),
            configuration: self.configuration.as_ref().map(|path| path.display().to_string()),
            listeners: self.listeners().into_iter().map(|one| one.info).collect(),
            ports: Vec::new(),
        }
    }

    fn recent_events(&self) -> Vec<Arc<Event>> {
        self.monitor.history()
    }

    fn stop(&self) {
        actix_rt::spawn(async {
            tokio::time::sleep(FAREWELL).await;
            // That it is there is certain: it is this process.
            let _ = raise(Signal::SIGTERM);
        });
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
        let shown = |time: Timestamp| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let show = |one: certificates::Certificate| Certificate {
            expires: shown(one.ends()),
            renewal: self.certificates.renewal(&one.file).map(shown),
            file: one.file.display().to_string(),
            subject: one.subject,
        };
        self.certificates.list().into_iter().map(show).collect()
    }

    fn create_token(&self, user: &str, ttl: Duration) -> Result<Token, Refusal> {
        let token = self.tokens.create(user.into(), ttl, Instant::now());
        let token = token.map_err(|error| Refusal::runtime(error.to_string()))?;
        let expires = Timestamp::now().checked_add(ttl).unwrap_or(Timestamp::MAX);
        let expires = expires.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let gates: Vec<_> = self.listeners().iter().filter_map(|one| one.tunnel.clone()).collect();
        let knows = |gate: &Arc<Gate>| gate.knows(&Identity::new("token", user.into()));
        let note = if gates.is_empty() {
            Some("there is no tunnel listener where it could be used".to_owned())
        } else {
            (!gates.iter().any(knows)).then(|| {
                format!("{user} is not a user of the tunnel; the token opens one all the same")
            })
        };
        Ok(Token { token, user: user.to_owned(), expires, note })
    }

    fn users(&self) -> Result<Arc<Users>, Refusal> {
        self.users.clone().ok_or_else(|| {
            Refusal::runtime(
                "this switch invites nobody: etherws init makes a hub, whose configuration has \
                 the table [users]",
            )
        })
    }

    fn password_users(&self) -> Vec<String> {
        let gates = self.listeners().into_iter().filter_map(|one| one.tunnel);
        let users = gates.flat_map(|gate| gate.users());
        users.map(String::from).collect::<BTreeSet<_>>().into_iter().collect()
    }

    fn role_names(&self) -> Vec<String> {
        self.roles().lists.iter().flat_map(|(_, names)| names.clone()).collect()
    }

    fn sessions(&self) -> HashMap<Arc<str>, usize> {
        self.sessions.of_users()
    }

    fn end_sessions(&self, user: &str) {
        revoke(&[user.into()], &self.sessions, self.control.switch(), &self.log);
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
    /// Who may do what, now.
    pub(crate) fn roles(&self) -> Arc<Roles> {
        Arc::clone(&self.roles.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Others may do other things from now on.
    pub(crate) fn set_roles(&self, roles: Roles) {
        *self.roles.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(roles);
    }

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
