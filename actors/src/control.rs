//! Control: a function for each thing that can be asked of a switch. JSON-RPC, `ctl` and
//! programs that embed the switch all come through here.

mod bindings;
mod fdb;
mod lldp;
mod mirrors;
mod multicast;
mod stp;

use std::{
    collections::BTreeMap,
    net::IpAddr,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, atomic::Ordering},
    time::Duration,
};

use actix::{Addr, MailboxError};
use actix_rt::ArbiterHandle;
use slog::{Logger, info};
use tokio::{sync::oneshot, task::yield_now, time::timeout};

use crate::{
    core::{
        announce,
        fdb::{FdbError, PortNumber},
        frame::{MacAddr, Vid},
        interface::{AddressSetting, Interface, InterfaceSettings},
        packet::Tag,
        secret::shown,
        settings::{PortName, PortSettings, Profiles},
        state::{PortState, Stop},
    },
    kinds::{Adding, Placement, PortSpec, Store},
    message::{
        AddMirror, AddPortError, ChangePort, DelPort, FindPings, FindPort, Flood, KeepInterface,
        ListPorts, ListProfiles, PortInfo, PortReport, PortSurvey, SetDefaults, SetPort,
        SetPortError, ShowPort, Survey, TakeSurvey,
    },
    mirror::{Filter, MIRROR_OCTETS, MirrorReader, PortMirrorError, TooManyMirrors},
    netlink::{self, LinkError},
    supervisor::AddError,
    switch::Switch,
};

/// How long a ping waits for its answer.
pub const PING_LIMIT: Duration = Duration::from_secs(1);

/// An interface as control shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceInfo {
    /// Number of its port.
    pub port: PortNumber,
    /// Kind of its port.
    pub kind: &'static str,
    /// Its name.
    pub target: String,
    /// Its settings; none, and an MTU of 0, while it does not exist here.
    pub settings: Interface,
    /// Whether another network namespace has it.
    pub is_elsewhere: bool,
}

/// Why a command was not carried out. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// No port has this number.
    #[error("no port {0}; listport shows the ports")]
    NoSuchPort(PortNumber),
    /// The port is no network interface.
    #[error("port {port} is a {kind} port and has no interface; only tap and netdev have")]
    NoInterface {
        /// Which port.
        port: PortNumber,
        /// Its kind.
        kind: &'static str,
    },
    /// Another network namespace has it.
    #[error(
        "{interface} was moved into another network namespace; set it up there: \
         ip netns exec NAME ip addr ..."
    )]
    InterfaceElsewhere {
        /// Its name.
        interface: String,
    },
    /// The port could not be added.
    #[error(transparent)]
    Add(#[from] AddError),
    /// The port cannot have these settings.
    #[error(transparent)]
    Settings(#[from] SetPortError),
    /// The forwarding database refuses.
    #[error(transparent)]
    Fdb(#[from] FdbError),
    /// The interface refuses.
    #[error(transparent)]
    Interface(#[from] LinkError),
    /// Too many look on.
    #[error(transparent)]
    Mirror(#[from] TooManyMirrors),
    /// No mirror that copies to a port.
    #[error(transparent)]
    PortMirror(#[from] PortMirrorError),
    /// Ports of its kind have what they were added with.
    #[error(
        "port {port}, a {kind} port, cannot have these options while it runs: only client ports \
         take others, and keep links and failover; delete it and add it"
    )]
    FixedOptions {
        /// Which port.
        port: PortNumber,
        /// Its kind.
        kind: &'static str,
    },
    /// Its peer is not known to answer pings.
    #[error("port {port}, {target}, cannot be pinged: {reason}")]
    NoPing {
        /// Which port.
        port: PortNumber,
        /// What it is joined to.
        target: String,
        /// Why.
        reason: String,
    },
    /// There is no switch any more.
    #[error("the switch has ended")]
    SwitchGone(#[from] MailboxError),
}

/// What control has made of a port: what it was added as, and what was set since on its
/// interface.
#[derive(Debug, Clone)]
pub struct Known {
    /// As it was added; holds its password.
    pub new: PortSpec,
    /// Addresses that were set, each with its prefix length.
    pub addresses: Vec<(IpAddr, u8)>,
    /// The MTU that was set, in octets.
    pub mtu: Option<u32>,
}

impl Known {
    /// Notes what was set of an interface that is now `interface`.
    fn set(&mut self, settings: &InterfaceSettings, interface: &Interface) {
        self.mtu = settings.mtu.or(self.mtu);
        let v4 = match settings.address {
            Some(AddressSetting::Set(address)) => address.is_ipv4(),
            Some(AddressSetting::Clear) => true,
            None if settings.prefix_len.is_some() => true,
            None => return,
        };
        self.addresses.retain(|(address, _)| address.is_ipv4() != v4);
        let mut now = interface.addresses.iter();
        self.addresses.extend(now.find(|(address, _)| address.is_ipv4() == v4));
        self.addresses.sort_by_key(|(address, _)| address.is_ipv6());
    }
}

/// Carries out commands on a switch.
#[derive(Debug, Clone)]
pub struct Control {
    switch: Addr<Switch>,
    known: Arc<Mutex<BTreeMap<PortNumber, Known>>>,
    placement: Arc<Placement>,
    store: Option<Arc<dyn Store>>,
    log: Logger,
}

impl Control {
    /// Control of `switch`; ports that it adds log to `log` and run on the Arbiter
    /// that the command comes in on.
    #[must_use]
    pub fn new(switch: Addr<Switch>, log: Logger) -> Self {
        Self::with_arbiters(switch, log, [])
    }

    /// The same, with ports on `arbiters` as well, in turn.
    #[must_use]
    pub fn with_arbiters(
        switch: Addr<Switch>,
        log: Logger,
        arbiters: impl IntoIterator<Item = ArbiterHandle>,
    ) -> Self {
        let placement = Arc::new(Placement::new(arbiters));
        Self { switch, known: Arc::default(), placement, store: None, log }
    }

    /// The same; ports that it adds keep in `store` what is to outlast the program.
    #[must_use]
    pub fn with_store(mut self, store: Option<Arc<dyn Store>>) -> Self {
        self.store = store;
        self
    }

    /// All ports, by number.
    ///
    /// # Errors
    /// The switch has ended.
    pub async fn list_ports(&self) -> Result<Vec<PortInfo>, ControlError> {
        Ok(self.survey_ports().await?.into_iter().map(|port| port.info).collect())
    }

    /// All ports with what there is to measure of them, by number: page by page, as they were when
    /// each page was made.
    ///
    /// # Errors
    /// The switch has ended.
    pub async fn survey_ports(&self) -> Result<Vec<PortSurvey>, ControlError> {
        let (mut ports, mut after) = (Vec::new(), None);
        loop {
            let page = self.switch.send(ListPorts { after }).await?;
            ports.extend(page.ports);
            after = page.next;
            if after.is_none() {
                return Ok(ports);
            }
            // Or all pages would be had before the runtime looks for frames again.
            yield_now().await;
        }
    }

    /// Opens a port and adds it with settings of its own.
    ///
    /// # Errors
    /// It cannot be opened, or the switch refuses it or its settings: nothing remains.
    pub async fn add_port(
        &self,
        port: PortSpec,
        settings: PortSettings,
    ) -> Result<PortInfo, ControlError> {
        let number = self.add(port, settings, None).await?;
        self.port(number).await
    }

    /// Sets `settings` on a port; those named in `clear` it has from elsewhere again.
    ///
    /// # Errors
    /// There is no such port, or it refuses one of them: nothing is set.
    pub async fn set_port(
        &self,
        port: PortNumber,
        settings: PortSettings,
        clear: Vec<&'static str>,
    ) -> Result<PortInfo, ControlError> {
        Ok(self.switch.send(SetPort { port, settings, clear }).await??)
    }

    /// Has a port go on with other options of its kind: it is opened anew with them, and keeps
    /// its number. Sets `settings` on it as well, as [`Self::set_port`] does. Gives it as it was
    /// to be, and as it is.
    ///
    /// # Errors
    /// There is no such port, it takes no others, or something of all this cannot be: nothing is
    /// changed.
    pub async fn change_port(
        &self,
        port: PortNumber,
        new: PortSpec,
        settings: PortSettings,
        clear: Vec<&'static str>,
    ) -> Result<PortInfo, ControlError> {
        let info = self.port(port).await?;
        let old = self.known_ports().get(&port).map(|known| known.new.clone());
        let options = old.and_then(|old| new.for_change(&old));
        let options = options.ok_or(ControlError::FixedOptions { port, kind: info.kind })?;
        new.verify(&self.log).map_err(|error| ControlError::Add(AddError::Open(error)))?;
        let (set, target) = (SetPort { port, settings, clear }, shown(new.target()).into_owned());
        let changed = self.switch.send(ChangePort { set, target, options }).await??;
        if let Some(known) = self.known_ports().get_mut(&port) {
            known.new = new;
        }
        Ok(changed)
    }

    /// A port in detail.
    ///
    /// # Errors
    /// There is no such port.
    pub async fn show_port(&self, port: PortNumber) -> Result<PortReport, ControlError> {
        self.switch.send(ShowPort { port }).await?.ok_or(ControlError::NoSuchPort(port))
    }

    /// Deletes a port, and gives it as it was.
    ///
    /// # Errors
    /// There is no such port.
    pub async fn del_port(&self, port: PortNumber) -> Result<PortInfo, ControlError> {
        let info = self.switch.send(DelPort { port, stop: Stop::Deleted }).await?;
        self.known_ports().remove(&port);
        info.ok_or(ControlError::NoSuchPort(port))
    }

    /// The ports that are network interfaces, by number.
    ///
    /// # Errors
    /// The system does not tell.
    pub async fn list_interfaces(&self) -> Result<Vec<InterfaceInfo>, ControlError> {
        let mut interfaces = Vec::new();
        for port in self.list_ports().await? {
            if let Some(name) = &port.interface {
                interfaces.push(interface_info(&port, name).await?);
            }
        }
        Ok(interfaces)
    }

    /// Applies all of `settings` to a port's interface, or nothing.
    ///
    /// # Errors
    /// There is no such port, it is no interface, or the system refuses.
    pub async fn set_interface(
        &self,
        port: PortNumber,
        settings: InterfaceSettings,
    ) -> Result<InterfaceInfo, ControlError> {
        let info = self.port(port).await?;
        let Some(name) = &info.interface else {
            return Err(ControlError::NoInterface { port, kind: info.kind });
        };
        if info.is_elsewhere {
            return Err(ControlError::InterfaceElsewhere { interface: name.clone() });
        }
        netlink::apply(name, &settings).await?;
        info!(self.log, "interface is set"; "port" => %port, "settings" => %settings);
        let interface = interface_info(&info, name).await?;
        if let Some(known) = self.known_ports().get_mut(&port) {
            known.set(&settings, &interface.settings);
        }
        let settings = interface.settings.clone();
        self.switch.send(KeepInterface { port, settings }).await?;
        Ok(interface)
    }

    /// Measures the switch: its queues and tables.
    ///
    /// # Errors
    /// There is no switch any more.
    pub async fn survey(&self) -> Result<Survey, ControlError> {
        Ok(self.switch.send(TakeSurvey).await?)
    }

    /// The round trip to the peer of a tunnel, by a ping of its WebSocket; `None`: there was no
    /// answer within a second.
    ///
    /// # Errors
    /// There is no such port, or its peer cannot be pinged.
    pub async fn ping_port(&self, port: PortNumber) -> Result<Option<Duration>, ControlError> {
        let info = self.port(port).await?;
        let pings = self.switch.send(FindPings { port }).await?;
        let pings = pings.ok_or(ControlError::NoSuchPort(port))?;
        let is_up = !matches!(
            info.state,
            PortState::Connecting { .. } | PortState::Backoff { .. } | PortState::Failed { .. }
        );
        if !is_up || !pings.possible.load(Ordering::Relaxed) {
            let reason = match (info.interface, is_up) {
                (Some(_), _) => "it is an interface; give an address that is behind it".to_owned(),
                (None, false) => format!("it is {}", info.state.name()),
                (None, true) => "its peer is not known to answer pings".to_owned(),
            };
            return Err(ControlError::NoPing { port, target: info.target, reason });
        }
        let mut answered = pin!(pings.answered.notified());
        // From here on no answer is missed.
        answered.as_mut().enable();
        pings.wanted.notify_one();
        let answer = timeout(PING_LIMIT, answered).await;
        Ok(answer.ok().and_then(|()| info.counters.round_trip()))
    }

    /// Asks on the LAN, by ARP or neighbor discovery, who has an address. Whoever has it
    /// answers; a [mirror](Self::mirror) shows that.
    ///
    /// # Errors
    /// The switch has ended.
    pub async fn ask_for(&self, address: IpAddr, vid: Vid) -> Result<(), ControlError> {
        let frame = announce::question(own_address(), address);
        let tagged = vid != Vid::UNTAGGED;
        let frame = if tagged { frame.push_tag(Tag::customer(vid.get())) } else { frame };
        Ok(self.switch.send(Flood { frame }).await?)
    }

    /// The port of that name, or else the one whose interface has it.
    ///
    /// # Errors
    /// The switch has ended.
    pub async fn find_port(&self, name: PortName) -> Result<Option<PortNumber>, ControlError> {
        Ok(self.switch.send(FindPort { name }).await?)
    }

    /// Adds a port with settings of its own that is opened now or later, and gives its
    /// interface `interface` then.
    /// A device has been tried when this is done.
    ///
    /// # Errors
    /// The port cannot be: its options are wrong, or its interface is another port's.
    pub async fn keep(
        &self,
        port: PortSpec,
        settings: PortSettings,
        interface: Vec<InterfaceSettings>,
    ) -> Result<PortNumber, ControlError> {
        self.add(port, settings, Some(interface)).await
    }

    /// Sets what holds for all ports that nothing else was set for.
    ///
    /// # Errors
    /// The switch has ended.
    pub async fn set_defaults(&self, defaults: SetDefaults) -> Result<(), ControlError> {
        Ok(self.switch.send(defaults).await?)
    }

    /// The profiles of settings.
    ///
    /// # Errors
    /// The switch has ended.
    pub async fn list_profiles(&self) -> Result<Arc<Profiles>, ControlError> {
        Ok(self.switch.send(ListProfiles).await?)
    }

    /// The switch that it controls.
    #[must_use]
    pub const fn switch(&self) -> &Addr<Switch> {
        &self.switch
    }

    /// The ports that control has added, as they are to be.
    #[must_use]
    pub fn known(&self) -> Vec<(PortNumber, Known)> {
        let known = self.known_ports();
        known.iter().map(|(number, known)| (*number, known.clone())).collect()
    }

    /// The same of one of them.
    #[must_use]
    pub fn known_port(&self, number: PortNumber) -> Option<Known> {
        self.known_ports().get(&number).cloned()
    }

    fn known_ports(&self) -> MutexGuard<'_, BTreeMap<PortNumber, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// With settings of an interface, the port need not open at once.
    async fn add(
        &self,
        port: PortSpec,
        settings: PortSettings,
        interface: Option<Vec<InterfaceSettings>>,
    ) -> Result<PortNumber, ControlError> {
        let mut known = Known { new: port.clone(), addresses: Vec::new(), mtu: None };
        for settings in interface.iter().flatten() {
            known.mtu = settings.mtu.or(known.mtu);
            if let (Some(AddressSetting::Set(address)), Some(length)) =
                (settings.address, settings.prefix_len)
            {
                known.addresses.push((address, length));
            }
        }
        let number = self.place(port, settings, interface).await?;
        self.known_ports().insert(number, known);
        Ok(number)
    }

    async fn place(
        &self,
        port: PortSpec,
        settings: PortSettings,
        interface: Option<Vec<InterfaceSettings>>,
    ) -> Result<PortNumber, ControlError> {
        if let Some(name) = port.interface() {
            self.check_unused(name).await?;
        }
        let (switch, store, log) = (self.switch.clone(), self.store.clone(), self.log.clone());
        let placement = Arc::clone(&self.placement);
        let adding = Adding { switch, settings, interface, placement, store, log };
        let Some(arbiter) = self.placement.next() else {
            return Ok(port.add(adding).await?);
        };
        let (answer, answered) = oneshot::channel();
        arbiter.spawn_fn(move || {
            actix_rt::spawn(async move {
                // Whoever asked is gone: the port stays, as if the answer were lost.
                let _ = answer.send(port.add(adding).await);
            });
        });
        Ok(answered.await.map_err(|_| MailboxError::Closed)??)
    }

    /// Has the frames that `filter` wants copied for whoever reads them, of each its first
    /// `snaplen` octets.
    ///
    /// # Errors
    /// [`MAX_MIRRORS`](crate::mirror::MAX_MIRRORS) look on already.
    pub async fn mirror(
        &self,
        filter: Filter,
        snaplen: usize,
    ) -> Result<MirrorReader, ControlError> {
        Ok(self.switch.send(AddMirror { filter, snaplen, octets: MIRROR_OCTETS }).await??)
    }

    /// The Switch refuses an interface that it has, but only once it was opened: a
    /// TAP of our own would be taken for another program's.
    async fn check_unused(&self, interface: &str) -> Result<(), ControlError> {
        let ports = self.list_ports().await?;
        match ports.iter().find(|port| port.interface.as_deref() == Some(interface)) {
            None => Ok(()),
            Some(port) => Err(AddError::Refused(AddPortError::InterfaceInUse {
                interface: interface.to_owned(),
                port: port.port,
            })
            .into()),
        }
    }

    async fn port(&self, number: PortNumber) -> Result<PortInfo, ControlError> {
        Ok(self.show_port(number).await?.info)
    }
}

/// The address that this switch asks from: local, one station's, and drawn once.
fn own_address() -> MacAddr {
    static ADDRESS: OnceLock<MacAddr> = OnceLock::new();
    *ADDRESS.get_or_init(|| {
        let random = getrandom::u64().unwrap_or(1).to_be_bytes();
        let [_, _, _, a, b, c, d, e] = random;
        MacAddr([0x02, a, b, c, d, e])
    })
}

async fn interface_info(port: &PortInfo, name: &str) -> Result<InterfaceInfo, LinkError> {
    let is_elsewhere = port.is_elsewhere;
    // One of that name may be another.
    let settings = if is_elsewhere { None } else { netlink::interface(name).await? };
    Ok(InterfaceInfo {
        port: port.port,
        kind: port.kind,
        target: name.to_owned(),
        settings: settings.unwrap_or_default(),
        is_elsewhere,
    })
}
