//! Rapid spanning tree (IEEE 802.1D-2004, clause 17): a bridge that agrees with its neighbors on
//! which ports carry frames, so that no loop is left and every network is reached.
//!
//! Pure: it is told of ports, BPDUs and seconds that pass, and says what to send, which state
//! each port is in and where learned addresses are to be forgotten. The Switch obeys
//! (`switch/stp`). The state machines of the standard are here as rules on its variables: those of
//! one port in `port`, those that concern all of them here. They run until none of them has
//! anything to do, and only then something is told or sent.

pub(crate) mod bpdu;
mod info;
mod machines;
#[cfg(test)]
mod model;
mod port;
mod priority;
mod settings;
#[cfg(test)]
mod tests;

use std::{mem, time::Duration};

use self::port::{MIGRATE_TIME, Message, Port, RX_LIMIT};
pub use self::{
    bpdu::{Bpdu, Information},
    info::{BpduCounts, PortInfo, TreeInfo},
    priority::{BridgeId, PortId, Times, Vector},
    settings::{BridgeError, BridgeSettings, HELLO, StpMode, default_cost},
};
use crate::{
    core::{
        fdb::PortNumber,
        frame::{Frame, MacAddr},
        packet::Ethernet,
        tick::TICK,
    },
    names,
};

names! {
    /// What a port is in the tree (17.4).
    pub enum Role {
        /// No neighbor can be heard by it.
        Disabled = "disabled",
        /// It leads to the root.
        Root = "root",
        /// The root is reached by it.
        Designated = "designated",
        /// It leads to the root as well, and another port is better.
        Alternate = "alternate",
        /// Another port of this bridge leads to the same network.
        Backup = "backup",
    }
}

names! {
    /// What a port does with frames (17.5, table 17-1).
    pub enum State {
        /// It discards them.
        Discarding = "discarding",
        /// It learns addresses from them, and discards them.
        Learning = "learning",
        /// It forwards them.
        Forwarding = "forwarding",
    }
}

/// Whether a station and no bridge is behind a port, so that it may forward at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Edge {
    /// Where no BPDU has come for 3 s.
    #[default]
    Auto,
    /// Until a BPDU comes.
    On,
    /// Never.
    Off,
}

/// What an operator says of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortConfig {
    /// 1 to 200,000,000.
    pub cost: u32,
    /// 0 to 240, in steps of 16.
    pub priority: u8,
    /// Whether it is an edge port.
    pub edge: Edge,
    /// Whether it never leads to the root.
    pub root_guard: bool,
}

/// What is to be done, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// A port is in another state.
    State(PortNumber, State),
    /// What was learned behind these ports is to be forgotten; ascending.
    Flush(Vec<PortNumber>),
    /// A frame is to leave by a port, untagged.
    Send(PortNumber, Frame),
    /// Another bridge is the root.
    Root(BridgeId),
    /// The topology has changed, and had not for some seconds: this port has begun to forward, or
    /// has heard of it.
    TopologyChange(PortNumber),
    /// Root guard keeps this root, which a port claims a better path to, away; or no longer does.
    RootGuard(PortNumber, Option<BridgeId>),
    /// A port other than an edge port has changed its role, or has started or stopped forwarding.
    Part(PortNumber, Role, State),
}

/// What became of a BPDU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// It was heard.
    Heard,
    /// It is not valid, our own, or one too many.
    Discarded,
    /// The port takes no part.
    Nobody,
}

/// The bridge.
#[derive(Debug)]
pub struct Bridge {
    mac: MacAddr,
    settings: BridgeSettings,
    /// By number.
    ports: Vec<Port>,
    root: Vector,
    root_port: Option<PortNumber>,
    root_times: Times,
    root_told: BridgeId,
    changes: u64,
    /// Those that ports have heard of in this second.
    heard: u16,
    since: Option<u32>,
    actions: Vec<Action>,
}

impl Bridge {
    /// A bridge without ports.
    #[must_use]
    pub fn new(mac: MacAddr, settings: BridgeSettings) -> Self {
        let id = BridgeId { priority: settings.priority, mac };
        Self {
            mac,
            settings,
            ports: Vec::new(),
            root: Vector { root: id, cost: 0, bridge: id, port: PortId(0) },
            root_port: None,
            root_times: own_times(&settings),
            root_told: id,
            changes: 0,
            heard: 0,
            since: None,
            actions: Vec::new(),
        }
    }

    const fn id(&self) -> BridgeId {
        BridgeId { priority: self.settings.priority, mac: self.mac }
    }

    /// Times of what designated ports say (17.19.22).
    fn designated_times(&self) -> Times {
        Times { hello: own_times(&self.settings).hello, ..self.root_times }
    }

    /// Puts the operator's word in force.
    pub fn set(&mut self, settings: BridgeSettings) {
        let is_other_protocol = settings.force_stp != self.settings.force_stp;
        self.settings = settings;
        if is_other_protocol {
            self.reopen(|_| true);
        }
        self.ports.iter_mut().for_each(Port::ask_for_role);
        self.run();
    }

    /// Begins anew with all ports that may have a bridge behind them.
    pub fn restart(&mut self) {
        self.reopen(|port| !port.oper_edge);
    }

    fn reopen(&mut self, is_wanted: impl Fn(&Port) -> bool) {
        let settings = self.settings;
        let is_out = |port: &Port| port.enabled && is_wanted(port);
        let out: Vec<_> = self.ports.iter().map(is_out).collect();
        let each = || out.iter().enumerate().filter_map(|(at, is_out)| is_out.then_some(at));
        each().for_each(|at| self.ports[at].close());
        self.run();
        each().for_each(|at| self.ports[at].open(&settings));
        self.run();
    }

    fn find(&self, number: PortNumber) -> Option<usize> {
        self.ports.binary_search_by_key(&number, |port| port.number).ok()
    }

    /// Adds a port, which is closed, or changes what was said of it. Whether there is an identifier
    /// for it: there are 4,095.
    pub fn configure(&mut self, number: PortNumber, config: PortConfig) -> bool {
        let Some(at) = self.find(number) else { return self.add(number, config) };
        let port = &mut self.ports[at];
        if port.config == config {
            return true;
        }
        if port.config.edge != config.edge {
            port.oper_edge = config.edge == Edge::On;
        }
        port.config = config;
        port.id = PortId::new(config.priority, port.id.number());
        port.ask_for_role();
        self.run();
        true
    }

    fn add(&mut self, number: PortNumber, config: PortConfig) -> bool {
        let mut taken = vec![false; usize::from(PortId::MAX_NUMBER) + 1];
        self.ports.iter().for_each(|port| taken[usize::from(port.id.number())] = true);
        let is_free = |id: &u16| !taken[usize::from(*id)];
        let own = u16::try_from(number.get()).ok().filter(|id| *id <= PortId::MAX_NUMBER);
        let own = own.filter(is_free);
        let Some(id) = own.or_else(|| (1..=PortId::MAX_NUMBER).find(is_free)) else { return false };
        let id = PortId::new(config.priority, id);
        let vector = Vector { port: id, bridge: self.id(), ..self.root };
        let port = Port::new(number, id, config, vector, self.designated_times());
        let at = self.ports.partition_point(|port| port.number < number);
        self.ports.insert(at, port);
        true
    }

    /// The port takes part no more.
    pub fn remove(&mut self, number: PortNumber) {
        self.close(number);
        if let Some(at) = self.find(number) {
            self.ports.remove(at);
        }
    }

    /// Frames pass the port's medium from now on.
    pub fn open(&mut self, number: PortNumber) {
        if let Some(at) = self.find(number)
            && !self.ports[at].enabled
        {
            self.ports[at].open(&self.settings);
            self.run();
        }
    }

    /// They do not pass it any more.
    pub fn close(&mut self, number: PortNumber) {
        if let Some(at) = self.find(number)
            && self.ports[at].enabled
        {
            self.ports[at].close();
            self.run();
        }
    }

    /// State of a port that takes part.
    #[must_use]
    pub fn state(&self, number: PortNumber) -> Option<State> {
        self.find(number).map(|at| self.ports[at].state())
    }

    /// A frame to the bridges' group address has come in by a port.
    pub fn receive(&mut self, number: PortNumber, header: Ethernet<'_>) -> Heard {
        let at = self.find(number).filter(|at| self.ports[*at].enabled);
        let Some(at) = at else { return Heard::Nobody };
        let own = (self.id(), self.ports[at].id);
        let port = &mut self.ports[at];
        let heard = Bpdu::read(header).filter(|bpdu| match bpdu {
            Bpdu::Notification => true,
            // Its own, which something has sent back (9.3.4).
            Bpdu::Information(one) => (one.vector.bridge, one.vector.port) != own,
        });
        let Some(bpdu) = heard.filter(|_| port.rx_count < RX_LIMIT) else {
            return self.refuse(number);
        };
        port.rx_count += 1;
        let rapid = matches!(bpdu, Bpdu::Information(Information { is_rapid: true, .. }));
        let is_rstp = !self.settings.force_stp;
        port.oper_edge = false;
        port.edge_delay_while = MIGRATE_TIME;
        port.migrate(rapid, is_rstp);
        port.dirty = true;
        match bpdu {
            Bpdu::Notification => {
                port.rx.tcn += 1;
                port.rcvd_tcn = true;
            }
            Bpdu::Information(heard) => {
                *(if rapid { &mut port.rx.rst } else { &mut port.rx.config }) += 1;
                let what = port.message(&heard);
                match what {
                    Message::SuperiorDesignated | Message::RepeatedDesignated => {
                        port.take_flags(&heard);
                        port.take(&heard, what == Message::SuperiorDesignated, is_rstp);
                    }
                    Message::InferiorDesignated => {
                        port.dispute(&heard);
                        // It has not heard us, and would wait for the next hello.
                        port.new_info |= heard.proposal || !rapid;
                    }
                    Message::NotDesignated => {
                        port.take_agreement(&heard, is_rstp);
                        port.take_flags(&heard);
                    }
                    Message::Other => {}
                }
            }
        }
        self.run();
        Heard::Heard
    }

    /// A BPDU that has come in by a port is one too many.
    pub fn refuse(&mut self, number: PortNumber) -> Heard {
        let Some(at) = self.find(number) else { return Heard::Nobody };
        self.ports[at].rx_discards += 1;
        Heard::Discarded
    }

    /// A second has passed.
    pub fn tick(&mut self) {
        let times = self.designated_times();
        for port in &mut self.ports {
            // What lasts as long as the others' timers is looked at each time.
            let has_heard = port.rcvd_tc || port.rcvd_tcn;
            let is_waiting = has_heard || !matches!(port.role, Role::Designated | Role::Disabled);
            port.dirty |= port.tick(&times) || is_waiting;
        }
        self.heard = 0;
        self.since = self.since.map(|since| since.saturating_add(1));
        self.run();
        self.tell_news();
    }

    /// What is to be done.
    pub fn take_actions(&mut self) -> Vec<Action> {
        mem::take(&mut self.actions)
    }

    /// The tree.
    #[must_use]
    pub fn tree(&self) -> TreeInfo {
        let Times { hello, max_age, forward_delay, .. } = self.root_times;
        let seconds = |seconds: u16| Duration::from_secs(seconds.into());
        TreeInfo {
            bridge: self.id(),
            root: self.root.root,
            root_cost: self.root.cost,
            root_port: self.root_port,
            hello: seconds(hello),
            max_age: seconds(max_age),
            forward_delay: seconds(forward_delay),
            topology_changes: self.changes,
            since_change: self.since.map(|ticks| TICK * ticks),
        }
    }

    /// The ports behind `after`, by number.
    pub fn ports(&self, after: Option<PortNumber>) -> impl Iterator<Item = PortInfo> {
        let from =
            self.ports.partition_point(|port| after.is_some_and(|after| port.number <= after));
        self.ports[from..].iter().map(Self::info)
    }

    /// A port.
    #[must_use]
    pub fn port(&self, number: PortNumber) -> Option<PortInfo> {
        self.find(number).map(|at| Self::info(&self.ports[at]))
    }

    fn info(port: &Port) -> PortInfo {
        PortInfo {
            port: port.number,
            role: port.role,
            state: port.state(),
            cost: port.config.cost,
            priority: port.config.priority,
            port_id: port.id,
            designated_bridge: port.vector.bridge,
            designated_port: port.vector.port,
            designated_cost: port.vector.cost,
            is_edge: port.oper_edge && port.enabled,
            is_point_to_point: true,
            sends_rstp: port.send_rstp,
            received: port.rx,
            discarded: port.rx_discards,
            sent: port.tx,
            transitions: port.transitions,
            is_root_guarded: port.guarded,
        }
    }
}

fn own_times(settings: &BridgeSettings) -> Times {
    // Checked to be 40 at most.
    let seconds = |time: Duration| u16::try_from(time.as_secs()).unwrap_or(u16::MAX);
    Times {
        message_age: 0,
        max_age: seconds(settings.max_age),
        hello: seconds(HELLO),
        forward_delay: seconds(settings.forward_delay),
    }
    .bounded()
}
