//! A port of the bridge: its variables (IEEE 802.1D-2004, 17.17 to 17.19), and what of the state
//! machines concerns it alone.
//!
//! Names are the standard's. `learning` and `forwarding` are missing: the Switch does at once what
//! `learn` and `forward` say.

use super::{
    Action, BpduCounts, BridgeSettings, Edge, PortConfig, Role, State,
    bpdu::Information,
    priority::{PortId, Times, Vector},
};
use crate::core::fdb::PortNumber;

/// Seconds after which a neighbor counts as heard out (17.13.9).
pub(super) const MIGRATE_TIME: u16 = 3;

/// BPDUs that a port sends at once, and then each second (17.13.12).
pub(super) const TX_HOLD_COUNT: u16 = 6;

/// BPDUs a second that are heard of a port: several times what a bridge may send.
pub(super) const RX_LIMIT: u16 = 32;

/// Changes of the topology that are taken of a port in a second: as many as follow each other where
/// links come back one after the other.
pub(super) const TC_LIMIT: u16 = 3;

/// What each piece of news of a port costs, and how much is left of that when no more is told: one
/// second takes 1 away. Several may follow each other, and then one every 10 s.
const NEWS: u16 = 10;
const NEWS_LIMIT: u16 = 50;

/// Where a port has its information from (17.19.10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InfoIs {
    Disabled,
    Aged,
    Mine,
    Received,
}

/// Port protocol migration (17.24).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Migration {
    CheckingRstp,
    SelectingStp,
    Sensing,
}

/// Topology change (17.29); the states that are left at once are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Topology {
    Inactive,
    Learning,
    Active,
}

/// Of a port that has just come up.
const UNTOLD: (Role, bool) = (Role::Designated, false);

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "the standard's variables")]
pub(super) struct Port {
    pub(super) number: PortNumber,
    pub(super) id: PortId,
    pub(super) config: PortConfig,
    pub(super) enabled: bool,
    /// Whether there may be something for its machines to do.
    pub(super) dirty: bool,
    /// What was last told of it.
    pub(super) told: State,

    pub(super) info_is: InfoIs,
    pub(super) vector: Vector,
    pub(super) times: Times,
    pub(super) designated: Vector,
    pub(super) role: Role,
    pub(super) selected_role: Role,
    pub(super) migration: Migration,
    pub(super) topology: Topology,

    pub(super) agree: bool,
    pub(super) agreed: bool,
    pub(super) disputed: bool,
    pub(super) flush: bool,
    pub(super) forward: bool,
    /// Whether it would be a root port, were it not for root guard.
    pub(super) guarded: bool,
    pub(super) guard_told: bool,
    /// The role that was last told, and whether it forwarded then.
    part_told: (Role, bool),
    news: u16,
    pub(super) learn: bool,
    pub(super) new_info: bool,
    pub(super) oper_edge: bool,
    pub(super) proposed: bool,
    pub(super) proposing: bool,
    pub(super) rcvd_tc: bool,
    pub(super) rcvd_tc_ack: bool,
    pub(super) rcvd_tcn: bool,
    pub(super) re_root: bool,
    pub(super) reselect: bool,
    pub(super) selected: bool,
    pub(super) send_rstp: bool,
    pub(super) sync: bool,
    pub(super) synced: bool,
    pub(super) tc_ack: bool,
    pub(super) tc_prop: bool,
    pub(super) updt_info: bool,
    /// Changes of the topology that were taken of it in this second. Others wait for the next one.
    pub(super) tc_count: u16,

    pub(super) edge_delay_while: u16,
    pub(super) fd_while: u16,
    pub(super) hello_when: u16,
    pub(super) mdelay_while: u16,
    pub(super) rb_while: u16,
    pub(super) rcvd_info_while: u16,
    pub(super) rr_while: u16,
    pub(super) tc_while: u16,
    pub(super) tx_count: u16,
    pub(super) rx_count: u16,

    pub(super) rx: BpduCounts,
    pub(super) tx: BpduCounts,
    /// BPDUs that were not heard: invalid ones, our own, and those over the limit.
    pub(super) rx_discards: u64,
    /// How often it has begun to forward.
    pub(super) transitions: u64,
}

/// What a message says to a port (17.21.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Message {
    SuperiorDesignated,
    RepeatedDesignated,
    InferiorDesignated,
    NotDesignated,
    Other,
}

impl Port {
    /// A port that is disabled.
    pub(super) fn new(
        number: PortNumber,
        id: PortId,
        config: PortConfig,
        vector: Vector,
        times: Times,
    ) -> Self {
        Self {
            number,
            id,
            config,
            enabled: false,
            dirty: false,
            told: State::Discarding,
            info_is: InfoIs::Disabled,
            vector,
            times,
            designated: vector,
            role: Role::Disabled,
            selected_role: Role::Disabled,
            migration: Migration::CheckingRstp,
            topology: Topology::Inactive,
            agree: false,
            agreed: false,
            disputed: false,
            flush: false,
            forward: false,
            guarded: false,
            guard_told: false,
            part_told: UNTOLD,
            news: 0,
            learn: false,
            new_info: false,
            oper_edge: config.edge == Edge::On,
            proposed: false,
            proposing: false,
            rcvd_tc: false,
            rcvd_tc_ack: false,
            rcvd_tcn: false,
            re_root: false,
            reselect: false,
            selected: true,
            send_rstp: true,
            sync: false,
            synced: true,
            tc_ack: false,
            tc_prop: false,
            updt_info: false,
            tc_count: 0,
            edge_delay_while: MIGRATE_TIME,
            fd_while: times.max_age,
            hello_when: times.hello,
            mdelay_while: MIGRATE_TIME,
            rb_while: 0,
            rcvd_info_while: 0,
            rr_while: 0,
            tc_while: 0,
            tx_count: 0,
            rx_count: 0,
            rx: BpduCounts::default(),
            tx: BpduCounts::default(),
            rx_discards: 0,
            transitions: 0,
        }
    }

    pub(super) const fn state(&self) -> State {
        match (self.learn, self.forward) {
            (_, true) => State::Forwarding,
            (true, false) => State::Learning,
            (false, false) => State::Discarding,
        }
    }

    /// What people are told of it in this second: not that it waits since it has come up, which each
    /// port does, nor what stations' ports do, nor what root guard says better.
    pub(super) fn tell_part(&mut self) -> Option<Action> {
        self.news = self.news.saturating_sub(1);
        if !self.enabled {
            self.part_told = UNTOLD;
            return None;
        }
        let part = (self.role, self.forward);
        if part == self.part_told || self.guarded || self.news > NEWS_LIMIT {
            return None;
        }
        self.part_told = part;
        if self.oper_edge {
            return None;
        }
        self.news += NEWS;
        Some(Action::Part(self.number, self.role, self.state()))
    }

    /// Its neighbor can be heard from now on (PIM, DISABLED to AGED).
    pub(super) fn open(&mut self, settings: &BridgeSettings) {
        self.enabled = true;
        self.info_is = InfoIs::Aged;
        self.oper_edge = self.config.edge == Edge::On;
        self.send_rstp = !settings.force_stp;
        self.migration = Migration::CheckingRstp;
        self.mdelay_while = MIGRATE_TIME;
        self.edge_delay_while = MIGRATE_TIME;
        self.tx_count = 0;
        self.ask_for_role();
    }

    /// Its neighbor is gone (PIM, DISABLED).
    pub(super) fn close(&mut self) {
        self.enabled = false;
        self.info_is = InfoIs::Disabled;
        (self.proposing, self.proposed, self.agree, self.agreed) = (false, false, false, false);
        self.disputed = false;
        self.rcvd_info_while = 0;
        self.ask_for_role();
    }

    /// Roles are to be selected again.
    pub(super) fn ask_for_role(&mut self) {
        (self.reselect, self.selected) = (true, false);
        self.dirty = true;
    }

    pub(super) const fn is_root_or_designated(&self) -> bool {
        matches!(self.role, Role::Root | Role::Designated)
    }

    /// What a port waits for at each step to forwarding (17.20.5).
    pub(super) const fn forward_delay(&self, times: &Times) -> u16 {
        if self.send_rstp { times.hello } else { times.forward_delay }
    }

    /// What `heard` is for the port (17.21.8).
    pub(super) fn message(&self, heard: &Information) -> Message {
        let (vector, times) = (&heard.vector, &heard.times);
        if heard.role != Role::Designated {
            return if *vector >= self.vector { Message::NotDesignated } else { Message::Other };
        }
        let is_same = *vector == self.vector;
        if vector.is_superior_to(&self.vector) || (is_same && *times != self.times) {
            Message::SuperiorDesignated
        } else if is_same && self.info_is == InfoIs::Received {
            Message::RepeatedDesignated
        } else if *vector > self.vector {
            Message::InferiorDesignated
        } else {
            Message::Other
        }
    }

    /// Takes what a designated port has told (PIM, SUPERIOR_DESIGNATED, REPEATED_DESIGNATED).
    pub(super) fn take(&mut self, heard: &Information, is_new: bool, is_rstp: bool) {
        if is_new {
            (self.agreed, self.proposing) = (false, false);
        }
        self.proposed |= heard.proposal;
        if is_new {
            let is_good = self.info_is == InfoIs::Received && heard.vector <= self.vector;
            self.agree = self.agree && is_good;
        }
        self.take_agreement(heard, is_rstp);
        if is_new {
            self.synced = self.synced && self.agreed;
            (self.vector, self.times) = (heard.vector, heard.times);
            self.info_is = InfoIs::Received;
            self.ask_for_role();
        }
        // Three hellos (17.21.23).
        let is_fresh = self.times.message_age < self.times.max_age;
        self.rcvd_info_while = if is_fresh { self.times.hello * 3 } else { 0 };
    }

    /// 17.21.9; all our ports are point-to-point.
    pub(super) fn take_agreement(&mut self, heard: &Information, is_rstp: bool) {
        // One that is for another root was sent before its sender had heard of ours. Where a root is
        // gone, and what was said of it still goes round, such a one would close a loop.
        self.agreed = is_rstp && heard.agreement && heard.vector.root == self.vector.root;
        if self.agreed {
            self.proposing = false;
        }
    }

    /// A designated port of less rank learns (17.21.10; IEEE 802.1Q-2005, 13.26): it does not hear
    /// us.
    pub(super) const fn dispute(&mut self, heard: &Information) {
        if heard.is_rapid && heard.learning {
            (self.disputed, self.agreed) = (true, false);
        }
    }

    /// 17.21.17
    pub(super) const fn take_flags(&mut self, heard: &Information) {
        self.rcvd_tc |= heard.topology_change;
        self.rcvd_tc_ack |= heard.topology_change_ack;
    }

    /// Which protocol the neighbor speaks (PPM, 17.24).
    pub(super) fn migrate(&mut self, is_rapid: bool, is_rstp: bool) {
        match self.migration {
            Migration::Sensing if is_rstp && !self.send_rstp && is_rapid => {
                self.migration = Migration::CheckingRstp;
                self.send_rstp = true;
                self.mdelay_while = MIGRATE_TIME;
            }
            Migration::Sensing if self.send_rstp && !is_rapid => {
                self.migration = Migration::SelectingStp;
                self.send_rstp = false;
                self.mdelay_while = MIGRATE_TIME;
            }
            _ => {}
        }
    }

    /// One second has passed. Whether that may matter to its machines.
    pub(super) fn tick(&mut self, times: &Times) -> bool {
        let mut is_over = false;
        for timer in [
            &mut self.edge_delay_while,
            &mut self.fd_while,
            &mut self.mdelay_while,
            &mut self.rb_while,
            &mut self.rcvd_info_while,
            &mut self.rr_while,
            &mut self.tc_while,
            &mut self.hello_when,
        ] {
            if *timer > 0 {
                *timer -= 1;
                is_over |= *timer == 0;
            }
        }
        // At its limit it may have something to say.
        is_over |= self.tx_count >= TX_HOLD_COUNT && self.new_info;
        self.tx_count = self.tx_count.saturating_sub(1);
        (self.rx_count, self.tc_count) = (0, 0);
        if self.enabled && self.mdelay_while == 0 {
            self.migration = Migration::Sensing;
        }
        self.hold(times);
        if self.hello_when == 0 {
            self.hello_when = times.hello;
            let tells_change = self.role == Role::Root && self.tc_while > 0;
            self.new_info |= self.role == Role::Designated || tells_change;
        }
        is_over
    }

    /// Timers that begin anew for as long as the role lasts (PRT, 17.29), or nobody is there.
    pub(super) fn hold(&mut self, times: &Times) {
        match self.role {
            Role::Disabled => {
                self.fd_while = times.max_age;
                (self.edge_delay_while, self.mdelay_while) = (MIGRATE_TIME, MIGRATE_TIME);
                self.settle();
            }
            Role::Root => self.rr_while = times.forward_delay,
            Role::Designated => {}
            Role::Alternate | Role::Backup => {
                self.fd_while = self.forward_delay(times);
                if self.role == Role::Backup {
                    self.rb_while = 2 * times.hello;
                }
                self.settle();
            }
        }
    }

    fn settle(&mut self) {
        (self.synced, self.rr_while, self.sync, self.re_root) = (true, 0, false, false);
    }

    /// 17.21.7, but that a further change within these seconds is told at once as well, and not only
    /// with the next hello: others would use a way until then that is no more.
    pub(super) const fn start_tc_while(&mut self, times: &Times) {
        self.new_info |= self.send_rstp;
        if self.tc_while == 0 {
            self.tc_while =
                if self.send_rstp { times.hello + 1 } else { times.max_age + times.forward_delay };
        }
    }
}
