//! The state machines of all ports (IEEE 802.1D-2004, 17.26 to 17.29), as rules on the standard's
//! variables, and the selection of roles.

use std::mem;

use super::{
    Action, Bpdu, Bridge, Edge, Information, PortId, Role, State, Times, Vector, own_times,
    port::{InfoIs, MIGRATE_TIME, TC_LIMIT, TX_HOLD_COUNT, Topology},
};

/// Changes of the topology that all ports hear of in a second: for each the forwarding database may
/// be looked through. Further ones wait for the next second.
const HEARD_LIMIT: u16 = 16;

impl Bridge {
    /// Lets the machines run until none of them has anything to do, and says what has come of it.
    pub(super) fn run(&mut self) {
        // Each pass is a step in the standard's sequences of a dozen; the bound is for a mistake.
        for _ in 0..64 {
            if self.ports.iter().any(|port| port.reselect) {
                self.select_roles();
            }
            let mut has_changed = false;
            for at in 0..self.ports.len() {
                if mem::take(&mut self.ports[at].dirty) {
                    while self.step(at) {
                        has_changed = true;
                    }
                }
            }
            if has_changed {
                // Some look at the others: root and alternate ports at all of them.
                self.ports.iter_mut().for_each(|port| port.dirty = true);
            } else if self.ports.iter().all(|port| !port.dirty) {
                break;
            }
        }
        self.tell();
    }

    fn tell(&mut self) {
        for port in &mut self.ports {
            let state = port.state();
            if mem::replace(&mut port.told, state) != state {
                port.transitions += u64::from(state == State::Forwarding);
                self.actions.push(Action::State(port.number, state));
            }
        }
        let flushed = self
            .ports
            .iter_mut()
            .filter_map(|port| mem::take(&mut port.flush).then_some(port.number));
        let flushed: Vec<_> = flushed.collect();
        if !flushed.is_empty() {
            self.actions.push(Action::Flush(flushed));
        }
        for at in 0..self.ports.len() {
            self.transmit(at);
        }
    }

    /// Says what is for people, and may change with each BPDU: once a second.
    pub(super) fn tell_news(&mut self) {
        if mem::replace(&mut self.root_told, self.root.root) != self.root.root {
            self.actions.push(Action::Root(self.root.root));
        }
        for port in &mut self.ports {
            if mem::replace(&mut port.guard_told, port.guarded) != port.guarded {
                let root = port.guarded.then_some(port.vector.root);
                self.actions.push(Action::RootGuard(port.number, root));
            }
            self.actions.extend(port.tell_part());
        }
    }

    /// Sends what a port has to say (PTX, 17.26).
    fn transmit(&mut self, at: usize) {
        let times = self.designated_times();
        let port = &mut self.ports[at];
        let may = port.enabled && port.selected && !port.updt_info;
        if !may || !port.new_info || port.tx_count >= TX_HOLD_COUNT {
            return;
        }
        let bpdu = match port.role {
            Role::Root if !port.send_rstp => Bpdu::Notification,
            Role::Disabled | Role::Alternate | Role::Backup if !port.send_rstp => return,
            role => Bpdu::Information(Information {
                is_rapid: port.send_rstp,
                role,
                vector: port.designated,
                times,
                topology_change: port.tc_while > 0,
                topology_change_ack: port.tc_ack,
                proposal: port.proposing,
                agreement: port.agree,
                learning: port.learn,
                forwarding: port.forward,
            }),
        };
        *(match bpdu {
            Bpdu::Notification => &mut port.tx.tcn,
            Bpdu::Information(Information { is_rapid: true, .. }) => &mut port.tx.rst,
            Bpdu::Information(_) => &mut port.tx.config,
        }) += 1;
        port.new_info = false;
        if bpdu != Bpdu::Notification {
            port.tc_ack = false;
        }
        port.tx_count += 1;
        port.hello_when = times.hello;
        self.actions.push(Action::Send(port.number, bpdu.frame(self.mac)));
    }

    /// Selects the root and the role of each port (17.21.25).
    pub(super) fn select_roles(&mut self) {
        let own = Vector { root: self.id(), cost: 0, bridge: self.id(), port: PortId(0) };
        let paths = self.ports.iter().enumerate().filter_map(|(at, port)| {
            let is_other = port.info_is == InfoIs::Received && port.vector.bridge.mac != self.mac;
            let cost = port.vector.cost.saturating_add(port.config.cost);
            is_other.then_some((Vector { cost, ..port.vector }, port.id, at))
        });
        let guarded = |at: usize| self.ports[at].config.root_guard;
        let best = paths.clone().filter(|(.., at)| !guarded(*at)).min();
        let best = best.filter(|(path, ..)| *path < own);
        let better = |path: &Vector| best.is_none_or(|(best, ..)| *path < best) && *path < own;
        let kept: Vec<_> =
            paths.filter(|(path, _, at)| guarded(*at) && better(path)).map(|(.., at)| at).collect();
        (self.root, self.root_times) = match best {
            Some((path, _, at)) => {
                let times = self.ports[at].times;
                (path, Times { message_age: times.message_age.saturating_add(1), ..times })
            }
            None => (own, own_times(&self.settings)),
        };
        let root_port = best.map(|(.., at)| at);
        self.root_port = root_port.map(|at| self.ports[at].number);
        let times = self.designated_times();
        let (id, root) = (self.id(), self.root);
        for (at, port) in self.ports.iter_mut().enumerate() {
            port.reselect = false;
            port.selected = true;
            port.guarded = kept.binary_search(&at).is_ok();
            port.designated = Vector { bridge: id, port: port.id, ..root };
            let (role, updates) = match port.info_is {
                InfoIs::Disabled => (Role::Disabled, false),
                InfoIs::Aged => (Role::Designated, true),
                InfoIs::Mine => {
                    let differs = port.vector != port.designated || port.times != times;
                    (Role::Designated, differs)
                }
                InfoIs::Received if root_port == Some(at) => (Role::Root, false),
                InfoIs::Received if port.designated < port.vector => (Role::Designated, true),
                InfoIs::Received if port.vector.bridge.mac == self.mac => (Role::Backup, false),
                InfoIs::Received => (Role::Alternate, false),
            };
            (port.selected_role, port.updt_info) = (role, updates);
            port.dirty |= updates || role != port.role;
        }
    }

    /// One step of a port's machines, if one of them has something to do.
    fn step(&mut self, at: usize) -> bool {
        self.inform(at) || self.find_edge(at) || self.change_role(at) || self.follow_topology(at)
    }

    /// PIM (17.27), but what comes with a message.
    fn inform(&mut self, at: usize) -> bool {
        let times = self.designated_times();
        let port = &mut self.ports[at];
        if port.selected && port.updt_info {
            (port.proposing, port.proposed) = (false, false);
            let is_good = port.info_is == InfoIs::Mine
                && port.designated <= port.vector
                && port.designated.root == port.vector.root;
            port.agreed = port.agreed && is_good;
            port.synced = port.synced && port.agreed;
            (port.vector, port.times) = (port.designated, times);
            port.updt_info = false;
            port.info_is = InfoIs::Mine;
            port.new_info = true;
            return true;
        }
        if port.info_is == InfoIs::Received && port.rcvd_info_while == 0 && !port.updt_info {
            port.info_is = InfoIs::Aged;
            port.ask_for_role();
            // Selected by the next pass.
            return true;
        }
        false
    }

    /// BDM (17.25).
    fn find_edge(&mut self, at: usize) -> bool {
        let port = &mut self.ports[at];
        let is_edge = !port.oper_edge
            && port.config.edge == Edge::Auto
            && port.edge_delay_while == 0
            && port.send_rstp
            && port.proposing
            && port.enabled;
        port.oper_edge |= is_edge;
        is_edge
    }

    /// PRT (17.28).
    fn change_role(&mut self, at: usize) -> bool {
        let times = self.designated_times();
        let port = &mut self.ports[at];
        if !port.selected || port.updt_info {
            return false;
        }
        if port.role != port.selected_role {
            port.role = port.selected_role;
            if !port.is_root_or_designated() {
                (port.learn, port.forward) = (false, false);
            }
            port.hold(&times);
            return true;
        }
        match port.role {
            Role::Disabled => false,
            Role::Designated => self.designate(at),
            Role::Root => self.agree(at) || self.root(at),
            Role::Alternate | Role::Backup => self.agree(at),
        }
    }

    /// Answers a proposal, once all other ports are in sync.
    fn agree(&mut self, at: usize) -> bool {
        let port = &mut self.ports[at];
        if port.proposed && !port.agree {
            port.proposed = false;
            self.ports.iter_mut().for_each(|port| port.sync = true);
            return true;
        }
        if port.proposed && port.agree || !port.agree && self.all_synced() {
            let port = &mut self.ports[at];
            (port.proposed, port.sync) = (false, false);
            (port.agree, port.new_info) = (true, true);
            return true;
        }
        false
    }

    /// 17.20.3
    fn all_synced(&self) -> bool {
        self.ports.iter().all(|port| {
            let is_settled = port.selected && !port.updt_info && port.role == port.selected_role;
            is_settled && (port.role == Role::Root || port.synced)
        })
    }

    fn root(&mut self, at: usize) -> bool {
        let times = self.designated_times();
        let port = &self.ports[at];
        if !port.forward && !port.re_root {
            self.ports.iter_mut().for_each(|port| port.re_root = true);
            return true;
        }
        let others = || self.ports.iter().enumerate().filter(|(other, _)| *other != at);
        let may = port.fd_while == 0
            || (!self.settings.force_stp
                && port.rb_while == 0
                && others().all(|(_, port)| port.rr_while == 0));
        let port = &mut self.ports[at];
        if may && !port.learn {
            port.fd_while = port.forward_delay(&times);
            port.learn = true;
            return true;
        }
        if may && !port.forward {
            (port.fd_while, port.forward) = (0, true);
            return true;
        }
        if port.re_root && port.forward {
            port.re_root = false;
            return true;
        }
        false
    }

    fn designate(&mut self, at: usize) -> bool {
        let times = self.designated_times();
        let port = &mut self.ports[at];
        if !port.forward && !port.agreed && !port.proposing && !port.oper_edge {
            (port.proposing, port.new_info) = (true, true);
            port.edge_delay_while = MIGRATE_TIME;
            return true;
        }
        let is_settled = !port.learn || port.agreed || port.oper_edge;
        if (!port.synced && is_settled) || (port.sync && port.synced) {
            (port.rr_while, port.synced, port.sync) = (0, true, false);
            return true;
        }
        if port.rr_while == 0 && port.re_root {
            port.re_root = false;
            return true;
        }
        let is_out = (port.sync && !port.synced) || (port.re_root && port.rr_while != 0);
        if (is_out || port.disputed) && !port.oper_edge && (port.learn || port.forward) {
            (port.learn, port.forward, port.disputed) = (false, false, false);
            port.fd_while = port.forward_delay(&times);
            return true;
        }
        let may = port.fd_while == 0 || port.agreed || port.oper_edge;
        if may && !is_out && !port.sync && !port.learn {
            port.learn = true;
            port.fd_while = port.forward_delay(&times);
            return true;
        }
        if may && !is_out && !port.sync && !port.forward {
            (port.forward, port.fd_while) = (true, 0);
            port.agreed = port.send_rstp;
            return true;
        }
        false
    }

    /// TCM (17.29).
    fn follow_topology(&mut self, at: usize) -> bool {
        let times = self.designated_times();
        let port = &mut self.ports[at];
        match port.topology {
            Topology::Inactive if port.learn => port.topology = Topology::Learning,
            Topology::Inactive => {
                // What is heard meanwhile is not for it.
                (port.rcvd_tc, port.rcvd_tcn) = (false, false);
                (port.rcvd_tc_ack, port.tc_prop) = (false, false);
                return false;
            }
            Topology::Learning => {
                (port.rcvd_tc, port.rcvd_tcn) = (false, false);
                (port.rcvd_tc_ack, port.tc_prop) = (false, false);
                if port.is_root_or_designated() && port.forward && !port.oper_edge {
                    port.start_tc_while(&times);
                    port.new_info = true;
                    port.topology = Topology::Active;
                    self.propagate(at);
                } else if !port.is_root_or_designated() && !port.learn {
                    port.topology = Topology::Inactive;
                    (port.flush, port.tc_while, port.tc_ack) = (true, 0, false);
                } else {
                    return false;
                }
            }
            Topology::Active if !port.is_root_or_designated() || port.oper_edge => {
                port.topology = Topology::Learning;
            }
            Topology::Active
                if (port.rcvd_tcn || port.rcvd_tc)
                    && port.tc_count < TC_LIMIT
                    && self.heard < HEARD_LIMIT =>
            {
                port.tc_count += 1;
                self.heard += 1;
                if port.rcvd_tcn {
                    port.start_tc_while(&times);
                }
                (port.rcvd_tcn, port.rcvd_tc) = (false, false);
                port.tc_ack |= port.role == Role::Designated;
                self.propagate(at);
            }
            Topology::Active if port.tc_prop => {
                port.start_tc_while(&times);
                (port.flush, port.tc_prop) = (true, false);
            }
            Topology::Active if port.rcvd_tc_ack => {
                (port.tc_while, port.rcvd_tc_ack) = (0, false);
            }
            Topology::Active => return false,
        }
        true
    }

    /// Tells all others of a change that the port at `at` has seen.
    fn propagate(&mut self, at: usize) {
        for (other, port) in self.ports.iter_mut().enumerate() {
            port.tc_prop |= other != at;
        }
        // STP bridges tell of one for half a minute, RSTP bridges for two hellos (14.8.1.1.3).
        let pause = u32::from(self.designated_times().hello) + 1;
        if self.since.is_none_or(|since| since > pause) {
            self.changes += 1;
            self.actions.push(Action::TopologyChange(self.ports[at].number));
        }
        self.since = Some(0);
    }
}
