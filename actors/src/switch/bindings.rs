//! Bindings in the Switch: learned where a trusted port's DHCP server answers a client of another
//! port, ended by that client or by time.
//!
//! Comes after all guards: what they discard teaches nothing. While no port has `dhcp-guard` or
//! `source-guard` nobody comes here.

use std::{
    collections::HashMap,
    mem,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use actix::prelude::*;
use tokio::time::Instant as TokioInstant;

use super::Switch;
use crate::{
    core::{
        bindings::{Binding, BindingType, Key},
        counters::{Counters, Discard, Incident},
        frame::{Frame, MacAddr, Vid},
        guard::{
            addresses::{self as address, Claims},
            dhcp::{self, Lease, What},
        },
        offload::segment::segment,
        packet::{ETHERTYPE_IPV6, Ethernet},
    },
    message::{BindingFilter, BindingInfo, BindingPage, ListBindings, RestoreBindings},
};

/// Of the longest lease: it has no end (RFC 2131, 3.3), and times must not overflow.
const LONGEST: Duration = Duration::from_secs(u32::MAX as u64);

impl Switch {
    /// Learns what a frame that has come in by the port at `at` says of leases, or why it may not
    /// come in after all.
    pub(super) fn snoop(&mut self, at: usize, frame: &Frame, now: Instant) -> Result<(), Discard> {
        let guards = &self.ports[at].guards;
        let is_trusted = guards.is_trusted();
        let Some(header) = frame.header() else { return Ok(()) };
        let vid = header.vid();
        let message = dhcp::read(header);
        if let Some(rate) = guards.dhcp_rate
            && message.is_some_and(|message| !message.is_for_client)
        {
            let asked = &mut self.holders[self.ports[at].held].asked;
            if !asked.admit(rate, 1, now) {
                return Err(Discard::DhcpRate);
            }
        }
        if guards.source_guard {
            self.inspect(at, header, now)?;
        } else if is_trusted && self.inspected.next(0).is_some() {
            self.see(at, header, now);
        }
        // Servers give leases behind trusted ports, clients give them back behind others.
        match message.filter(|message| message.is_for_client == is_trusted).map(|it| it.what) {
            Some(What::V4(message)) if message.is_reply == is_trusted => match message.lease {
                Some(Lease::Given(ip, time)) if is_trusted => {
                    self.bind(vid, ip.into(), message.client, time, now);
                    Ok(())
                }
                Some(Lease::Returned(ip)) if !is_trusted => {
                    self.unbind(at, (vid, ip.into()), message.client, now)
                }
                _ => Ok(()),
            },
            Some(What::V6(kind, options)) => {
                let mut outcome = Ok(());
                dhcp::leases6(kind, options, |lease| match lease {
                    Lease::Given(ip, time) if is_trusted => {
                        self.bind(vid, ip.into(), header.dst(), time, now);
                    }
                    Lease::Returned(ip) if !is_trusted => {
                        let unbound = self.unbind(at, (vid, ip.into()), header.src(), now);
                        outcome = outcome.and(unbound);
                    }
                    _ => {}
                });
                outcome
            }
            _ => Ok(()),
        }
    }

    /// A server has given `ip` to the client `mac` for so long.
    fn bind(&mut self, vid: Vid, ip: IpAddr, mac: MacAddr, time: Duration, now: Instant) {
        let port = self.relay.fdb().lookup(vid, mac, now).and_then(|port| self.find(port));
        let Some(at) = port.filter(|at| !self.ports[*at].guards.is_trusted()) else { return };
        let port = &self.ports[at];
        let (holder, until) = (Arc::clone(&port.identity), now + time.min(LONGEST));
        let binding = Binding { mac, holder, until, kind: BindingType::Dhcp };
        if !self.bindings.bind((vid, ip), binding, now) && !time.is_zero() {
            port.counters.happened(Incident::BindingDiscard);
        }
    }

    /// Whether the sender of a frame that came in by the port at `at`, which has `source-guard`,
    /// has the addresses that the frame claims.
    fn inspect(&mut self, at: usize, header: Ethernet<'_>, now: Instant) -> Result<(), Discard> {
        let claims = Claims::read(header).map_err(address::Way::discard)?;
        let (mac, vid, way) = (header.src(), header.vid(), claims.way);
        if claims.station.is_some_and(|station| station != mac) {
            return Err(way.discard());
        }
        let port = &self.ports[at];
        let statics = port.applied.allowed_ips.as_ref().filter(|list| !list.is_any());
        for ip in claims.addresses.into_iter().flatten() {
            if statics.is_some_and(|list| list.contains(ip)) {
                continue;
            }
            // Others would believe an advertisement of what is still theirs.
            let may_be_first = ip.is_ipv6() && way != address::Way::Advertisement;
            let station = (mac, &port.identity);
            let claimed = self.bindings.claim((vid, ip), station, may_be_first, now);
            if claimed.is_none() {
                port.counters.happened(Incident::BindingDiscard);
            }
            if claimed != Some(true) {
                return Err(way.discard());
            }
        }
        Ok(())
    }

    /// Notes which IPv6 addresses are behind a trusted port, so that nobody else is the first.
    fn see(&mut self, at: usize, header: Ethernet<'_>, now: Instant) {
        if header.ethertype() != ETHERTYPE_IPV6 {
            return;
        }
        let claims = Claims::read(header).ok().filter(|claims| claims.way != address::Way::Packet);
        let port = &self.ports[at];
        for ip in claims.iter().flat_map(|claims| claims.addresses).flatten() {
            let station = (header.src(), &port.identity);
            if !self.bindings.see((header.vid(), ip), station, now) {
                port.counters.happened(Incident::BindingDiscard);
            }
        }
    }

    /// A client gives an address back: only where it has it.
    fn unbind(&mut self, at: usize, key: Key, mac: MacAddr, now: Instant) -> Result<(), Discard> {
        match self.bindings.get(key, now) {
            Some(binding) if binding.mac == mac && binding.holder == self.ports[at].identity => {
                self.bindings.unbind(key);
                Ok(())
            }
            // Not one that a station elsewhere may have, by whatever name a server knows that.
            _ => Err(Discard::DhcpSpoof),
        }
    }

    /// Notes whether stations behind the port at `at` are believed, and whether their addresses
    /// are.
    pub(super) fn watch(&mut self, at: usize, is_watched: bool, is_inspected: bool) {
        self.watched.set(at, is_watched);
        self.inspected.set(at, is_inspected);
    }

    /// Notes whose the bindings of the port at `at` are: after its name or its target has changed.
    pub(super) fn name_bindings(&mut self, at: usize) {
        let port = &mut self.ports[at];
        let own = match (&port.holder, &port.own.name) {
            (Some(holder), _) => Arc::clone(&holder.identity),
            (None, Some(name)) => name.as_str().into(),
            (None, None) => format!("{} {}", port.kind, port.target).into(),
        };
        if port.identity != own {
            let former = mem::replace(&mut port.identity, own);
            self.bindings.rename(&former, &self.ports[at].identity);
            self.neighbors.rename(&former, &self.ports[at].identity);
        }
    }
}

impl Handler<ListBindings> for Switch {
    type Result = MessageResult<ListBindings>;

    fn handle(&mut self, list: ListBindings, _: &mut Context<Self>) -> Self::Result {
        let now = TokioInstant::now().into_std();
        let BindingFilter { port, vid, mac, ip } = list.filter;
        let holder = port.map(|port| self.find(port).map(|at| &self.ports[at].identity));
        let wanted = |(of, address): &Key, binding: &Binding| {
            vid.is_none_or(|vid| vid == *of)
                && ip.is_none_or(|ip| ip == *address)
                && mac.is_none_or(|mac| mac == binding.mac)
                && holder.is_none_or(|holder| holder == Some(&binding.holder))
        };
        let (mut found, mut next) = self.bindings.page(list.after, now, wanted);
        if list.with_heard {
            let (heard, heard_next) = self.neighbors.all().page(list.after, now, wanted);
            // What was looked at of both.
            next = [next, heard_next].into_iter().flatten().min();
            let is_known = |key| self.bindings.get(key, now).is_some();
            found.extend(heard.into_iter().filter(|(key, _)| !is_known(*key)));
            found.retain(|(key, _)| next.is_none_or(|next| *key <= next));
            found.sort_unstable_by_key(|(key, _)| *key);
        }
        let mut ports = HashMap::new();
        for port in self.ports.by_number(None).filter(|_| !found.is_empty()) {
            ports.entry(&port.identity).or_insert(port.number);
        }
        let info = |((vid, ip), Binding { mac, holder, until, kind }): (Key, Binding)| {
            let left = until.saturating_duration_since(now);
            BindingInfo { vid, ip, mac, port: ports.get(&holder).copied(), holder, left, kind }
        };
        let entries = found.into_iter().map(info).collect();
        MessageResult(BindingPage { entries, next, changes: self.bindings.changes() })
    }
}

impl Handler<RestoreBindings> for Switch {
    type Result = u64;

    fn handle(&mut self, RestoreBindings(all): RestoreBindings, _: &mut Context<Self>) -> u64 {
        let now = TokioInstant::now().into_std();
        for BindingInfo { vid, ip, mac, holder, left, kind, .. } in all {
            let until = now + left.min(LONGEST);
            self.bindings.bind((vid, ip), Binding { mac, holder, until, kind }, now);
        }
        self.bindings.changes()
    }
}

/// Cuts super-frames of DHCP messages: guards read each message.
pub(super) fn messages_apart(frames: Vec<Frame>, counters: &Counters) -> Vec<Frame> {
    if !frames.iter().any(dhcp::are_messages) {
        return frames;
    }
    let mut apart = Vec::with_capacity(frames.len());
    for frame in frames {
        if !dhcp::are_messages(&frame) {
            apart.push(frame);
        } else if segment(frame, |message| apart.push(message)).is_err() {
            counters.discarded(Discard::UnknownOffload, 1);
        }
    }
    apart
}
