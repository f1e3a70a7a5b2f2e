//! From start to end of a switch: starts the actors, its ports and its listeners, and
//! ends them when it is told to.

use std::{
    future::pending,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use actix::{Actor, Addr};
use actix_rt::Arbiter;
use anyhow::{Context as _, Result, anyhow};
use etherws_actors::{
    control::Control,
    error::one_line,
    frame::MacAddr,
    kinds::Store,
    lldp::System,
    message::{SetDefaults, Shutdown, UntilEnd},
    monitor::Monitor,
    settings::DeviceMac,
    switch::{Switch, SwitchOptions, random_mac},
    sys::memory,
    tick,
};
use jiff::Timestamp;
use slog::{Logger, info, warn};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{
    bindings::Bindings,
    listeners::{Bound, Listeners, Shared},
    operate::InForce,
    renewal,
    specs::defaults,
};
use crate::{
    acme,
    config::Sw,
    daemon::Ready,
    doctor,
    files::Reload,
    hosts::Hosts,
    server::{
        health::Health,
        join::Join,
        journal::Journal,
        operation::{Operation, Operations},
        reserve::Reserve,
        sessions::Sessions,
        status::{Status, host_name},
        unix,
    },
    service,
    state::State,
    users::Users,
};

/// Time that ports have for their farewell when the program ends.
const SHUTDOWN_LIMIT: Duration = Duration::from_millis(1500);

/// Runs the switch until a signal ends it.
///
/// # Errors
/// A file, a listener or a first port does not open; the switch has panicked.
pub(super) async fn run(
    mut options: Sw,
    bound: Vec<Bound>,
    control_socket: Option<unix::Listener>,
    descriptors: usize,
    ready: Option<Ready>,
    log: Logger,
) -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot catch SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot catch SIGTERM")?;
    let hangup = signal(SignalKind::hangup()).context("cannot catch SIGHUP")?;
    let limits = options.limits.within(descriptors);
    if limits.all < options.limits.all {
        info!(log, "fewer sessions than asked for: the system gives too few file descriptors";
            "sessions" => limits.all, "descriptors" => descriptors);
    }
    let monitor = Monitor::with_history(options.events);
    let store = State::open(options.state.as_deref(), &log).map(|state| Arc::new(state) as _);
    let mac = match options.mac {
        Some(DeviceMac::Address(mac)) => mac,
        Some(DeviceMac::Random) => random_mac(),
        None => own_mac(store.as_deref()),
    };
    let switch = start_switch(&options, mac, &monitor, &log);
    // An actor that is dropped before its first turn would take it when the runtime is gone.
    tokio::task::yield_now().await;
    let arbiters = (1..options.threads).map(|_| Arbiter::try_with_tokio_rt(tick::runtime));
    let arbiters = arbiters.collect::<io::Result<Vec<_>>>().context("cannot start a thread")?;
    let handles: Vec<_> = arbiters.iter().map(Arbiter::handle).collect();
    let control = Control::with_arbiters(switch.clone(), log.clone(), handles.clone());
    let control = control.with_store(store.clone());
    let mut bindings = match store {
        Some(store) => Some(Bindings::restore(control.clone(), store).await),
        None => None,
    };
    let now = Timestamp::now().as_second();
    let users = options.users.as_ref().map(|users| Users::open(users, now).map(Arc::new));
    let users = users.transpose().context("users cannot be opened")?;
    let (operations, requested) = Operations::new();
    let hosts =
        if options.hosts { Some(Hosts::watch(switch.clone(), log.clone()).await?) } else { None };
    let health = Arc::new(Health::new(control.clone()));
    let journal = Journal::new(log.clone());
    let sessions = Sessions::new(limits);
    sessions.set_profiles(Arc::clone(&options.profiles));
    let join = users.as_ref().map(|users| Arc::new(Join::new(users, &sessions, &switch, &log)));
    let shared = Shared {
        switch: switch.clone(),
        control: control.clone(),
        status: Arc::new(Status {
            listeners: Mutex::default(),
            sessions,
            tokens: Arc::default(),
            operations: operations.clone(),
            monitor: monitor.clone(),
            control: control.clone(),
            certificates: Arc::default(),
            hosts,
            users: users.clone(),
            started: Timestamp::now(),
            mac,
            examine: doctor::examine,
            roles: Mutex::new(Arc::new(options.roles.clone())),
            log: log.clone(),
            journal: Arc::clone(&journal),
            configuration: options.source.as_ref().map(|source| source.file.path.clone()),
        }),
        arbiters: handles,
        descriptors,
        socket_proxies: options.control_proxies.clone(),
        reserve: Arc::new(Reserve::default()),
        journal,
        health: Arc::clone(&health),
        challenges: Arc::default(),
        join,
        reload: Reload::new(),
        log: log.clone(),
    };
    actix_rt::spawn(Arc::clone(&shared.journal).run());
    if let Some(acme) = &options.acme {
        acme.prepare().context("nothing can be kept of ACME")?;
    }
    let mut listeners = Listeners::new(shared.clone());
    for port in options.ports.extract_if(.., |_| options.legacy) {
        control
            .add_port(port.new, port.settings)
            .await
            .map_err(|error| anyhow!("{}", one_line(&error)))?;
    }
    listeners.start(bound, control_socket)?;
    if let Some(acme) = options.acme.clone() {
        let challenges = Arc::clone(&shared.challenges);
        let (certificates, file) = (Arc::clone(&shared.status.certificates), acme.file());
        let renews = move |at| certificates.renew(file.clone(), at);
        actix_rt::spawn(acme::keep(acme, challenges, renews, monitor.clone(), log.clone()));
    }
    // Behind ACME, which says first what will be renewed.
    actix_rt::spawn(Arc::clone(&shared.status.certificates).watch(log.clone()));
    if let Some(users) = users {
        actix_rt::spawn(renewal::certify_hub(users, log.clone()));
    }
    let mut in_force = InForce::new(shared, listeners, options);
    in_force.add_ports().await;
    actix_rt::spawn(renewal::renew(control.clone(), log.clone()));
    health.start();
    let operating = actix_rt::spawn(in_force.operate(requested));
    actix_rt::spawn(reload_on(hangup, operations));
    started(ready, &log)?;
    actix_rt::spawn(memory::give_back());
    actix_rt::spawn(service::watch(switch.clone().recipient(), log.clone()));
    tokio::select! {
        _ = interrupt.recv() => info!(log, "ending"; "signal" => "SIGINT"),
        _ = terminate.recv() => info!(log, "ending"; "signal" => "SIGTERM"),
        () = keep(bindings.as_mut()) => {}
        () = ended(&switch) => return Err(anyhow!("the switch has ended; the log tells why")),
    }
    health.stop();
    service::stopping(&log);
    if let Some(bindings) = &mut bindings {
        bindings.keep().await;
    }
    operating.abort();
    // Aborted or not, its listeners are gone.
    let _ = operating.await;
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

/// Keeps bindings in the state, if there is one, and never ends.
async fn keep(bindings: Option<&mut Bindings>) {
    match bindings {
        Some(bindings) => bindings.go_on().await,
        None => pending().await,
    }
}

/// The switch's own MAC address: the one that it had before, where there is a state.
fn own_mac(store: Option<&dyn Store>) -> MacAddr {
    const PLACE: (&str, &str) = ("switch", "mac");
    let Some(store) = store else { return random_mac() };
    let known = store.get(PLACE.0, PLACE.1);
    let known = known.as_ref().and_then(|known| known.as_str()?.parse().ok());
    known.unwrap_or_else(|| {
        let mac = random_mac();
        store.set(PLACE.0, PLACE.1, mac.to_string().into());
        mac
    })
}

fn start_switch(options: &Sw, mac: MacAddr, monitor: &Monitor, log: &Logger) -> Addr<Switch> {
    let defaults = defaults(options);
    let SetDefaults { aging_time, queue_memory, max_bindings, snooping, stp, lldp, .. } = defaults;
    let SetDefaults { ports, profiles, vlan_names, .. } = defaults;
    Switch::new(SwitchOptions {
        mac,
        aging_time,
        queue_memory,
        max_bindings,
        stp,
        snooping,
        ports,
        profiles,
        vlan_names,
        lldp,
        system: System {
            name: host_name(),
            description: concat!("etherws ", env!("CARGO_PKG_VERSION")).to_owned(),
        },
        debug_frames: options.logging.debug,
        log: log.clone(),
        monitor: monitor.clone(),
        ..SwitchOptions::default()
    })
    .start()
}

/// It serves: whoever started it hears of it here.
fn started(ready: Option<Ready>, log: &Logger) -> Result<()> {
    service::ready(log);
    ready.map_or(Ok(()), Ready::announce)
}

/// Has all files that may be read again be read again, and log files opened anew, for
/// whoever has renamed them (logrotate).
async fn reload_on(mut hangup: Signal, operations: Operations) {
    while hangup.recv().await.is_some() {
        // What is wrong is in the log.
        let _ = operations.request(Operation::Reload).await;
    }
}

async fn ended(switch: &Addr<Switch>) {
    // Only a defect of ours ends it.
    let _ = switch.send(UntilEnd).await;
}
