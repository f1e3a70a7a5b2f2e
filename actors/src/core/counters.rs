//! Counters of a port and the reasons for which a frame is discarded, by the names
//! of IEEE 802.1Q (12.6.1.1.3).
//!
//! Written by the Switch and by the port's own task, read by control: relaxed
//! atomics, since no counter orders anything.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use crate::names;

names! {
    /// Why a frame was discarded, or did not reach a port that should have had it.
    pub enum Discard {
        /// The frame is too short for its header or VLAN tag, or its medium refused it.
        OnError = "on-error",
        /// The frame is longer than its medium takes: an interface's MTU.
        TooLong = "too-long",
        /// The frame is longer than what is read at once, and its end was lost.
        Truncated = "truncated",
        /// Work was left on the frame that is not understood: a super-frame with unknown
        /// headers, or one that does not fit what is said of it.
        UnknownOffload = "unknown-offload",
        /// The queue between the host and its interface was full.
        DeviceQueue = "device-queue",
        /// The source address is a group's, or all zeros: no station has it.
        InvalidSource = "invalid-source",
        /// The ingress or the egress port is shut or not up.
        PortDown = "port-down",
        /// The destination is behind the ingress port.
        SamePort = "same-port",
        /// The queue of the egress port is full.
        LackOfBuffers = "lack-of-buffers",
        /// All queues together have reached their bound, `queue-memory`, and of those who wait
        /// for the egress port's medium, or for its peer, this port's holder has most.
        QueueMemory = "queue-memory",
        /// The port may have other source addresses only: its `static-macs`.
        ForeignSource = "foreign-source",
        /// The port is no member of the frame's VLAN, or has none for untagged frames.
        VlanIngress = "vlan-ingress",
        /// The port's settings `accept` or `native-strict` do not let the frame in.
        VlanAccept = "vlan-accept",
        /// The port that the frame was to leave by is no member of its VLAN.
        VlanEgress = "vlan-egress",
        /// The port may have other IP addresses only: its `allowed-ips`.
        ForeignIp = "foreign-ip",
        /// A DHCP server's or relay's message came in by a port with `dhcp-guard`.
        RogueDhcpServer = "rogue-dhcp-server",
        /// A message to a DHCP server, by a port with `dhcp-guard`, names another station than its
        /// sender, or a relay.
        DhcpSpoof = "dhcp-spoof",
        /// There were more DHCP messages to servers than the port's `dhcp-rate`.
        DhcpRate = "dhcp-rate",
        /// By a port with `source-guard`, ARP said that an address is a station's that has no
        /// such address.
        ArpSpoof = "arp-spoof",
        /// The same in neighbor discovery, or it could not be read.
        NdSpoof = "nd-spoof",
        /// By a port with `source-guard`, a packet came from an IP address that its sender does not
        /// have, or could not be read.
        IpSpoof = "ip-spoof",
        /// A router advertisement or a redirect came in by a port with `ra-guard`.
        RogueRouter = "rogue-router",
        /// A query of IGMP or MLD, or another message of multicast routers, came in by a port with
        /// `querier-guard`.
        RogueQuerier = "rogue-querier",
        /// A guard of the port could not read the packet: headers are missing, split, unknown or
        /// too many, or hide it from whoever does not assemble fragments.
        Unreadable = "unreadable",
        /// The ingress and the egress port are `isolated`, and not in one group. Floods leave
        /// such ports out and count nothing.
        Isolated = "isolated",
        /// The ingress or the egress port is kept for the copies of a mirror.
        MirrorOutput = "mirror-output",
        /// The port is blocked by the loop guard.
        Loop = "loop",
        /// The port is blocked by BPDU guard.
        BpduGuard = "bpdu-guard",
        /// Spanning tree keeps the ingress or the egress port from forwarding; or it was a BPDU
        /// that is invalid, the port's own, over 32 a second, or on a port that takes no part.
        Stp = "stp",
        /// The port's setting `link-local` does not let this group address pass.
        LinkLocal = "link-local",
        /// The port's storm limit for broadcast frames was exceeded.
        StormBroadcast = "storm-broadcast",
        /// The port's storm limit for multicast frames was exceeded.
        StormMulticast = "storm-multicast",
        /// The port's storm limit for frames to unknown addresses was exceeded.
        StormUnicast = "storm-unicast",
        /// There are more octets of flooded frames than storm control lets pass.
        StormOctets = "storm-octets",
        /// Policed: the frame exceeded the `rate-in` of the port.
        RateIn = "rate-in",
        /// Policed: the frame exceeded the `rate-out` of the port.
        RateOut = "rate-out",
        /// The port's `loss` has lost it, as is wanted.
        Impaired = "impaired",
        /// More was under way than the port's `impair-limit` lets a delay hold.
        ImpairLimit = "impair-limit",
    }
}

names! {
    /// What else happened on a port, apart from frames that passed or were discarded.
    pub enum Incident {
        /// A WebSocket text message was ignored.
        TextMessage = "text-messages",
        /// A source address was not learned because a table is full, or because a static entry
        /// or a pin has precedence (RFC 4188, dot1dTpLearnedEntryDiscards).
        LearnedEntryDiscard = "learned-entry-discards",
        /// A source address was not learned because the same group-addressed frame had just come
        /// in by another port.
        Reflection = "reflections",
        /// A frame had the address of one of this switch's own devices as its source: another
        /// machine has the same address, or there is a loop.
        OwnAddress = "own-address",
        /// An address that flapped between ports was pinned to one.
        Flap = "flaps",
        /// The port was blocked by the loop guard.
        Loop = "loops",
        /// A loop-detect frame with this switch's id was not one that it sent recently.
        ForgedProbe = "forged-probes",
        /// A loop-detect frame came back by the port that it had left by: something behind the
        /// port sends frames back, or has a loop. Nothing is blocked.
        ReturnedProbe = "returned-probes",
        /// An IP address that a DHCP server gave to a station behind the port was not bound to it:
        /// there are `max-bindings`, or its holder has his part of them.
        BindingDiscard = "binding-discards",
        /// An LLDP frame on the port was malformed (IEEE 802.1AB, statsFramesInErrorsTotal).
        LldpError = "lldp-errors",
        /// A neighbor that sends LLDP to the port was not noted: there is no room for more
        /// (IEEE 802.1AB, tooManyNeighbors).
        LldpDiscard = "lldp-discards",
        /// An ARP request or a neighbor solicitation from the port was for a known station, and
        /// went to no port with `neigh-suppress`.
        SuppressedRequest = "suppressed-requests",
        /// The IP address of a station behind the port was not noted for `neigh-suppress`: there is
        /// no room, or its holder has his part of it.
        NeighDiscard = "neigh-discards",
        /// A station behind the port claimed the IP address of another one, which has it still.
        DuplicateAddress = "duplicate-addresses",
        /// A message of IGMP or MLD from the port was malformed: it was forwarded like any packet
        /// to its group, and nothing was learned from it.
        GroupMessageError = "group-message-errors",
        /// There was no room for the multicast groups of hosts behind the port, or for one more
        /// router port: there are `mcast-groups`, or its holder has his part of them, or there are
        /// 64 router ports. The port gets all groups for 260 s.
        GroupOverflow = "group-overflows",
        /// A BPDU on the port told of a topology change, and what was learned was forgotten.
        TopologyChange = "topology-changes",
        /// Root guard made the port discard: a BPDU behind it claimed a better root of the spanning
        /// tree, or a better path to it.
        RootGuard = "root-guards",
        /// A link of the port had waited 3 s for the marker of another and went on: frames that
        /// were sent before by the other may come later.
        MarkerTimeout = "marker-timeouts",
        /// A link of the port took nothing while others came and went so often that what it had to
        /// say of them found no room. It was closed, so that no flow is reordered.
        LinkOverflow = "link-overflows",
        /// The port's medium was lost and opened again.
        Reconnect = "reconnects",
    }
}

/// Counters of one port. They live as long as its number: a restart keeps them.
#[derive(Debug)]
pub struct Counters {
    rx_frames: AtomicU64,
    rx_octets: AtomicU64,
    tx_frames: AtomicU64,
    tx_octets: AtomicU64,
    incidents: [AtomicU64; Incident::ALL.len()],
    /// In microseconds; 0: not measured.
    round_trip: AtomicU64,
    discards: [AtomicU64; Discard::ALL.len()],
}

impl Default for Counters {
    // The standard library has it for arrays of up to 32.
    fn default() -> Self {
        const fn zeros<const N: usize>() -> [AtomicU64; N] {
            [const { AtomicU64::new(0) }; N]
        }
        Self {
            rx_frames: AtomicU64::new(0),
            rx_octets: AtomicU64::new(0),
            tx_frames: AtomicU64::new(0),
            tx_octets: AtomicU64::new(0),
            incidents: zeros(),
            round_trip: AtomicU64::new(0),
            discards: zeros(),
        }
    }
}

impl Counters {
    /// Counts frames that the port has received from its medium.
    pub fn received(&self, frames: u64, octets: u64) {
        self.rx_frames.fetch_add(frames, Relaxed);
        self.rx_octets.fetch_add(octets, Relaxed);
    }

    /// Counts frames that the medium has taken. The egress queue does: a link need not,
    /// and must not.
    pub fn sent(&self, frames: u64, octets: u64) {
        self.tx_frames.fetch_add(frames, Relaxed);
        self.tx_octets.fetch_add(octets, Relaxed);
    }

    /// Counts a WebSocket text message, which is ignored.
    pub fn text_message(&self) {
        self.happened(Incident::TextMessage);
    }

    /// Counts what happened.
    pub fn happened(&self, incident: Incident) {
        self.incidents[incident as usize].fetch_add(1, Relaxed);
    }

    /// Notes how long the peer's answer to a ping took.
    pub fn measured(&self, round_trip: Duration) {
        let micros = u64::try_from(round_trip.as_micros()).unwrap_or(u64::MAX);
        self.round_trip.store(micros.max(1), Relaxed);
    }

    /// Counts frames that this port has discarded, or that were to go out of it.
    pub fn discarded(&self, reason: Discard, frames: u64) {
        self.discards[reason as usize].fetch_add(frames, Relaxed);
    }

    /// Frames received.
    #[must_use]
    pub fn rx_frames(&self) -> u64 {
        self.rx_frames.load(Relaxed)
    }

    /// Octets received, without FCS.
    #[must_use]
    pub fn rx_octets(&self) -> u64 {
        self.rx_octets.load(Relaxed)
    }

    /// Frames sent.
    #[must_use]
    pub fn tx_frames(&self) -> u64 {
        self.tx_frames.load(Relaxed)
    }

    /// Octets sent, without FCS.
    #[must_use]
    pub fn tx_octets(&self) -> u64 {
        self.tx_octets.load(Relaxed)
    }

    /// WebSocket text messages ignored.
    #[must_use]
    pub fn text_messages(&self) -> u64 {
        self.incidents(Incident::TextMessage)
    }

    /// How often it happened.
    #[must_use]
    pub fn incidents(&self, incident: Incident) -> u64 {
        self.incidents[incident as usize].load(Relaxed)
    }

    /// Latest round trip to a peer that is pinged.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        let micros = self.round_trip.load(Relaxed);
        (micros > 0).then(|| Duration::from_micros(micros))
    }

    /// Frames discarded for `reason`.
    #[must_use]
    pub fn discards(&self, reason: Discard) -> u64 {
        self.discards[reason as usize].load(Relaxed)
    }
}
