//! What happens in a switch, told to whoever watches: ports that come and go, addresses
//! that are learned and move, trouble that the guards see. The program around the switch
//! tells of its own here as well.
//!
//! Beside the frame's path. While nobody watches, telling costs a look at how many
//! watchers there are; it never waits, and a watcher that does not keep up loses events
//! and is told how many.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    sync::broadcast::{self, error::RecvError},
    time::Instant,
};

use crate::{
    core::{
        fdb::PortNumber,
        frame::{MacAddr, Vid},
        state::PortState,
    },
    names,
};

/// Events that a slow watcher may be behind: the ports of a large switch that all come
/// up at once, and some 300 KB.
const BACKLOG: usize = 1024;

/// Octets of a text in an event: names and reasons are shorter, and what a stranger
/// writes stays small.
const MAX_TEXT: usize = 256;

names! {
    /// What can happen.
    pub enum Kind {
        /// A port was added to the switch: `port`, `type`, `target`.
        PortAdded = "port-added",
        /// The port's medium was opened: `port`, `type`, `target`.
        PortUp = "port-up",
        /// The port's medium was lost, or given up: `port`, `state`, `reason`. Failed attempts
        /// to open it again are only in the log.
        PortDown = "port-down",
        /// A link of a port that has several was opened: `port`, `link`, `target`.
        LinkUp = "link-up",
        /// A link of a port that has several was lost, and the port stays up: `port`, `link`,
        /// `state`, `reason`.
        LinkDown = "link-down",
        /// A port was deleted: `port`, `type`, `target`, `reason`.
        PortDeleted = "port-deleted",
        /// An address was learned: `port`, `mac`, `vlan` (0 for none).
        MacLearned = "mac-learned",
        /// An address moved to another port: `port`, `mac`, `vlan`, and `from`, the port where
        /// it was.
        MacMoved = "mac-moved",
        /// An address aged out: `port`, `mac`, `vlan`. Reported up to a minute after the aging
        /// time. Addresses that are deleted with their port or flushed are not reported one by one.
        MacAged = "mac-aged",
        /// The loop guard blocked the port: `port`, `with`, the port at the other end of the
        /// loop, `reason`.
        Loop = "loop",
        /// The port is no longer blocked: `port`.
        LoopEnded = "loop-ended",
        /// BPDU guard blocked the port: `port`, `mac`, the bridge's address, `reason`.
        BpduGuard = "bpdu-guard",
        /// The port is no longer blocked by BPDU guard: `port`.
        BpduGuardEnded = "bpdu-guard-ended",
        /// Learned addresses were forgotten because of a topology change, which a BPDU reported or
        /// spanning tree made itself: `port`.
        TopologyChange = "topology-change",
        /// Spanning tree has a new root: `root`, its priority and MAC address, `port`, which leads
        /// to it (missing if this switch is the root), and `cost` of the path to it.
        StpRoot = "stp-root",
        /// A port of the spanning tree has changed its role, or has started or stopped forwarding:
        /// `port`, `role` and `state`, as in `ctl showstp`. For each port it is reported once a
        /// second at most, and once every 10 s if the changes go on. Edge ports are left out, and so
        /// are changes that `port-down` or `root-guard` reports.
        StpPort = "stp-port",
        /// Root guard makes a port discard: `port`, and `root`, the bridge that a BPDU behind it
        /// claims to be the root of the spanning tree.
        RootGuard = "root-guard",
        /// Root guard no longer makes a port discard: `port`.
        RootGuardEnded = "root-guard-ended",
        /// An LLDP neighbor is new, has changed or is gone: `port`, `what` (`new`, `changed` or
        /// `gone`), `chassis` and `id`, the ids of the neighbor and of its port, and its `name`
        /// (`-` if it has none). The neighbors of a port that goes down are not reported.
        Neighbor = "neighbor",
        /// Storm control began to discard frames: `port`, `class` (`broadcast`, `multicast` or
        /// `unicast`), `limit`, in frames or in octets, and the `mac` and `vlan` of the frame that
        /// went over it.
        Storm = "storm",
        /// Storm control has discarded nothing for 10 s: `port`, `class`, and `discarded`,
        /// frames since the storm began.
        StormEnded = "storm-ended",
        /// A frame had the address of one of this switch's own devices as its source: another
        /// machine has the same address, or there is a loop: `port`, `mac`, `vlan`, and `own`,
        /// the port of the device. Reported once a minute and port.
        OwnAddress = "own-address",
        /// A guard discards what a station sends: `port`, `what`, which is the reason, as
        /// `rogue-dhcp-server`, `mac` and `vlan` of the station, `address`, the IP address that it
        /// sends from (`-` without one), and `user` (`-` if no name is known). Reported once a
        /// minute, port and reason.
        Guard = "guard",
        /// Two stations claim the same IP address, while a port has `neigh-suppress`: `port`, `mac`
        /// and `vlan` of the later one, `address`, and `with`, the other's MAC address. Reported once
        /// while it lasts.
        DuplicateAddress = "duplicate-address",
        /// An address is flapping between ports: `port`, `mac`, `vlan`, and `pinned`, the port
        /// where it stays. Reported once until it has been quiet for 10 s.
        Flap = "flap",
        /// An address or a multicast group was not learned because a table is full: `port`,
        /// `limit` (that of the `port` or of the `switch`, or `mcast-groups`), and `by`: who has
        /// most there, a user, an address or a port. Reported once until it has been quiet for
        /// 10 s.
        TableFull = "table-full",
        /// A tunnel's client was let in: `port`, `user` (`-` if no name is asked for), `peer`.
        Session = "session",
        /// A client gave a wrong name, password, certificate or token, or none: `user`,
        /// `address`.
        AuthenticationFailure = "authentication-failure",
        /// A connection or request was refused: `reason`, as in `ctl showserver`, or
        /// `tls-failure`, and `address`.
        Refused = "refused",
        /// A user of the hub has joined by an invitation, waits for approval, has renewed the
        /// certificate or has left: `user`, `what` (`joined`, `pending`, `renewed` or `left`), `address`.
        User = "user",
        /// A CA has issued a certificate by ACME, has not issued it, or suggests when to renew it:
        /// `names` and `what` (`issued`, `failed` or `suggested`). With `failed` comes the `reason`;
        /// with `suggested` come `start` and `end` of the window, and as `reason` the URL that
        /// explains it (`-` if there is none).
        Acme = "acme",
        /// Control was asked for a change, or for a capture: `user` (`-` if no name is known), `from`,
        /// `method`, `params`, `before`, `after`, and `outcome`, which is `ok` or why it was refused.
        Control = "control",
        /// A file was read again: `file`. The log says whether it could be used.
        Reload = "reload",
        /// This reader was too slow: `count` events are missing here.
        Lost = "lost",
    }
}

/// A value that an event has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Detail {
    /// A number.
    Number(u64),
    /// A text of one line. Never a password.
    Text(String),
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

/// Something that has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: Instant,
    /// What.
    pub kind: Kind,
    /// On which port, where it was on one.
    pub port: Option<PortNumber>,
    /// Whether somebody has brought it about who may do so as often as he likes: whoever opens
    /// sessions, or asks for what he may not have.
    pub of_guest: bool,
    /// What else there is to say, in the order of [`Kind`]'s documentation.
    pub details: Vec<(&'static str, Detail)>,
}

impl Event {
    /// Happens now, on no port.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        Self { at: Instant::now(), kind, port: None, of_guest: false, details: Vec::new() }
    }

    /// The same, brought about by a guest if that is so.
    #[must_use]
    pub fn of_guest(self, of_guest: bool) -> Self {
        Self { of_guest, ..self }
    }

    /// The same on `port`.
    #[must_use]
    pub fn on(self, port: PortNumber) -> Self {
        Self { port: Some(port), ..self }
    }

    /// The same with a number.
    #[must_use]
    pub fn number(mut self, name: &'static str, number: impl Into<u64>) -> Self {
        self.details.push((name, Detail::Number(number.into())));
        self
    }

    /// The same with a text, of which the first 256 octets count.
    #[must_use]
    pub fn text(mut self, name: &'static str, text: impl fmt::Display) -> Self {
        let mut text = text.to_string();
        text.truncate(text.floor_char_boundary(MAX_TEXT));
        // It may be kept for long.
        text.shrink_to_fit();
        self.details.push((name, Detail::Text(text)));
        self
    }

    /// The same with a station's address.
    pub(crate) fn address(self, vid: Vid, mac: MacAddr) -> Self {
        self.text("mac", mac).number("vlan", vid.get())
    }

    /// The same with why a port is not up.
    pub(crate) fn state(self, state: &PortState) -> Self {
        let reason = state.reason().unwrap_or_default();
        self.text("state", state.name()).text("reason", reason)
    }
}

/// The last events, for who comes late. Where there is no room for all, the oldest of those goes
/// of which there are most: events of one kind, and of these what guests bring about apart from
/// the others. So each of these keeps its last ones, however often another one happens.
#[derive(Debug)]
struct History {
    room: usize,
    count: usize,
    shares: HashMap<(Kind, bool), VecDeque<Arc<Event>>>,
}

impl History {
    fn keep(&mut self, event: &Arc<Event>) {
        let own = (event.kind, event.of_guest);
        self.shares.entry(own).or_default().push_back(Arc::clone(event));
        self.count += 1;
        if self.count > self.room {
            let largest =
                |(share, all): &(&(Kind, bool), &mut VecDeque<_>)| (all.len(), **share == own);
            if let Some((_, all)) = self.shares.iter_mut().max_by_key(largest) {
                all.pop_front();
                self.count -= 1;
            }
        }
    }
}

/// Where events are told, and watched. All clones are the same one.
#[derive(Debug, Clone)]
pub struct Monitor {
    watched: broadcast::Sender<Arc<Event>>,
    history: Option<Arc<Mutex<History>>>,
}

impl Default for Monitor {
    fn default() -> Self {
        Self::new()
    }
}

impl Monitor {
    /// A monitor that nobody watches yet.
    #[must_use]
    pub fn new() -> Self {
        Self { watched: broadcast::Sender::new(BACKLOG), history: None }
    }

    /// The same; it keeps the last `room` events, but those of addresses that come and go.
    #[must_use]
    pub fn with_history(room: usize) -> Self {
        let history = History { room, count: 0, shares: HashMap::new() };
        let history = (room > 0).then(|| Arc::new(Mutex::new(history)));
        Self { history, ..Self::new() }
    }

    /// The events that are kept, in the order in which they happened.
    #[must_use]
    pub fn history(&self) -> Vec<Arc<Event>> {
        let Some(history) = &self.history else { return Vec::new() };
        let history = history.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = history.shares.values().flatten().cloned().collect();
        all.sort_by_key(|event| event.at);
        all
    }

    /// How many watch.
    #[must_use]
    pub fn watchers(&self) -> usize {
        self.watched.receiver_count()
    }

    /// Tells whoever watches, and keeps it for who comes late. `event` is asked for if it is
    /// kept or somebody watches.
    pub fn tell(&self, event: impl FnOnce() -> Event) {
        match &self.history {
            Some(history) => {
                let event = Arc::new(event());
                history.lock().unwrap_or_else(PoisonError::into_inner).keep(&event);
                // Refused while nobody watches.
                let _ = self.watched.send(event);
            }
            None => self.tell_watchers(event),
        }
    }

    /// Tells whoever watches, and nobody later: there are too many of its kind. `event` is
    /// asked for if somebody does.
    pub fn tell_watchers(&self, event: impl FnOnce() -> Event) {
        if self.watchers() > 0 {
            // Refused when the last of them has just gone.
            let _ = self.watched.send(Arc::new(event()));
        }
    }

    /// Watches, from now on.
    #[must_use]
    pub fn watch(&self) -> Watcher {
        Watcher(self.watched.subscribe())
    }
}

/// Sees each event once.
#[derive(Debug)]
pub struct Watcher(broadcast::Receiver<Arc<Event>>);

impl Watcher {
    /// The next event, in the order in which they were told; `None` when there is
    /// nobody left who could tell one.
    pub async fn next(&mut self) -> Option<Arc<Event>> {
        match self.0.recv().await {
            Ok(event) => Some(event),
            Err(RecvError::Lagged(count)) => {
                Some(Arc::new(Event::new(Kind::Lost).number("count", count)))
            }
            Err(RecvError::Closed) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_name_of_its_own() {
        let mut names = Kind::ALL.map(Kind::name).to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Kind::ALL.len());
    }

    #[test]
    fn nobody_is_told_what_nobody_watches() {
        let monitor = Monitor::new();
        monitor.tell(|| unreachable!("nobody watches"));
        drop(monitor.watch());
        monitor.tell(|| unreachable!("nobody watches any more"));
    }

    #[tokio::test]
    async fn each_watcher_sees_each_event_once_and_hears_what_it_has_lost() {
        let monitor = Monitor::new();
        let mut watchers = [monitor.watch(), monitor.watch()];
        monitor.tell(|| Event::new(Kind::Loop).on(PortNumber::FIRST).number("with", 2u32));
        for watcher in &mut watchers {
            let event = watcher.next().await.unwrap();
            assert_eq!((event.kind, event.port), (Kind::Loop, Some(PortNumber::FIRST)));
            assert_eq!(event.details, [("with", Detail::Number(2))]);
        }
        let [mut slow, _] = watchers;
        for number in 0..BACKLOG as u64 + 7 {
            monitor.tell(|| Event::new(Kind::Reload).number("n", number));
        }
        let lost = slow.next().await.unwrap();
        assert_eq!(
            (lost.kind, &lost.details[..]),
            (Kind::Lost, &[("count", Detail::Number(7))][..])
        );
        assert_eq!(slow.next().await.unwrap().details, [("n", Detail::Number(7))]);
        drop(monitor);
        let mut rest = 0;
        while slow.next().await.is_some() {
            rest += 1;
        }
        assert_eq!(rest, BACKLOG - 1);
    }

    #[test]
    fn the_last_events_are_kept_and_what_is_frequent_pushes_out_its_own_kind() {
        let monitor = Monitor::with_history(8);
        let tell = |kind, guest, number: u32| {
            monitor.tell(|| Event::new(kind).of_guest(guest).number("n", number));
        };
        let kept = |kind, guest| {
            let mut all = monitor.history();
            assert_eq!(all.len(), 8);
            all.retain(|event| (event.kind, event.of_guest) == (kind, guest));
            all.iter().map(|event| event.details[0].1.to_string()).collect::<Vec<_>>().join(" ")
        };
        (0..10).for_each(|n| tell(Kind::Loop, false, n));
        assert_eq!(kept(Kind::Loop, false), "2 3 4 5 6 7 8 9");
        // Two have half of it each, three a third.
        (0..100).for_each(|n| tell(Kind::Refused, false, n));
        assert_eq!(kept(Kind::Refused, false), "96 97 98 99");
        (0..100).for_each(|n| tell(Kind::Control, true, n));
        assert_eq!(kept(Kind::Loop, false).split(' ').count(), 3);
        // Of one kind, what guests bring about pushes out nobody else's.
        (0..2).for_each(|n| tell(Kind::Control, false, n));
        (0..1000).for_each(|n| tell(Kind::Control, true, n));
        assert_eq!(kept(Kind::Control, false), "0 1");
        assert_eq!(kept(Kind::Control, true), "998 999");
        monitor.tell_watchers(|| unreachable!("nobody watches"));
        assert_eq!(Monitor::new().history(), []);
    }

    #[test]
    fn a_member_who_comes_and_goes_leaves_what_was_done_by_control() {
        let monitor = Monitor::with_history(1000);
        monitor.tell(|| Event::new(Kind::Control).text("method", "setPort"));
        monitor.tell(|| Event::new(Kind::PortDown).text("reason", "uplink"));
        for _ in 0..10_000 {
            for kind in [Kind::PortAdded, Kind::PortUp, Kind::Session, Kind::PortDeleted] {
                monitor.tell(|| Event::new(kind).of_guest(true));
            }
        }
        let kept = monitor.history();
        assert_eq!(kept.len(), 1000);
        assert_eq!([kept[0].kind, kept[1].kind], [Kind::Control, Kind::PortDown]);
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let event = Event::new(Kind::Refused).text("reason", "ä".repeat(MAX_TEXT));
        let (_, Detail::Text(text)) = &event.details[0] else { panic!("a text") };
        assert_eq!((text.len(), text.chars().all(|c| c == 'ä')), (MAX_TEXT, true));
    }
}
