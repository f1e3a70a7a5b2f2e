//! The hosts on the LAN: those that have announced their addresses or names, as
//! `listHosts` shows them. Reads copies of received frames, in a task of its own; never on
//! the frame's path. The list is only in memory.
//!
//! The forwarding database knows where a host is now: it is asked when hosts are listed.

pub(crate) mod claim;
mod name;
mod table;
mod vendor;

use std::{
    collections::HashMap,
    mem,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use actix::{Addr, MailboxError};
use actix_rt::task::spawn_blocking;
use etherws_actors::{
    control::{Control, ControlError},
    counters::Discard,
    fdb::{FdbFilter, PortNumber},
    frame::{MacAddr, Vid},
    message::{AddMirror, FdbInfo, PortInfo},
    mirror::{Batch, Filter, MirrorReader, Mirrored},
    switch::Switch,
    tick,
};
use slog::{Logger, warn};

use self::{
    claim::Claim,
    table::{Counts, Host, Table},
    vendor::vendor,
};

/// Octets of a frame that are read: DHCP messages have 576 and more, and their
/// options are at the end.
const SNAPLEN: usize = 1024;

/// Octets queued for the task: some hundred frames of ARP or ND, more than a scan of a /24
/// in one batch.
const QUEUE_OCTETS: usize = 64 * 1024;

/// Frames that are read before the task rests, and for how long: 5,000 a second are
/// more than any LAN has, and take less than a hundredth of a core. What comes faster is
/// a flood, and is lost here.
const TURN_FRAMES: usize = 500;
const REST: Duration = Duration::from_millis(100);

/// Time between two searches for hosts to be forgotten.
const COLLECT_INTERVAL: Duration = Duration::from_secs(60);

/// A host, as it is listed.
#[derive(Debug, Clone)]
pub(crate) struct HostInfo {
    pub(crate) vid: Vid,
    pub(crate) mac: MacAddr,
    /// The port that it is behind, or was last; `None`: that port is gone.
    pub(crate) port: Option<PortNumber>,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) name: Option<Box<str>>,
    pub(crate) vendor: Option<&'static str>,
    /// User of the session that the port is.
    pub(crate) user: Option<String>,
    /// Since its last frame.
    pub(crate) age: Duration,
    /// Since it was first heard of.
    pub(crate) known: Duration,
}

/// The hosts of a switch. A handle: clones share the table.
#[derive(Debug, Clone)]
pub(crate) struct Hosts {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    table: Table,
    /// Frames that came too fast.
    lost: u64,
}

impl Hosts {
    /// Begins to watch.
    ///
    /// # Errors
    /// The switch has ended, or takes no further mirror.
    pub(crate) async fn watch(switch: Addr<Switch>, log: Logger) -> anyhow::Result<Self> {
        let reader = switch
            .send(AddMirror { filter: Filter::hosts(), snaplen: SNAPLEN, octets: QUEUE_OCTETS })
            .await??;
        let hosts = Self { shared: Arc::default() };
        actix_rt::spawn(hosts.clone().read(reader, log));
        Ok(hosts)
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn read(self, mut reader: MirrorReader, log: Logger) {
        let mut collect = tick::every(COLLECT_INTERVAL);
        let (mut turn, mut warned) = (0, false);
        loop {
            let batch = tokio::select! {
                batch = reader.recv() => batch,
                _ = collect.tick() => {
                    self.lock().table.collect(Instant::now());
                    continue;
                }
            };
            let Some(batch) = batch else { return };
            turn += batch.frames.len();
            let counts = self.lock().note(batch);
            if counts.refused_hosts > 0 && !mem::replace(&mut warned, true) {
                warn!(log, "too many hosts: some are not listed";
                    "limit" => table::MAX_HOSTS, "limit-of-port" => table::MAX_HOSTS_OF_PORT);
            }
            if turn >= TURN_FRAMES {
                turn = 0;
                actix_rt::time::sleep(REST).await;
            }
        }
    }

    /// All hosts, by VLAN and then MAC address.
    ///
    /// # Errors
    /// The switch has ended.
    pub(crate) async fn list(&self, control: &Control) -> Result<Vec<HostInfo>, ControlError> {
        let fdb = control.list_fdb(FdbFilter::default()).await?;
        let (ports, now) = (control.list_ports().await?, Instant::now());
        let hosts = self.lock().table.list(now);
        // Sorted where no frame waits for it.
        let listed = spawn_blocking(move || joined(hosts, &fdb, &ports, now));
        listed.await.map_err(|_| ControlError::SwitchGone(MailboxError::Closed))
    }

    /// What is counted, by name.
    pub(crate) fn counters(&self) -> [(&'static str, u64); 4] {
        let shared = self.lock();
        let Counts { refused_hosts, replaced_addresses } = shared.table.counts();
        [
            ("hosts", shared.table.len() as u64),
            ("refused-hosts", refused_hosts),
            ("replaced-addresses", replaced_addresses),
            ("lost-frames", shared.lost),
        ]
    }
}

impl Shared {
    fn note(&mut self, batch: Batch) -> Counts {
        self.lost += batch.lost.values().sum::<u64>();
        for frame in batch.frames {
            self.note_frame(frame);
        }
        self.table.counts()
    }

    fn note_frame(&mut self, frame: Mirrored) {
        self.lost += frame.lost;
        // A host behind a shut or blocked port cannot be reached.
        if !matches!(frame.discard, None | Some(Discard::SamePort)) {
            return;
        }
        let (port, time) = (frame.port, frame.time);
        frame.on_wire(|data, _| {
            if let Some(claim) = Claim::read(data) {
                self.table.note(claim, port, time);
            }
        });
    }
}

/// What is said of each host, by VLAN and then MAC address.
fn joined(
    mut hosts: Vec<((Vid, MacAddr), Host)>,
    fdb: &[FdbInfo],
    ports: &[PortInfo],
    now: Instant,
) -> Vec<HostInfo> {
    hosts.sort_unstable_by_key(|(key, _)| *key);
    let ports: HashMap<_, _> = ports.iter().map(|port| (port.port, port)).collect();
    let info = |((vid, mac), host): ((Vid, MacAddr), Host)| {
        let place = place(fdb, vid, mac);
        let port = place.map_or(host.port, |line| line.entry.port);
        let port = ports.get(&port);
        let last_seen =
            place.map_or(host.last_seen, |line| line.entry.last_seen.max(host.last_seen));
        HostInfo {
            vid,
            mac,
            port: port.map(|port| port.port),
            addresses: host.addresses(now).collect(),
            name: host.name.clone(),
            vendor: vendor(mac),
            user: port.and_then(|port| user(port)),
            age: now.saturating_duration_since(last_seen),
            known: now.saturating_duration_since(host.first_seen),
        }
    };
    hosts.into_iter().map(info).collect()
}

/// The line of an address in a list by VLAN and address.
fn place(fdb: &[FdbInfo], vid: Vid, mac: MacAddr) -> Option<&FdbInfo> {
    let at = fdb.binary_search_by_key(&(vid, mac), |line| (line.vid, line.mac)).ok()?;
    fdb.get(at)
}

/// The user of a session. That of a client port is a user elsewhere.
fn user(port: &PortInfo) -> Option<String> {
    let (_, user) =
        port.details.iter().find(|(name, _)| port.kind == "server" && *name == "user")?;
    Some(user.clone())
}

/// Frames, each behind its length in two octets.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(mut data: &[u8]) {
    let (mut table, now) = (Table::default(), Instant::now());
    while let Some((length, rest)) = data.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes(*length)).min(rest.len());
        let (frame, rest) = rest.split_at(length);
        data = rest;
        if let Some(claim) = claim::check(frame) {
            let _ = vendor(claim.mac);
            table.note(claim, PortNumber::FIRST, now);
        }
    }
    assert!(table.len() <= table::MAX_HOSTS_OF_PORT);
    let most = |host: &Host| host.addresses(now).count() <= table::MAX_ADDRESSES;
    assert!(table.list(now).iter().all(|(_, host)| most(host)));
}
