//! The listeners of the program: each can be opened, changed and stopped by itself while
//! the others go on. What is established goes on in any case: a session is a port.
//!
//! A listener is its address. One that is to serve something else is replaced whole, on
//! the sockets that it has; its connections that are no session yet end with the request
//! at hand. Never changes anything before all that may fail has been done.

use std::{
    mem,
    net::TcpListener as StdListener,
    path::PathBuf,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use actix::Addr;
use actix_rt::{ArbiterHandle, net::TcpListener};
use anyhow::{Context as _, Result, bail};
use etherws_actors::{
    connect::tcp,
    control::Control,
    error::one_line,
    monitor::{Event, Kind},
    switch::Switch,
};
use nix::unistd::User;
use slog::{Logger, error, info, o, warn};

use super::{
    specs::{ListenerSpec, listener_specs},
    task::Task,
};
use crate::{
    acme::challenges::Challenges,
    api::status::ListenerInfo,
    config::Action,
    config::Sw,
    files::{Reload, Watch},
    options::{Proxies, TlsFiles},
    server::{
        self,
        auth::{self, Access, Authenticator, Gate},
        counters::ServerCounters,
        endpoint::{ControlService, Endpoint, TunnelService, revoke, revoke_unproven},
        guard::Guard,
        health::Health,
        join::Join,
        journal::Journal,
        listen,
        pending::Pending,
        reserve::Reserve,
        status::{Listener, Status},
        tls::Tls,
        unix,
        upgrade::Handshake,
    },
    service::Inherited,
};

/// Sockets of a listener: one for each of its addresses.
pub(super) type Sockets = Vec<Arc<StdListener>>;

/// A listener with its sockets, which nobody accepts from yet.
#[derive(Debug)]
pub(super) struct Bound {
    spec: ListenerSpec,
    sockets: Sockets,
}

/// The sockets of all listeners that `options` ask for: of those that were inherited what
/// serves the same, all others are opened. And control's Unix socket, which `account` is to own.
///
/// # Errors
/// An address cannot be listened on, or an inherited socket is for what is not served.
pub(super) fn open(
    options: &Sw,
    mut inherited: Inherited,
    account: Option<&User>,
) -> Result<(Vec<Bound>, Option<unix::Listener>)> {
    let mut all = Vec::new();
    for spec in listener_specs(options) {
        let of_tunnel = spec.tunnel.is_some();
        let sockets = if of_tunnel { &mut inherited.tunnel } else { &mut inherited.control };
        all.push(if sockets.is_empty() {
            bind(&spec)?
        } else {
            Bound { spec, sockets: sockets.drain(..).map(Arc::new).collect() }
        });
    }
    for (name, left) in [("tunnel", inherited.tunnel), ("control", inherited.control)] {
        if !left.is_empty() {
            bail!(
                "a socket called {name:?} was inherited, but the configuration has no {name} \
                 listener on TCP; add the table [{name}], or disable the socket unit"
            );
        }
    }
    let socket = match inherited.control_socket {
        Some(socket) => Some(unix::adopt(socket)?),
        None => options
            .control_socket
            .as_deref()
            .map(|path| unix::bind_for(path, account))
            .transpose()?,
    };
    Ok((all, socket))
}

/// Opens a listener's sockets. The one place where TCP listeners get theirs.
///
/// # Errors
/// The address cannot be listened on.
pub(super) fn bind(spec: &ListenerSpec) -> Result<Bound> {
    let sockets = listen::bind(&spec.host, spec.port)?.into_iter().map(Arc::new).collect();
    Ok(Bound { spec: spec.clone(), sockets })
}

/// What all listeners share.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    pub(super) switch: Addr<Switch>,
    pub(super) control: Control,
    pub(super) status: Arc<Status>,
    /// Arbiters besides this one that connections are spread over.
    pub(super) arbiters: Vec<ArbiterHandle>,
    pub(super) descriptors: usize,
    /// Reverse proxies before control's Unix socket.
    pub(super) socket_proxies: Proxies,
    pub(super) reserve: Arc<Reserve>,
    pub(super) journal: Arc<Journal>,
    pub(super) health: Arc<Health>,
    /// What CAs are shown that ask for a proof.
    pub(super) challenges: Arc<Challenges>,
    /// Where invitations are redeemed, if anybody is invited.
    pub(super) join: Option<Arc<Join>>,
    /// Asks for files to be read again.
    pub(super) reload: Reload,
    pub(super) log: Logger,
}

/// What was read from files, and is read again when they change for as long as it is
/// kept.
#[derive(Debug)]
struct Watched<T: ?Sized> {
    value: Arc<T>,
    files: Vec<PathBuf>,
    _watching: Option<Task>,
}

/// What a listener has read from files; of these, what the next one reads as well.
#[derive(Debug)]
struct Files {
    tls: Option<Arc<Watched<Tls>>>,
    tunnel: Ways,
    control: Ways,
}

/// The ways of authentication of a service, step by step.
type Ways = Vec<Vec<Arc<Watched<dyn Authenticator>>>>;

/// All that listens.
#[derive(Debug)]
pub(super) struct Listeners {
    shared: Shared,
    tcp: Vec<Tcp>,
    unix: Option<Unix>,
}

/// A TCP listener at work.
#[derive(Debug)]
struct Tcp {
    bound: Bound,
    files: Files,
    endpoint: Arc<Endpoint>,
    accepting: Vec<Task>,
}

impl Tcp {
    /// Closes its sockets, and gives what it was.
    async fn stop(self) -> ListenerSpec {
        for task in self.accepting {
            task.end().await;
        }
        self.bound.spec
    }
}

/// A Unix socket at work.
#[derive(Debug)]
struct Unix {
    path: PathBuf,
    inherited: bool,
    endpoint: Arc<Endpoint>,
    _accepting: Task,
}

/// A TCP listener of which all is open, and that was not started.
struct Prepared {
    bound: Bound,
    files: Files,
    handshake: Arc<Handshake>,
}

impl Listeners {
    /// None yet.
    pub(super) fn new(shared: Shared) -> Self {
        Self { shared, tcp: Vec::new(), unix: None }
    }

    /// Starts what listens, on sockets that are open.
    ///
    /// # Errors
    /// A file cannot be used; nothing was started.
    pub(super) fn start(
        &mut self,
        bound: Vec<Bound>,
        socket: Option<unix::Listener>,
    ) -> Result<()> {
        let prepared = bound.into_iter().map(|bound| self.prepare(bound));
        let prepared = prepared.collect::<Result<Vec<_>>>()?;
        for prepared in prepared {
            let started = self.start_tcp(prepared, None)?;
            self.tcp.push(started);
        }
        self.unix = socket.map(|socket| self.start_unix(socket)).transpose()?;
        self.show();
        Ok(())
    }

    /// Makes these the listeners. One that is to stay as it is, is left alone; one whose
    /// address stays keeps its sockets and its counters. Gives what was done.
    ///
    /// # Errors
    /// A file or an address cannot be used; nothing was changed.
    pub(super) async fn change(
        &mut self,
        specs: Vec<ListenerSpec>,
        path: Option<PathBuf>,
    ) -> Result<Vec<(Action, String)>> {
        let former_gate = self.tunnel_gate();
        let has_path = match &self.unix {
            // Its place is the service manager's to say.
            Some(unix) if unix.inherited => true,
            unix => unix.as_ref().map(|unix| &unix.path) == path.as_ref(),
        };
        let new_path = path.as_deref().filter(|_| !has_path);
        let socket = new_path.map(unix::bind).transpose()?;
        let mut rivals = Vec::new();
        let prepared = match self.prepare_all(&specs, &mut rivals).await {
            Ok(prepared) => prepared,
            Err(error) => {
                for rival in rivals {
                    self.restore(rival);
                }
                return Err(error);
            }
        };
        let (started, unix) = match self.start_all(prepared, socket) {
            Ok(started) => started,
            Err(error) => {
                for rival in rivals {
                    self.restore(rival);
                }
                return Err(error);
            }
        };
        // Nothing fails from here on.
        let mut done: Vec<_> = rivals.iter().map(|gone| (Action::Deleted, gone.item())).collect();
        for new in started {
            let former = self.at(&new.bound.spec);
            let action = if former.is_some() { Action::Changed } else { Action::Added };
            done.push((action, new.bound.spec.item()));
            match former {
                Some(at) => {
                    let former = mem::replace(&mut self.tcp[at], new);
                    former.endpoint.retired.store(true, Relaxed);
                }
                None => self.tcp.push(new),
            }
        }
        self.tcp.retain(|tcp| {
            let stays = specs.iter().any(|spec| spec.is_at(&tcp.bound.spec));
            if !stays {
                tcp.endpoint.retired.store(true, Relaxed);
                done.push((Action::Deleted, tcp.bound.spec.item()));
            }
            stays
        });
        if !has_path {
            let item = |path: &PathBuf| format!("control on {}", path.display());
            if let Some(former) = self.unix.take() {
                former.endpoint.retired.store(true, Relaxed);
                done.push((Action::Deleted, item(&former.path)));
            }
            done.extend(path.iter().map(|path| (Action::Added, item(path))));
            self.unix = unix;
        }
        self.revoke(former_gate.as_deref());
        self.show();
        Ok(done)
    }

    /// Starts what was prepared, all of it or nothing: what has been started goes with an error.
    fn start_all(
        &self,
        prepared: Vec<Prepared>,
        socket: Option<unix::Listener>,
    ) -> Result<(Vec<Tcp>, Option<Unix>)> {
        let mut started = Vec::new();
        for new in prepared {
            let former = self.at(&new.bound.spec);
            let endpoint = former.map(|at| Arc::clone(&self.tcp[at].endpoint));
            started.push(self.start_tcp(new, endpoint.as_deref())?);
        }
        Ok((started, socket.map(|socket| self.start_unix(socket)).transpose()?))
    }

    /// Opens what changed or new listeners need. `rivals` are those that had to be stopped
    /// because others want their addresses.
    async fn prepare_all(
        &mut self,
        all: &[ListenerSpec],
        rivals: &mut Vec<ListenerSpec>,
    ) -> Result<Vec<Prepared>> {
        let mut prepared = Vec::new();
        for spec in all {
            let bound = match self.at(spec) {
                Some(at) if self.tcp[at].bound.spec == *spec => continue,
                Some(at) => {
                    Bound { spec: spec.clone(), sockets: self.tcp[at].bound.sockets.clone() }
                }
                None => match bind(spec) {
                    Ok(bound) => bound,
                    Err(error) => {
                        let rival = self.tcp.iter().position(|tcp| {
                            let own = &tcp.bound.spec;
                            own.port == spec.port && !all.iter().any(|one| one.is_at(own))
                        });
                        let Some(at) = rival else { return Err(error) };
                        rivals.push(self.tcp.remove(at).stop().await);
                        bind(spec)?
                    }
                },
            };
            prepared.push(self.prepare(bound)?);
        }
        Ok(prepared)
    }

    /// Opens again what was stopped for another one that did not come.
    fn restore(&mut self, spec: ListenerSpec) {
        let started = match bind(&spec).and_then(|bound| self.prepare(bound)) {
            Ok(prepared) => self.start_tcp(prepared, None),
            Err(error) => Err(error),
        };
        match started {
            Ok(started) => self.tcp.push(started),
            Err(error) => {
                error!(self.shared.log, "{} is lost: {}", spec.item(), one_line(&*error));
            }
        }
        self.show();
    }

    fn at(&self, spec: &ListenerSpec) -> Option<usize> {
        self.tcp.iter().position(|tcp| tcp.bound.spec.is_at(spec))
    }

    /// What lets in tunnels.
    fn tunnel_gate(&self) -> Option<Arc<Gate>> {
        let mut tunnels = self.tcp.iter().filter_map(|tcp| tcp.endpoint.tunnel.as_ref());
        tunnels.next().map(|tunnel| Arc::clone(&tunnel.gate))
    }

    /// Ends the sessions of users whom the gate does not know as the `former` one did, and of
    /// those who have not shown what it asks for.
    fn revoke(&self, former: Option<&Gate>) {
        let Shared { status, switch, log, .. } = &self.shared;
        let Some(gate) = self.tunnel_gate() else { return };
        let gone = gate.strangers(former.map(Gate::users).unwrap_or_default());
        revoke(&gone, &status.sessions, switch, log);
        revoke_unproven(&gate, &status.sessions, switch, log);
    }

    /// Opens the files of a listener, save those that one at work has open.
    fn prepare(&self, bound: Bound) -> Result<Prepared> {
        let Shared { log, switch, status, .. } = &self.shared;
        let spec = &bound.spec;
        for socket in &bound.sockets {
            // Also back to what the kernel finds, which is 0.
            tcp::set_mss(&**socket, spec.mss.unwrap_or(0)).context("mss cannot be set")?;
        }
        let local = spec.is_local_only(&bound.sockets, log)?;
        if spec.is_open(&bound.sockets) {
            warn!(log, "anyone who can reach the tunnel listener can join the LAN: give it \
                passwords with htpasswd, ask for certificates with client-ca, or bind it to \
                127.0.0.1 with host"; "listener" => spec.item());
        }
        let allowed_origins = spec.tunnel.iter().flat_map(|tunnel| tunnel.allowed_origins.clone());
        let wire = spec.tunnel.as_ref().map(|tunnel| tunnel.wire).unwrap_or_default();
        let max_links = spec.tunnel.as_ref().map_or(1, |tunnel| tunnel.max_links);
        let allowed_origins = allowed_origins.collect();
        let handshake = Arc::new(Handshake { allowed_origins, wire, max_links });
        let certificate = spec.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
        let revoked = spec.tls.as_ref().and_then(|tls| tls.revoked.as_ref());
        let users = status.users.as_ref().filter(|_| certificate);
        let of_tunnel = spec.tunnel.as_ref().map(|tunnel| Access {
            certificate,
            revoked,
            htpasswd: tunnel.htpasswd.as_ref(),
            local: false,
            tokens: Some((&status.tokens, &handshake)),
            users,
        });
        let of_control = spec.control.as_ref().map(|control| Access {
            certificate,
            revoked,
            htpasswd: control.htpasswd.as_ref(),
            local,
            tokens: None,
            users,
        });
        let (sessions, to) = (Arc::clone(&status.sessions), (switch.clone(), log.clone()));
        let reload_tunnel = move |way: &(dyn Authenticator + 'static)| {
            revoke(&auth::reload(way), &sessions, &to.0, &to.1);
        };
        let certificates = |files: &TlsFiles| {
            let at_work = self.tcp.iter().filter_map(|tcp| tcp.files.tls.as_ref());
            let challenges = &self.shared.challenges;
            let open = || {
                let tls = Tls::open(files.clone(), log)?;
                Ok(Arc::new(tls.with_challenges(challenges)))
            };
            self.watched(files.paths(), at_work, open, Tls::reload)
        };
        let files = Files {
            tls: spec.tls.as_ref().map(certificates).transpose()?,
            tunnel: self.ways(of_tunnel, |files| &files.tunnel, reload_tunnel)?,
            // A request of control is over before its user could be removed.
            control: self.ways(of_control, |files| &files.control, |way| way.reload())?,
        };
        Ok(Prepared { bound, files, handshake })
    }

    /// Opens the ways of a service, save those that a listener at work has open in `open`.
    fn ways(
        &self,
        access: Option<Access<'_>>,
        open: fn(&Files) -> &Ways,
        reload: impl Fn(&(dyn Authenticator + 'static)) + Clone + Send + 'static,
    ) -> Result<Ways> {
        let way = |spec: auth::Spec<'_>| {
            let at_work = self.tcp.iter().flat_map(|tcp| open(&tcp.files).iter().flatten());
            self.watched(spec.files, at_work, || (spec.open)(&self.shared.log), reload.clone())
        };
        let steps = access.iter().flat_map(Access::steps);
        steps.map(|ways| ways.into_iter().map(way).collect()).collect()
    }

    /// What is read from `files`: of `at_work` what reads the same, or else what `open` gives,
    /// with `reload` for when they change.
    fn watched<'a, T: ?Sized + Send + Sync + 'static>(
        &self,
        files: Vec<PathBuf>,
        mut at_work: impl Iterator<Item = &'a Arc<Watched<T>>>,
        open: impl FnOnce() -> Result<Arc<T>>,
        reload: impl Fn(&T) + Send + 'static,
    ) -> Result<Arc<Watched<T>>> {
        let Some(first) = files.first().cloned() else {
            return Ok(Arc::new(Watched { value: open()?, files, _watching: None }));
        };
        if let Some(open) = at_work.find(|open| open.files == files) {
            return Ok(Arc::clone(open));
        }
        let Shared { reload: asked, status, .. } = &self.shared;
        let watch = Watch::new(files.clone());
        let value = open()?;
        let (loaded, monitor) = (Arc::clone(&value), status.monitor.clone());
        let watching = Task::spawn(watch.run(asked.subscribe(), move |_| {
            reload(&loaded);
            monitor.tell(|| Event::new(Kind::Reload).text("file", first.display()));
        }));
        Ok(Arc::new(Watched { value, files, _watching: Some(watching) }))
    }

    /// Accepts from a listener's sockets; what `former` has counted it goes on counting.
    fn start_tcp(&self, prepared: Prepared, former: Option<&Endpoint>) -> Result<Tcp> {
        let Prepared { bound, files, handshake } = prepared;
        let shared = &self.shared;
        let counters = former.map_or_else(Arc::default, |former| Arc::clone(&former.counters));
        let pending = former.map_or_else(
            || Pending::new(shared.descriptors, Arc::clone(&counters)),
            |former| Arc::clone(&former.pending),
        );
        let gate = |ways: &Ways| {
            let value = |way: &Arc<Watched<dyn Authenticator>>| Arc::clone(&way.value);
            let steps = ways.iter().map(|step| step.iter().map(value).collect());
            Arc::new(Gate::new(steps.collect()).with_users(shared.status.users.as_ref()))
        };
        let tls = files.tls.as_ref().map(|tls| Arc::clone(&tls.value));
        let endpoint = Arc::new(Endpoint {
            tls: tls.is_some(),
            tunnel: bound.spec.tunnel.as_ref().map(|spec| TunnelService {
                path: spec.path.clone(),
                gate: gate(&files.tunnel),
                handshake,
                sessions: Arc::clone(&shared.status.sessions),
                switch: shared.switch.clone(),
                health: Arc::clone(&shared.health),
                join: shared.join.clone(),
            }),
            control: bound.spec.control.as_ref().map(|spec| ControlService {
                path: spec.path.clone(),
                guard: Guard { names: spec.names.clone() },
                gate: gate(&files.control),
                control: shared.control.clone(),
                status: Arc::clone(&shared.status),
            }),
            pending,
            proxies: bound.spec.proxies.clone(),
            reserve: Arc::clone(&shared.reserve),
            journal: Arc::clone(&shared.journal),
            counters,
            monitor: shared.status.monitor.clone(),
            log: shared.log.clone(),
            retired: false.into(),
        });
        let log = shared.log.new(o!("service" => bound.spec.service()));
        let is_tls = endpoint.tls;
        let workers = server::start(&endpoint, tls, &shared.arbiters);
        let mut accepting = Vec::new();
        for socket in &bound.sockets {
            let address = socket.local_addr().context("listening socket without address")?;
            let socket = socket.try_clone().and_then(TcpListener::from_std);
            let socket = socket.with_context(|| format!("cannot accept on {address}"))?;
            info!(log, "listening"; "address" => %address, "tls" => is_tls);
            let accept =
                listen::accept(socket, workers.clone(), Arc::clone(&endpoint), log.clone());
            accepting.push(Task::spawn(accept));
        }
        Ok(Tcp { bound, files, endpoint, accepting })
    }

    fn start_unix(&self, socket: unix::Listener) -> Result<Unix> {
        let shared = &self.shared;
        let counters = Arc::new(ServerCounters::default());
        let endpoint = Arc::new(Endpoint {
            tls: false,
            tunnel: None,
            control: Some(ControlService {
                path: unix::CONTROL_PATH.to_owned(),
                guard: Guard::default(),
                gate: Arc::new(Gate::local()),
                control: shared.control.clone(),
                status: Arc::clone(&shared.status),
            }),
            pending: Pending::new(shared.descriptors, Arc::clone(&counters)),
            counters,
            proxies: shared.socket_proxies.clone(),
            reserve: Arc::clone(&shared.reserve),
            journal: Arc::clone(&shared.journal),
            monitor: shared.status.monitor.clone(),
            log: shared.log.clone(),
            retired: false.into(),
        });
        let (path, inherited) = (socket.path().to_owned(), socket.is_inherited());
        info!(shared.log, "listening"; "service" => "control", "socket" => %path.display());
        let (serve, log) = (socket.serve(Arc::clone(&endpoint))?, shared.log.clone());
        let _accepting = Task::spawn(async move {
            if let Err(error) = serve.await {
                warn!(log, "control's socket is not served: {}", one_line(&*error));
            }
        });
        Ok(Unix { path, inherited, endpoint, _accepting })
    }

    /// Has control show what listens now.
    fn show(&self) {
        let listener = |info: ListenerInfo, service, endpoint: &Endpoint| Listener {
            service,
            info,
            counters: Arc::clone(&endpoint.counters),
            pending: Arc::clone(&endpoint.pending),
            tunnel: endpoint.tunnel.as_ref().map(|tunnel| Arc::clone(&tunnel.gate)),
        };
        let tcp = self.tcp.iter().map(|tcp| {
            let Bound { spec, sockets } = &tcp.bound;
            listener(spec.info(sockets), spec.service(), &tcp.endpoint)
        });
        let unix = self.unix.iter().map(|unix| {
            let info = ListenerInfo {
                service: "control-socket".to_owned(),
                address: unix.path.display().to_string(),
                tls: false,
                auth: "permissions of the file".to_owned(),
            };
            listener(info, "control-socket", &unix.endpoint)
        });
        self.shared.status.set_listeners(tcp.chain(unix).collect());
    }
}
