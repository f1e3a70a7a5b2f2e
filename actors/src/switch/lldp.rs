//! LLDP in the Switch: which ports take part, what they send, and what they receive.
//!
//! An LLDPDU belongs to its port and to no VLAN: guards and blocked ports do not concern it, and it
//! is never forwarded. Where no port takes part, nothing here is called.

use std::{net::IpAddr, time::Instant};

use actix::prelude::*;
use tokio::time::Instant as TokioInstant;

use super::{PortEntry, Switch};
use crate::{
    core::{
        counters::{Discard, Incident},
        frame::{Frame, MIN_FRAME_LEN, MacAddr},
        interface::InterfaceStatus,
        lldp::{
            Action, Capabilities, ETHERTYPE_LLDP, Heard, Id, IdType, Lldp, ManagementAddress, Pdu,
            System,
        },
        packet::{Ethernet, HEADER_LEN},
        settings::LldpStatus,
    },
    message::{Credit, ListNeighbors, NeighborInfo, NeighborPage},
    monitor::Kind,
    tick,
};

/// The nearest bridge: what stands between two switches keeps it (IEEE 802.1AB, table 7-1).
const NEAREST_BRIDGE: MacAddr = MacAddr([0x01, 0x80, 0xc2, 0, 0, 0x0e]);

/// Octets of an LLDPDU at most: what every interface takes.
const ROOM: u32 = 1500;

/// Octets that a frame has beside what its MTU counts, with FCS.
const OVERHEAD: u32 = 18;

/// What the Switch keeps of LLDP.
#[derive(Debug)]
pub(super) struct Discovery {
    pub(super) agents: Lldp,
    /// Whether interfaces take part that nothing else was set for.
    pub(super) is_on: bool,
    system: System,
}

impl Discovery {
    pub(super) fn new(is_on: bool, system: System) -> Self {
        Self { agents: Lldp::new(tick::start().into_std()), is_on, system }
    }
}

impl Switch {
    /// Has the port at `at` take part if it is open, after anything that may have changed that.
    /// What is to be sent waits to be delivered.
    pub(super) fn note_lldp(&mut self, at: usize) {
        let port = &self.ports[at];
        let takes_part = port.is_open() && !port.is_reserved;
        let status = if takes_part { port.lldp } else { LldpStatus::Disabled };
        let now = TokioInstant::now().into_std();
        self.lldp.agents.set(port.number, port.held, status, now);
        self.obey_lldp();
    }

    /// Takes a frame of LLDP that came in by the port at `at`, which takes part.
    pub(super) fn receive_lldp(
        &mut self,
        at: usize,
        header: Ethernet<'_>,
        frame: &Frame,
        now: Instant,
    ) {
        let port = &self.ports[at];
        let heard = self.lldp.agents.receive(port.number, header.payload(), now);
        let discard = (heard == Heard::TooMany).then_some(Discard::StormMulticast);
        self.mirrors.received(port.number, frame, discard, now);
        match heard {
            Heard::Taken => {}
            Heard::Malformed => port.counters.happened(Incident::LldpError),
            Heard::NoRoom => port.counters.happened(Incident::LldpDiscard),
            Heard::TooMany => port.counters.discarded(Discard::StormMulticast, 1),
        }
        self.obey_lldp();
    }

    /// Does what is due.
    pub(super) fn look_at_lldp(&mut self, now: Instant) {
        if self.lldp.agents.due().is_some_and(|due| due <= now) {
            self.lldp.agents.look(now);
            self.obey_lldp();
            self.deliver(&Credit::NONE);
        }
    }

    /// Tells all neighbors that what they know of this switch holds no longer; whether there is
    /// somebody to tell.
    pub(super) fn end_lldp(&mut self) -> bool {
        self.lldp.agents.end(TokioInstant::now().into_std());
        self.obey_lldp();
        let tells = !self.touched.is_empty();
        self.deliver(&Credit::NONE);
        tells
    }

    fn obey_lldp(&mut self) {
        for action in self.lldp.agents.take_actions() {
            match action {
                Action::Send(number, ttl) => {
                    let at = self.find(number);
                    // What goes down has nobody to tell.
                    let can =
                        |at: &usize| self.ports[*at].is_up() && !self.ports[*at].has_no_carrier();
                    if let Some(at) = at.filter(can) {
                        let frame = self.lldpdu(at, ttl);
                        self.mirrors.another();
                        self.append(at, frame, TokioInstant::now().into_std());
                    }
                }
                Action::Tell(number, news, pdu) => {
                    let Some(at) = self.find(number) else { continue };
                    self.monitor.tell(|| {
                        let event = self.ports[at].event(Kind::Neighbor).text("what", news);
                        let event = event.text("chassis", &pdu.chassis).text("id", &pdu.port);
                        event.text("name", pdu.system_name.as_deref().unwrap_or("-"))
                    });
                }
            }
        }
    }

    /// What the port at `at` tells, for so many seconds.
    fn lldpdu(&self, at: usize, ttl: u16) -> Frame {
        let port = &self.ports[at];
        let mtu = port.status.as_ref().map(|status| status.mtu);
        let mut pdu = Pdu::new(Id::mac(self.mac), port_id(port), ttl);
        if ttl > 0 {
            let description = port.own.description.as_ref().map(ToString::to_string);
            let target = || format!("{} {}", port.kind, port.target);
            pdu.port_description = Some(description.unwrap_or_else(target));
            pdu.system_name = Some(self.lldp.system.name.clone());
            pdu.system_description = Some(self.lldp.system.description.clone());
            pdu.capabilities = Some(Capabilities::BRIDGE);
            pdu.addresses = self.management_addresses(at);
            pdu.max_frame = mtu.map(|mtu| u16::try_from(mtu + OVERHEAD).unwrap_or(u16::MAX));
            if let Some(vlans) = &port.vlans {
                pdu.pvid = Some(vlans.pvid().map_or(0, |vid| vid.get()));
                let own = self.vlans.names.iter().filter(|(vid, _)| vlans.is_member(**vid));
                pdu.vlans = own.map(|(vid, name)| (vid.get(), name.clone())).collect();
            }
        }
        let room = mtu.unwrap_or(ROOM).min(ROOM);
        let mut data = Vec::with_capacity(HEADER_LEN + ROOM as usize);
        data.extend(NEAREST_BRIDGE.0);
        data.extend(self.mac.0);
        data.extend(ETHERTYPE_LLDP.to_be_bytes());
        data.extend(pdu.write(room as usize));
        data.resize(data.len().max(MIN_FRAME_LEN), 0);
        Frame::new(data.into())
    }

    /// Where this switch is managed, as the neighbor of the port at `at` is told: an address of
    /// each family, of that port's interface or of this host's devices; without any, the switch's
    /// MAC address (IEEE 802.1AB, 8.5.9).
    fn management_addresses(&self, at: usize) -> Vec<ManagementAddress> {
        let hosts = self.ports.iter().filter(|(_, port)| port.is_host);
        let all = [(at, &self.ports[at])].into_iter().chain(hosts);
        let of = |port: &PortEntry| {
            let number = port.number.get();
            let addresses = port.status.iter().flat_map(|status| &status.addresses);
            addresses.map(move |(ip, _)| (*ip, number)).collect::<Vec<_>>()
        };
        let all: Vec<_> =
            all.flat_map(|(_, port)| of(port)).filter(|(ip, _)| is_global(*ip)).collect();
        let first = |is_it: fn(&IpAddr) -> bool| all.iter().find(|(ip, _)| is_it(ip));
        let both = [first(IpAddr::is_ipv4), first(IpAddr::is_ipv6)];
        let both = both.into_iter().flatten().map(|(ip, port)| ManagementAddress::ip(*ip, *port));
        let addresses: Vec<_> = both.collect();
        if addresses.is_empty() { vec![ManagementAddress::mac(self.mac)] } else { addresses }
    }

    /// The interface of the port at `at` is otherwise than `before`: neighbors are told.
    pub(super) fn note_interface(&mut self, at: usize, before: Option<&InterfaceStatus>) {
        let port = &self.ports[at];
        if port.status.as_ref() != before {
            // Addresses of a device of this host are told by every port.
            let port = (!port.is_host).then_some(port.number);
            self.lldp.agents.change(port, TokioInstant::now().into_std());
        }
    }
}

/// What the port is called: its interface, else its own name, else its number.
fn port_id(port: &PortEntry) -> Id {
    match (&port.interface, &port.own.name) {
        (Some(interface), _) => Id::text(IdType::IfName, interface),
        (None, Some(name)) => Id::text(IdType::Local, name.as_str()),
        (None, None) => Id::text(IdType::Local, &port.number.to_string()),
    }
}

/// Whether somebody elsewhere can reach it.
fn is_global(ip: IpAddr) -> bool {
    let is_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    !is_local && !ip.is_loopback()
}

impl Handler<ListNeighbors> for Switch {
    type Result = MessageResult<ListNeighbors>;

    fn handle(&mut self, list: ListNeighbors, _: &mut Context<Self>) -> Self::Result {
        let now = TokioInstant::now().into_std();
        let (page, next) = self.lldp.agents.page(list.port, list.after.as_ref(), now);
        let info = |(port, pdu, left)| NeighborInfo { port, pdu, left };
        MessageResult(NeighborPage { neighbors: page.into_iter().map(info).collect(), next })
    }
}
