//! The program around the switch: opens what it needs, starts the actors and the
//! services, and ends them when it is told to. 0.3's `server` and `client` are the
//! same with one TAP and no control.

use std::{net::TcpListener, path::{Path, PathBuf}, process::ExitCode, sync::Arc, time::Duration};

use actix::{Actor, Addr};
use actix_rt::{Arbiter, System};
use anyhow::{Context, Result, anyhow, bail};
use etherws_actors::{
    control::{Command, Control, Credentials, NewPort},
    error::one_line,
    fdb::{DEFAULT_AGING_TIME, DEFAULT_MAX_MACS},
    guard::storm::StormLimits,
    message::Shutdown,
    monitor::{Event, Kind, Monitor},
    switch::{Switch, SwitchOptions},
};
use jiff::Timestamp;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use slog::{Logger, debug, info, o, warn};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::JoinHandle,
};

use crate::{
    cli::{self, GuardArgs, Service, TlsFiles},
    ctl::prompt,
    daemon::{self, Ready, Role},
    logging, privileges,
    server::{
        self, ControlService, Site, TunnelService,
        admit::Door,
        auth::Htpasswd,
        counters::ServerCounters,
        guard::Guard,
        listen,
        pending::Pending,
        reserve::Reserve,
        sessions::{Limits, Sessions},
        status::{Listener, Status},
        tls::Tls,
        tokens::Tokens,
        unix,
        watch::{Reload, Watch},
    },
};

/// Time that ports have for their farewell when the program ends.
const SHUTDOWN_LIMIT: Duration = Duration::from_millis(1500);

/// How often to look whether the Switch still lives. Nothing waits for it: only a
/// defect of ours ends it.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// A switch to run.
#[derive(Debug)]
pub(crate) struct Options {
    logging: logging::Options,
    aging_time: Duration,
    loop_guard: bool,
    guards: GuardArgs,
    /// Arbiters, each a thread, that ports are spread over.
    threads: usize,
    tunnel: Option<Service>,
    allowed_origins: Vec<String>,
    limits: Limits,
    control: Option<Service>,
    /// A Unix socket for control.
    control_socket: Option<PathBuf>,
    /// Names by which control may be asked for.
    control_names: Vec<String>,
    /// Whether control is for anybody on any machine.
    control_open: bool,
    /// Ports that it begins with.
    ports: Vec<NewPort>,
    /// Whose password is to be asked for, for the client port among them.
    user: Option<String>,
    /// The account to run as.
    account: Option<String>,
}

impl From<cli::Sw> for Options {
    fn from(sw: cli::Sw) -> Self {
        let cli::Sw { debug, logconf: conf, foreground, .. } = sw;
        Self {
            logging: logging::Options { debug, foreground, conf },
            aging_time: sw.aging_time,
            loop_guard: sw.loop_guard,
            guards: sw.guards,
            threads: sw.threads,
            tunnel: Some(sw.tunnel),
            allowed_origins: sw.allowed_origins,
            limits: sw.limits,
            control: sw.control,
            control_socket: sw.control_socket,
            control_names: sw.control_names,
            control_open: sw.control_open,
            ports: Vec::new(),
            user: None,
            account: sw.user,
        }
    }
}

impl From<cli::Server> for Options {
    fn from(server: cli::Server) -> Self {
        let cli::Server { debug, foreground, .. } = server;
        Self {
            logging: logging::Options { debug, foreground, conf: None },
            aging_time: DEFAULT_AGING_TIME,
            loop_guard: true,
            guards: GuardArgs::default(),
            threads: 1,
            tunnel: Some(server.tunnel),
            allowed_origins: server.allowed_origins,
            limits: Limits::default(),
            control: None,
            control_socket: None,
            control_names: Vec::new(),
            control_open: false,
            ports: vec![NewPort::Tap { name: server.device }],
            user: None,
            account: None,
        }
    }
}

impl From<cli::Client> for Options {
    fn from(client: cli::Client) -> Self {
        let cli::Client { debug, foreground, .. } = client;
        Self {
            logging: logging::Options { debug, foreground, conf: None },
            aging_time: DEFAULT_AGING_TIME,
            loop_guard: true,
            guards: GuardArgs::default(),
            threads: 1,
            tunnel: None,
            allowed_origins: Vec::new(),
            limits: Limits::default(),
            control: None,
            control_socket: None,
            control_names: Vec::new(),
            control_open: false,
            ports: vec![NewPort::Tap { name: client.device }, NewPort::Client(client.options)],
            user: client.user,
            account: None,
        }
    }
}

/// Runs the switch, in the background unless it is to stay in the foreground.
///
/// # Errors
/// A file, a listener or a first port does not open.
pub(crate) fn start(mut options: Options) -> Result<ExitCode> {
    let user = options.user.take();
    let ask = || match &user {
        Some(_) => prompt::password("Client Password: "),
        None => Ok(String::new()),
    };
    let (ready, password) = if options.logging.foreground {
        (None, ask()?)
    } else {
        match daemon::detach(ask)? {
            Role::Parent(status) => return Ok(status),
            Role::Child(ready, password) => (Some(ready), password),
        }
    };
    if let (Some(user), Some(NewPort::Client(client))) = (user, options.ports.last_mut()) {
        client.credentials = Some(Credentials { user, password });
    }
    let account = options.account.as_deref().map(privileges::find_user).transpose()?;
    let sockets = bind(&options)?;
    privileges::limit(account.as_ref())?;
    let (log, _guard) = logging::init(&options.logging)?;
    let descriptors = allow_many_sessions(&log);
    let opened = open(&options, sockets, &log)?;
    System::new().block_on(serve(options, opened, descriptors, ready, log))?;
    Ok(ExitCode::SUCCESS)
}

/// What a shell gives a program.
const USUAL_DESCRIPTORS: u64 = 1024;

/// Each session has a file descriptor, and a shell gives a program 1,024 of them:
/// takes as many as the system allows, and says how many there are.
fn allow_many_sessions(log: &Logger) -> usize {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        debug!(log, "no more file descriptors than usual"; "error" => %error);
    }
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(USUAL_DESCRIPTORS, |(soft, _)| soft);
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// An htpasswd file, and what sees when it changes.
type Passwords = (Htpasswd, Watch);

/// Hears which users are no longer in the file.
type Removed = Box<dyn Fn(&[Box<str>]) + Send>;

/// All that listens.
struct Listening {
    listeners: Vec<Opened>,
    socket: Option<unix::Listener>,
}

/// A listener with its sockets open.
struct Opened {
    sockets: Sockets,
    tls: Option<(Arc<Tls>, Watch)>,
    tunnel: Option<Protected>,
    control: Option<Protected>,
    /// Whether control is for this machine alone.
    local_only: bool,
}

/// A path that is served, and the passwords for it.
struct Protected {
    path: String,
    passwords: Option<Passwords>,
}

impl Opened {
    /// What it serves, as in the log.
    fn service(&self) -> &'static str {
        match (&self.tunnel, &self.control) {
            (Some(_), Some(_)) => "tunnel+control",
            (None, _) => "control",
            (_, None) => "tunnel",
        }
    }
}

/// Sockets of a listener: one for each of its addresses.
type Sockets = Vec<TcpListener>;

/// Opens the sockets of the tunnel's listener and of control's, unless that is the same
/// one: all that needs a privilege which is not kept.
fn bind(options: &Options) -> Result<Vec<Sockets>> {
    let (tunnel, control) = (options.tunnel.as_ref(), options.control.as_ref());
    let is_shared = |control: &&Service| tunnel.is_some_and(|own| own.shares_listener(control));
    tunnel
        .into_iter()
        .chain(control.filter(|control| !is_shared(control)))
        .map(|service| listen::bind(&service.host, service.port))
        .collect()
}

/// Opens files, and control's Unix socket, as whoever the process is from now on: all
/// else that may fail for a wrong option, before anything runs.
fn open(options: &Options, sockets: Vec<Sockets>, log: &Logger) -> Result<Listening> {
    let mut sockets = sockets.into_iter();
    let resource = |service: &Service| -> Result<Protected> {
        let passwords =
            service.htpasswd.as_deref().map(|path| Htpasswd::open(path, log)).transpose()?;
        Ok(Protected { path: service.path.clone(), passwords })
    };
    let mut listener = |service: &Service| -> Result<Opened> {
        let tls = |files: &TlsFiles| {
            let watch = Watch::new(files.paths());
            Ok::<_, anyhow::Error>((Arc::new(Tls::open(files.clone(), log)?), watch))
        };
        let tls = service.tls.as_ref().map(tls).transpose()?;
        let sockets = sockets.next().context("a listener without sockets")?;
        Ok(Opened { sockets, tls, tunnel: None, control: None, local_only: false })
    };
    let mut listeners = Vec::new();
    if let Some(tunnel) = &options.tunnel {
        listeners.push(Opened { tunnel: Some(resource(tunnel)?), ..listener(tunnel)? });
    }
    if let Some(control) = &options.control {
        let shares = |tunnel: &Service| tunnel.shares_listener(control);
        if !options.tunnel.as_ref().is_some_and(shares) {
            listeners.push(listener(control)?);
        }
        if let Some(listener) = listeners.last_mut() {
            listener.control = Some(resource(control)?);
            listener.local_only = !options.control_open && is_local_only(control, listener, log)?;
        }
    }
    let socket = options.control_socket.as_deref().map(unix::bind).transpose()?;
    Ok(Listening { listeners, socket })
}

/// Whether control on `listener` is for this machine alone: on all addresses, as 1.3
/// takes it, without anything that its peers must show.
///
/// # Errors
/// So it would be on an address that nobody on this machine asks it by.
fn is_local_only(service: &Service, listener: &Opened, log: &Logger) -> Result<bool> {
    let asks = service.htpasswd.is_some()
        || service.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
    let addresses: Vec<_> =
        listener.sockets.iter().filter_map(|socket| socket.local_addr().ok()).collect();
    if asks || addresses.iter().all(|address| address.ip().is_loopback()) {
        return Ok(false);
    }
    const WAYS_OUT: &str = "give it passwords with --ctlhtpasswd, ask for certificates with \
                            --ctlsslclientca, or open it to anybody with --ctlopen";
    if addresses.iter().any(|address| address.ip().is_unspecified()) {
        warn!(log, "control is refused to other machines: {WAYS_OUT}");
        return Ok(true);
    }
    bail!("whoever reaches {}:{} would own the switch: {WAYS_OUT}", service.host, service.port)
}

async fn serve(
    options: Options,
    opened: Listening,
    descriptors: usize,
    ready: Option<Ready>,
    log: Logger,
) -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot catch SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot catch SIGTERM")?;
    let hangup = signal(SignalKind::hangup()).context("cannot catch SIGHUP")?;
    let reload = Reload::new();
    actix_rt::spawn(reload_on(hangup, reload.clone(), log.clone()));
    let limits = options.limits.within(descriptors);
    if limits.all < options.limits.all {
        info!(log, "fewer sessions than asked for: the system gives too few file descriptors";
            "sessions" => limits.all, "descriptors" => descriptors);
    }
    let sessions = Sessions::new(limits);
    let storm = StormLimits::default();
    let monitor = Monitor::new();
    let switch = Switch::new(SwitchOptions {
        aging_time: options.aging_time,
        max_macs: options.guards.maxmacs.unwrap_or(DEFAULT_MAX_MACS),
        loop_guard: options.loop_guard,
        storm: StormLimits {
            broadcast: options.guards.storm_broadcast.unwrap_or(storm.broadcast),
            multicast: options.guards.storm_multicast.unwrap_or(storm.multicast),
            unicast: options.guards.storm_unicast.unwrap_or(storm.unicast),
        },
        debug_frames: options.logging.debug,
        log: log.clone(),
        monitor: monitor.clone(),
        ..SwitchOptions::default()
    })
    .start();
    let arbiters: Vec<_> = (1..options.threads).map(|_| Arbiter::new()).collect();
    let handles: Vec<_> = arbiters.iter().map(Arbiter::handle).collect();
    let control = Control::with_arbiters(switch.clone(), log.clone(), handles.clone());
    for port in options.ports {
        control
            .execute(Command::AddPort(port))
            .await
            .map_err(|error| anyhow!("{}", one_line(&error)))?;
    }
    let mut names = options.control_names;
    names.extend(options.control.map(|control| control.host).filter(|host| !host.is_empty()));
    let mut accepting: Vec<JoinHandle<Result<()>>> = Vec::new();
    let tokens = Arc::new(Tokens::default());
    let reserve = Arc::new(Reserve::default());
    let listeners = opened.listeners.iter().map(|listener| {
        let counters = Arc::new(ServerCounters::default());
        let pending = Pending::new(descriptors, Arc::clone(&counters));
        Listener { service: listener.service(), counters, pending }
    });
    let status = Arc::new(Status {
        listeners: listeners.collect(),
        sessions,
        tokens: Arc::clone(&tokens),
        monitor: monitor.clone(),
        started: Timestamp::now(),
    });
    for (listener, Listener { service, counters, pending }) in
        opened.listeners.into_iter().zip(&status.listeners)
    {
        let (certificates, watch) = listener.tls.unzip();
        let tls = certificates.is_some();
        let door = |passwords: Option<Passwords>, removed: Removed| {
            let htpasswd = passwords.map(|(htpasswd, watch)| {
                let htpasswd = Arc::new(htpasswd);
                let file = Arc::clone(&htpasswd);
                let (monitor, path) = (monitor.clone(), htpasswd.path().to_owned());
                let load = move |_| {
                    removed(&file.reload());
                    tell_reload(&monitor, &path);
                };
                actix_rt::spawn(watch.run(reload.subscribe(), load));
                htpasswd
            });
            Door { htpasswd, log: log.clone() }
        };
        let site = Arc::new(Site {
            tls,
            tunnel: listener.tunnel.map(|Protected { path, passwords }| TunnelService {
                path,
                door: door(passwords, {
                    let (sessions, switch) = (Arc::clone(&status.sessions), switch.clone());
                    let log = log.clone();
                    Box::new(move |users| server::dismiss(users, &sessions, &switch, &log))
                }),
                sessions: Arc::clone(&status.sessions),
                allowed_origins: options.allowed_origins.clone(),
                tokens: Arc::clone(&tokens),
                switch: switch.clone(),
            }),
            control: listener.control.map(|Protected { path, passwords }| ControlService {
                path,
                guard: Guard { names: names.clone(), local_only: listener.local_only },
                // A request of control is over before its user could be removed.
                door: door(passwords, Box::new(|_| ())),
                control: control.clone(),
                status: Arc::clone(&status),
            }),
            pending: Arc::clone(pending),
            reserve: Arc::clone(&reserve),
            counters: Arc::clone(counters),
            monitor: monitor.clone(),
            log: log.clone(),
        });
        let log = log.new(o!("service" => *service));
        if let (Some(certificates), Some(watch)) = (certificates.clone(), watch) {
            let monitor = monitor.clone();
            actix_rt::spawn(watch.run(reload.subscribe(), move |_| {
                certificates.reload();
                tell_reload(&monitor, certificates.path());
            }));
        }
        let places = server::start(&site, certificates, &handles).await?;
        for socket in listener.sockets {
            let address = socket.local_addr().context("listening socket without address")?;
            info!(log, "listening"; "address" => %address, "tls" => tls);
            let accept = listen::accept(socket, places.clone(), Arc::clone(&site), log.clone());
            accepting.push(actix_rt::spawn(async move { Ok(accept.await?) }));
        }
    }
    if let Some(socket) = opened.socket {
        let counters = Arc::new(ServerCounters::default());
        let site = Arc::new(Site {
            tls: false,
            tunnel: None,
            control: Some(ControlService {
                path: unix::CONTROL_PATH.to_owned(),
                guard: Guard::default(),
                door: Door { htpasswd: None, log: log.clone() },
                control: control.clone(),
                status: Arc::clone(&status),
            }),
            pending: Pending::new(descriptors, Arc::clone(&counters)),
            counters,
            reserve: Arc::clone(&reserve),
            monitor: monitor.clone(),
            log: log.clone(),
        });
        info!(log, "listening"; "service" => "control", "socket" => %socket.path().display());
        accepting.push(actix_rt::spawn(socket.serve(site)));
    }
    if let Some(ready) = ready {
        ready.announce()?;
    }
    tokio::select! {
        _ = interrupt.recv() => info!(log, "ending"; "signal" => "SIGINT"),
        _ = terminate.recv() => info!(log, "ending"; "signal" => "SIGTERM"),
        () = ended(&switch) => return Err(anyhow!("the switch has ended; the log tells why")),
    }
    for task in accepting {
        task.abort();
    }
    tokio::select! {
        drained = tokio::time::timeout(SHUTDOWN_LIMIT, switch.send(Shutdown)) => {
            if drained.is_err() {
                warn!(log, "ending with ports still open");
            }
        }
        _ = interrupt.recv() => warn!(log, "ending at once"; "signal" => "SIGINT"),
        _ = terminate.recv() => warn!(log, "ending at once"; "signal" => "SIGTERM"),
    }
    for arbiter in arbiters {
        arbiter.stop();
    }
    Ok(())
}

/// Has all files that may be read again be read again, and log files opened anew, for
/// whoever has renamed them (logrotate).
async fn reload_on(mut hangup: Signal, reload: Reload, log: Logger) {
    while hangup.recv().await.is_some() {
        logging::reopen();
        info!(log, "reloading"; "signal" => "SIGHUP");
        reload.request();
    }
}

fn tell_reload(monitor: &Monitor, file: &Path) {
    monitor.tell(|| Event::new(Kind::Reload).text("file", file.display()));
}

async fn ended(switch: &Addr<Switch>) {
    while switch.connected() {
        actix_rt::time::sleep(WATCH_INTERVAL).await;
    }
}
