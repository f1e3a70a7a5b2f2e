//! One supervisor a port: opens the medium, starts the port actor, and opens it
//! again when the link is lost or anything of the port panics.
//!
//! Actix's own `Supervisor` survives no panic and restarts even what was to stop.
//! This one is a task with a loop: a port keeps its number until it is deleted.

use std::{any::Any, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use actix::prelude::*;
use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use futures_util::FutureExt;
use slog::{Logger, error, info, o, warn};
use tokio::{
    sync::{Semaphore, mpsc, oneshot, watch},
    time::{Instant, sleep, timeout},
};

use crate::{
    core::{
        counters::{Counters, Incident},
        error::one_line,
        fdb::PortNumber,
        gauge::Gauge,
        interface::{Interface, InterfaceSettings, InterfaceStatus},
        line::{Buckets, Direction, Line},
        links::LinkId,
        memory::QueueMemory,
        offload::finish::Finisher,
        settings::{LinkSettings, PortSettings},
        state::{PortState, Stop},
    },
    message::{
        AddPort, AddPortError, CheckSettings, InterfaceChanged, KeepInterface, LinkRef, Opening,
        Pings, PortAdded, PortDown, PortGone, PortUp,
    },
    netlink::{self, LinkError, Watch},
    port::{
        End, IngressSender, Link, Medium, Port, PortError, PortIo, StopSignal, Terminate,
        queue::{self, QUEUE_OCTETS},
    },
    switch::Switch,
};

/// Bound of the first wait before a lost medium is opened again: long enough for a
/// server that restarts, too short to be noticed.
const BACKOFF_MIN: Duration = Duration::from_millis(200);

/// Bound of the waits while a medium has been lost for less than [`QUICK`]: clients of a server
/// that restarts are back in a second. A thousand of them make some 2,500 attempts a second
/// meanwhile, and come back spread over all of this time.
const QUICK_MAX: Duration = Duration::from_millis(800);

/// How long that may be: a server that restarts is away for some seconds.
const QUICK: Duration = Duration::from_secs(10);

/// Bound of all waits, which doubles up to here: what a person waits for a tunnel
/// whose server was away for long, and 30 attempts a second of a thousand clients.
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// Shortest wait, whatever the jitter says: a medium that opens and is lost at once
/// must not spin.
const WAIT_MIN: Duration = Duration::from_millis(50);

/// A link that was up for this long was no accident: the waits begin anew.
const STABLE: Duration = Duration::from_secs(10);

/// A port that panics this often without having been stable in between is given
/// up: a panic is our fault, and opening the medium again does not mend it.
const MAX_PANICS: u32 = 5;

/// Time for a link's farewell: a WebSocket waits 3 s for its peer's close frame.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// Why a port could not be added. Nothing of it remains.
#[derive(Debug, thiserror::Error)]
pub enum AddError {
    /// The medium did not open.
    #[error(transparent)]
    Open(PortError),
    /// The switch does not want the port.
    #[error(transparent)]
    Refused(#[from] AddPortError),
    /// There is no switch any more.
    #[error("the switch has ended")]
    SwitchGone(#[from] MailboxError),
}

/// Opens `medium` and adds it to the switch as a supervised port.
///
/// # Errors
/// The medium does not open at the first attempt, or the switch refuses the port.
pub async fn add<M: Medium>(
    switch: &Addr<Switch>,
    medium: M,
    log: &Logger,
) -> Result<PortNumber, AddError> {
    add_with(switch, medium, PortSettings::default(), log).await
}

/// The same with settings, which hold before the first frame.
///
/// # Errors
/// As [`add`], and the port cannot have these settings.
pub async fn add_with<M: Medium>(
    switch: &Addr<Switch>,
    mut medium: M,
    settings: PortSettings,
    log: &Logger,
) -> Result<PortNumber, AddError> {
    let (kind, holder) = (medium.kind(), medium.holder());
    let check = CheckSettings { kind, settings: settings.clone(), holder };
    let in_force = switch.send(check).await?.map_err(AddPortError::from)?;
    let link = open(&mut medium, &in_force).await.map_err(|end| match end {
        End::Lost(error) => AddError::Open(error),
        other => AddError::Open(other.text().into()),
    })?;
    let mut supervisor = Supervisor::register(switch, medium, settings, None, log).await?;
    supervisor.in_force.mark_unchanged();
    let number = supervisor.number;
    let (running, _) = supervisor.start(link).await?;
    actix_rt::spawn(supervisor.supervise(running));
    Ok(number)
}

/// Adds `medium` to the switch as a supervised port, whether it opens now or later. It
/// has `settings` from the beginning; its interface, if it is one, is given `interface` when
/// it opens. What is given besides the
/// number resolves once the first attempt has been made.
///
/// # Errors
/// The switch refuses the port.
pub async fn keep<M: Medium>(
    switch: &Addr<Switch>,
    medium: M,
    settings: PortSettings,
    interface: Vec<InterfaceSettings>,
    log: &Logger,
) -> Result<(PortNumber, oneshot::Receiver<()>), AddError> {
    let supervisor = Supervisor::register(switch, medium, settings, None, log).await?;
    let number = supervisor.number;
    let (tried, first) = oneshot::channel();
    actix_rt::spawn(supervisor.open_and_supervise(interface, tried));
    Ok((number, first))
}

/// Adds `medium` as a further link of the port `number`. It opens now or later, and ends with
/// the port.
///
/// # Errors
/// The port was deleted.
pub async fn join<M: Medium>(
    switch: &Addr<Switch>,
    number: PortNumber,
    medium: M,
    log: &Logger,
) -> Result<(), AddError> {
    let settings = PortSettings::default();
    let supervisor = Supervisor::register(switch, medium, settings, Some(number), log).await?;
    let (tried, _) = oneshot::channel();
    actix_rt::spawn(supervisor.open_and_supervise(Vec::new(), tried));
    Ok(())
}

/// A link at work.
struct Running {
    port: Addr<Port>,
    ended: oneshot::Receiver<End>,
    stop: oneshot::Sender<Stop>,
    since: Instant,
}

struct Supervisor<M> {
    medium: M,
    switch: Addr<Switch>,
    number: PortNumber,
    /// The connection that it has, or had last.
    id: LinkId,
    /// What its holder's queues take.
    memory: QueueMemory,
    /// Its turns at the Switch.
    turns: Option<Arc<Semaphore>>,
    /// What its lines pay into.
    buckets: Arc<Buckets>,
    counters: Arc<Counters>,
    settings: Arc<LinkSettings>,
    pings: Arc<Pings>,
    /// Its closing tells the Switch that all of the port has ended.
    stopped: mpsc::Receiver<Stop>,
    /// What the medium is to be opened with; opened anew when that changes.
    in_force: watch::Receiver<Opening>,
    /// Those options of it that the medium has taken.
    options: Option<Arc<dyn Any + Send + Sync>>,
    /// While it is open and an interface.
    interface: Option<Watch>,
    log: Logger,
}

impl<M: Medium> Supervisor<M> {
    /// Has the Switch give the port its number.
    async fn register(
        switch: &Addr<Switch>,
        medium: M,
        settings: PortSettings,
        joins: Option<PortNumber>,
        log: &Logger,
    ) -> Result<Self, AddError> {
        let pings = Arc::new(Pings::default());
        let (stop, stopped) = mpsc::channel(1);
        let opening = Opening { settings: settings.clone(), options: None };
        let (reopen, in_force) = watch::channel(opening);
        let id = medium.link_id();
        let PortAdded { number, counters, link_settings, memory, turns, buckets } = switch
            .send(AddPort {
                kind: medium.kind(),
                target: medium.target(),
                interface: medium.interface(),
                details: medium.details(),
                announces: medium.announces(),
                is_leaf: medium.is_leaf(),
                is_host: medium.is_host(),
                place: medium.place(),
                id,
                joins,
                holder: medium.holder(),
                settings,
                log: log.clone(),
                counters: Arc::default(),
                link_settings: Arc::default(),
                pings: Arc::clone(&pings),
                stop,
                reopen,
            })
            .await??;
        let log = log.new(o!("port" => number.get()));
        Ok(Self {
            medium,
            switch: switch.clone(),
            number,
            id,
            memory,
            turns,
            buckets,
            counters,
            settings: link_settings,
            pings,
            stopped,
            in_force,
            options: None,
            interface: None,
            log,
        })
    }

    /// Opens the medium for the first time, however long it takes.
    async fn open_and_supervise(
        mut self,
        settings: Vec<InterfaceSettings>,
        tried: oneshot::Sender<()>,
    ) {
        let settings_in_force = self.prepare();
        let opened = tokio::select! {
            opened = open(&mut self.medium, &settings_in_force) => opened,
            _ = self.stopped.recv() => return,
        };
        let mut tried = Some(tried);
        let link = match opened {
            Ok(link) => link,
            Err(end) => {
                // Dropped, it resolves as well.
                tried = None;
                let Some(link) = self.reopen(end, &mut Backoff::new(), &mut 0).await else {
                    return;
                };
                link
            }
        };
        let Ok((running, _)) = self.start(link).await else { return };
        if let Err(error) = self.set_up(&settings).await {
            warn!(self.log, "interface settings could not be applied"; "reason" => one_line(&error));
        }
        drop(tried);
        self.supervise(running).await;
    }

    /// Sets on the port's interface what it is to have from the beginning.
    async fn set_up(&self, settings: &[InterfaceSettings]) -> Result<(), LinkError> {
        let Some(name) = self.medium.interface().filter(|_| !settings.is_empty()) else {
            return Ok(());
        };
        for settings in settings {
            netlink::apply(&name, settings).await?;
        }
        if let Some(settings) = netlink::interface(&name).await? {
            self.switch.do_send(KeepInterface { port: self.number, settings });
        }
        Ok(())
    }

    /// Starts the port actor on `link` and tells the Switch, which gives what is to
    /// be set on the port's interface.
    async fn start(&mut self, link: M::Link) -> Result<(Running, Option<Interface>), MailboxError> {
        let gauge = Gauge::new(QUEUE_OCTETS, self.memory.part());
        let finisher =
            |plain| Finisher::new(Arc::clone(&self.settings), plain, Arc::clone(&self.counters));
        let egress = finisher(!self.medium.takes_offload());
        let buckets = || Arc::clone(&self.buckets);
        let line = Line::new(Direction::Out, Arc::clone(&self.settings), buckets());
        let (sender, egress) = queue::channel(gauge.clone(), egress, line);
        self.id = self.medium.link_id();
        let (stop, stopped) = oneshot::channel();
        let io = PortIo {
            ingress: IngressSender::new(
                self.switch.clone().recipient(),
                self.number,
                finisher(false),
            )
            .of_link(self.id, self.medium.place())
            .in_turn(self.turns.clone())
            .sharing(buckets(), gauge.memory().clone()),
            memory: gauge.memory().clone(),
            egress,
            stop: StopSignal::new(stopped),
            counters: Arc::clone(&self.counters),
            settings: Arc::clone(&self.settings),
            pings: Arc::clone(&self.pings),
            log: self.log.clone(),
        };
        let (port, ended) = Port::start(sender, Box::pin(link.run(io)));
        self.interface = self.medium.interface().and_then(|name| {
            let watch = Watch::open(&name);
            let watch = watch.inspect_err(|error| {
                info!(self.log, "interface cannot be watched"; "reason" => one_line(error));
            });
            watch.ok()
        });
        let status = match &mut self.interface {
            Some(watch) => watch.first().await,
            None => None,
        };
        let up = PortUp {
            port: self.number,
            link: self.link(),
            target: self.medium.target(),
            interface: self.medium.interface(),
            status,
            details: self.medium.details(),
            egress: port.clone().recipient(),
            give_up: port.clone().recipient(),
            gauge,
        };
        let settings = self.switch.send(up).await?;
        Ok((Running { port, ended, stop, since: Instant::now() }, settings))
    }

    async fn supervise(mut self, mut running: Running) {
        let mut backoff = Backoff::new();
        let mut panics = 0;
        loop {
            let since = running.since;
            let Some(end) = self.until_end(running).await else { return };
            let is_moved = self.interface.take().is_some_and(|mut watch| watch.was_moved());
            if is_moved && self.medium.is_host() {
                let reason = "its device was moved into another network namespace, and has gone \
                              with it; delete the port and add it to have another one here";
                return self.give_up(reason.to_owned()).await;
            }
            if !self.medium.restarts() {
                let (link, reason) = (self.link(), end.text());
                self.switch.do_send(PortGone { port: self.number, link, reason });
                return;
            }
            if since.elapsed() >= STABLE {
                backoff = Backoff::new();
                panics = 0;
            }
            // Apart, since a port has no room for this while it is up.
            let reopened = Box::pin(self.reopen(end, &mut backoff, &mut panics)).await;
            let Some(link) = reopened else { return };
            let Ok((restarted, settings)) = Box::pin(self.start(link)).await else { return };
            running = restarted;
            self.counters.happened(Incident::Reconnect);
            info!(self.log, "port was restarted");
            if let Some(settings) = settings
                && let Err(error) = self.medium.configure(&settings).await
            {
                warn!(self.log, "interface settings could not be applied"; "reason" => one_line(&*error));
            }
        }
    }

    /// Waits for the link's end; `None` when the port was told to stop.
    async fn until_end(&mut self, running: Running) -> Option<End> {
        let Running { port, mut ended, stop, .. } = running;
        let (reason, end) = loop {
            tokio::select! {
                end = &mut ended => {
                    return Some(end.unwrap_or_else(|_| End::Panicked("the port actor panicked".to_owned())));
                }
                reason = self.stopped.recv() => break (reason.unwrap_or(Stop::Shutdown), None),
                Ok(()) = self.in_force.changed() => {
                    if !self.interface.as_mut().is_some_and(Watch::was_moved) {
                        break (Stop::Deleted, Some(End::SettingsChanged));
                    }
                    warn!(self.log, "settings of a device in another network namespace are not \
                        changed: delete the port and add it");
                }
                status = changed(&mut self.interface) => {
                    self.switch.do_send(InterfaceChanged { port: self.number, status });
                }
            }
        };
        // A link that has just ended by itself takes no signal.
        let _ = stop.send(reason);
        if timeout(STOP_LIMIT, ended).await.is_err() {
            error!(self.log, "port did not end in time: its task was aborted");
        }
        port.do_send(Terminate);
        end
    }

    /// Stays there until it is deleted, without a medium.
    async fn give_up(&mut self, reason: String) {
        self.tell(PortState::Failed { reason });
        // Whatever it says: the supervisor ends either way.
        let _ = self.stopped.recv().await;
    }

    /// Opens the medium again, however often it takes; `None` when the port was
    /// told to stop meanwhile.
    async fn reopen(
        &mut self,
        mut end: End,
        backoff: &mut Backoff,
        panics: &mut u32,
    ) -> Option<M::Link> {
        loop {
            let reason = end.text();
            if matches!(end, End::Panicked(_)) {
                *panics += 1;
                error!(self.log, "port panicked"; "panic" => &reason, "times" => *panics);
            }
            if *panics >= MAX_PANICS {
                self.give_up(reason).await;
                return None;
            }
            if !matches!(end, End::SettingsChanged) {
                self.tell(PortState::Backoff { reason: reason.clone() });
                tokio::select! {
                    () = sleep(full_jitter(backoff.next(Instant::now()))) => {}
                    // What was wrong may be right now.
                    Ok(()) = self.in_force.changed() => {}
                    _ = self.stopped.recv() => return None,
                }
            }
            self.tell(PortState::Connecting { reason: Some(reason) });
            let in_force = self.prepare();
            tokio::select! {
                result = open(&mut self.medium, &in_force) => match result {
                    Ok(link) => return Some(link),
                    Err(failed) => end = failed,
                },
                Ok(()) = self.in_force.changed() => end = End::SettingsChanged,
                _ = self.stopped.recv() => return None,
            }
        }
    }

    /// Gives the medium other options, if there are any, and the settings that it is to be opened
    /// with.
    fn prepare(&mut self) -> PortSettings {
        let Opening { settings, options } = self.in_force.borrow_and_update().clone();
        if let Some(new) = options
            && !self.options.as_ref().is_some_and(|own| Arc::ptr_eq(own, &new))
        {
            self.medium.change(&*new);
            self.options = Some(new);
        }
        settings
    }

    fn tell(&self, state: PortState) {
        self.switch.do_send(PortDown { port: self.number, link: self.link(), state });
    }

    fn link(&self) -> LinkRef {
        LinkRef { number: self.medium.place().number, id: self.id }
    }
}

/// What has become of an interface; never, if there is none.
async fn changed(interface: &mut Option<Watch>) -> InterfaceStatus {
    match interface {
        Some(watch) => watch.changed().await,
        None => std::future::pending().await,
    }
}

/// Opens the medium with the settings in force; a panic in there is an end like any other.
async fn open<M: Medium>(medium: &mut M, in_force: &PortSettings) -> Result<M::Link, End> {
    medium.set(in_force);
    match AssertUnwindSafe(medium.open()).catch_unwind().await {
        Ok(result) => result.map_err(End::Lost),
        Err(panic) => Err(End::from_panic(&*panic)),
    }
}

/// The bounds of the waits since a medium was lost.
struct Backoff {
    lost: Option<Instant>,
    quick: ExponentialBackoff,
    slow: ExponentialBackoff,
}

impl Backoff {
    fn new() -> Self {
        let bounds = |least, most| {
            let all = ExponentialBuilder::default().with_min_delay(least).with_max_delay(most);
            all.without_max_times().build()
        };
        Self {
            lost: None,
            quick: bounds(BACKOFF_MIN, QUICK_MAX),
            slow: bounds(2 * QUICK_MAX, BACKOFF_MAX),
        }
    }

    /// The bound of the next wait.
    fn next(&mut self, now: Instant) -> Duration {
        let lost = *self.lost.get_or_insert(now);
        let is_quick = now.duration_since(lost) < QUICK;
        let bounds = if is_quick { &mut self.quick } else { &mut self.slow };
        bounds.next().unwrap_or(BACKOFF_MAX)
    }
}

/// A wait anywhere up to `bound`: the clients that a server lost at the same moment
/// do not come back at the same moment.
fn full_jitter(bound: Duration) -> Duration {
    // Without randomness all wait for longest: that is slow, and harms nobody.
    let random = getrandom::u32().unwrap_or(u32::MAX);
    bound.mul_f64(f64::from(random) / f64::from(u32::MAX)).max(WAIT_MIN)
}

impl End {
    /// One line, for `listport` and the log.
    fn text(&self) -> String {
        match self {
            Self::Closed => "closed by the peer".to_owned(),
            Self::Lost(error) => one_line(&**error),
            Self::SettingsChanged => "its settings have changed".to_owned(),
            Self::Panicked(text) => format!("panicked: {text}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_spread_over_all_of_a_bound_that_doubles_to_its_limit() {
        let (mut backoff, lost) = (Backoff::new(), Instant::now());
        let mut bounds = |after: Duration, count: usize| {
            let next = (0..count).map(|_| backoff.next(lost + after).as_millis());
            next.collect::<Vec<_>>()
        };
        assert_eq!(bounds(Duration::ZERO, 3), [200, 400, 800]);
        // A server that was away for some seconds has its clients back within one.
        assert_eq!(bounds(QUICK - WAIT_MIN, 3), [800, 800, 800]);
        assert_eq!(bounds(QUICK, 6), [1600, 3200, 6400, 12_800, 25_600, 30_000]);
        let waits: Vec<_> = (0..1000).map(|_| full_jitter(BACKOFF_MAX)).collect();
        for (tenth, up_to) in (1..=10).map(|tenth| (tenth, BACKOFF_MAX * tenth / 10)) {
            let from = BACKOFF_MAX * (tenth - 1) / 10;
            assert!(waits.iter().any(|&wait| wait >= from && wait <= up_to), "tenth {tenth}");
        }
        let least = (0..1000).map(|_| full_jitter(BACKOFF_MIN)).min();
        assert_eq!(least, Some(WAIT_MIN), "never at once");
    }
}
