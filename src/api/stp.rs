//! The method that shows the spanning tree.

use std::time::Instant;

use clap::Args;
use etherws_actors::{
    fdb::PortNumber,
    message::PortInfo,
    settings::Role,
    stp::{self, BpduCounts, TreeInfo},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    call::{Call, Entry, Group, Program, Table, apart, table_of},
    doctor::Finding,
    port::{SHUT, wall_clock},
};
use crate::refusal::Refusal;

/// Show the spanning tree: its root, and role and state of each port.
///
/// Entries: the tree as the switch sees it; none while the switch takes part in none.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema, Args)]
#[serde(default)]
pub(crate) struct ShowStp {}

impl Call for ShowStp {
    const NAME: &'static str = "showStp";
    const LONG: bool = true;
    const GROUP: Group = Group::Ports;
    const ROLE: Role = Role::Read;
    type Entry = Tree;

    async fn run(self, program: Program<'_>) -> Result<Vec<Tree>, Refusal> {
        Tree::with(program.control.list_ports().await?, program).await
    }
}

/// The spanning tree as the switch sees it. A bridge is its id: priority and MAC address, as
/// `8000.020000000001`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Tree {
    /// This switch.
    pub(crate) bridge: String,
    /// The root.
    pub(crate) root: String,
    /// Cost of the path to the root; 0 if this switch is the root.
    pub(crate) root_cost: u32,
    /// The port that leads to the root; missing if this switch is the root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) root_port: Option<u32>,
    /// Seconds between BPDUs: the root's hello time.
    pub(crate) hello: u64,
    /// Seconds after which what a BPDU has said is forgotten: the root's max age.
    pub(crate) max_age: u64,
    /// Seconds for which ports listen, and as many for which they learn, where a neighbor does not
    /// speak RSTP: the root's forward delay.
    pub(crate) forward_delay: u64,
    /// How often the topology has changed.
    pub(crate) topology_changes: u64,
    /// When it changed last, as `2026-01-31T12:00:00Z`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) topology_changed: Option<String>,
    /// Its ports.
    pub(crate) ports: Vec<TreePort>,
    /// Ports that take no part, and always forward: those with `stp` off, and those that the tree has
    /// no room for. The output of a mirror is none of them: it carries copies alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) outside: Vec<u32>,
}

/// Ports outside of the tree that are named to people.
const NAMED: usize = 10;

/// Why they are, and what to do.
const OUTSIDE: &str = "if another switch is behind one, let it take part";

impl Tree {
    /// The tree with these ports of the switch: none, if the switch takes part in none.
    pub(super) async fn with(
        mut ports: Vec<PortInfo>,
        program: Program<'_>,
    ) -> Result<Vec<Self>, Refusal> {
        let Some(tree) = program.control.show_stp().await? else { return Ok(Vec::new()) };
        let mirrors = program.control.list_mirrors().await?;
        apart(move || {
            ports.retain(|port| mirrors.iter().all(|mirror| mirror.to != Some(port.port)));
            vec![Self::new(tree, &ports)]
        })
        .await
    }

    fn new(tree: TreeInfo, ports: &[PortInfo]) -> Self {
        let outside = ports.iter().filter(|info| info.stp.is_none());
        Self {
            bridge: tree.bridge.to_string(),
            root: tree.root.to_string(),
            root_cost: tree.root_cost,
            root_port: tree.root_port.map(PortNumber::get),
            hello: tree.hello.as_secs(),
            max_age: tree.max_age.as_secs(),
            forward_delay: tree.forward_delay.as_secs(),
            topology_changes: tree.topology_changes,
            topology_changed: tree
                .since_change
                .and_then(|ago| Instant::now().checked_sub(ago))
                .map(wall_clock),
            ports: ports.iter().filter_map(TreePort::of).collect(),
            outside: outside.map(|info| info.port.get()).collect(),
        }
    }

    /// What keeps ports from their part in it, but their state, which is a finding of its own.
    pub(crate) fn findings(&self) -> Vec<Finding> {
        let guarded = self.ports.iter().filter(|port| port.root_guard).map(|port| {
            let TreePort { port, designated_bridge: bridge, .. } = port;
            let text = format!(
                "port {port} discards because of root guard: bridge {bridge} behind it claims a \
                 better root, or a better path to it"
            );
            let advice = format!(
                "find that bridge and correct its priority: the port recovers 6 s after the last such \
                 BPDU; or accept it as the way to the root: ctl setport --stp-root-guard off {port}"
            );
            Finding::fail("spanning-tree", text, advice)
        });
        let outside = self.without().map(|without| {
            let advice = format!("{OUTSIDE}: ctl setport --stp on PORT");
            Finding::warn("spanning-tree", format!("ports {without}"), advice)
        });
        guarded.chain(outside).collect()
    }

    /// Which ports take no part, if some do not.
    fn without(&self) -> Option<String> {
        let named: Vec<_> = self.outside.iter().take(NAMED).map(ToString::to_string).collect();
        let more = match self.outside.len() - named.len() {
            0 => String::new(),
            count => format!(" and {count} more"),
        };
        let named = (!named.is_empty()).then(|| named.join(", "))?;
        Some(format!("without spanning tree, which always forward: {named}{more}"))
    }
}

/// A port of the spanning tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct TreePort {
    /// Number.
    pub(crate) port: u32,
    /// Its name, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// `root`, `designated`, `alternate`, `backup` or `disabled`.
    pub(crate) role: String,
    /// `discarding`, `learning` or `forwarding`.
    pub(crate) state: String,
    /// Path cost.
    pub(crate) cost: u32,
    /// Priority and number, as in BPDUs: `128.1`.
    pub(crate) id: String,
    /// Whether it has only stations behind it.
    pub(crate) edge: bool,
    /// Whether it has one bridge behind it at most.
    pub(crate) point_to_point: bool,
    /// `rstp`, or `stp` where a neighbor speaks only that.
    pub(crate) protocol: String,
    /// The bridge by which the segment behind it reaches the root.
    pub(crate) designated_bridge: String,
    /// That bridge's port, as `id`.
    pub(crate) designated_port: String,
    /// Cost of the path from that bridge to the root.
    pub(crate) designated_cost: u32,
    /// State of the port, as `listPort` has it, or `shut`.
    pub(crate) port_state: String,
    /// Whether root guard makes it discard: a BPDU behind it claims a better root, or a better path
    /// to it.
    pub(crate) root_guard: bool,
    /// How often it began to forward.
    pub(crate) transitions: u64,
    /// BPDUs received.
    pub(crate) rx: Bpdus,
    /// BPDUs received and discarded: invalid ones, the port's own, and those over 32 a second.
    pub(crate) discarded: u64,
    /// BPDUs sent.
    pub(crate) tx: Bpdus,
}

/// BPDUs, by type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Bpdus {
    /// Of RSTP.
    rst: u64,
    /// Configuration BPDUs of legacy STP.
    config: u64,
    /// Topology change notifications of legacy STP.
    tcn: u64,
}

impl Bpdus {
    const fn total(self) -> u64 {
        self.rst + self.config + self.tcn
    }
}

impl From<BpduCounts> for Bpdus {
    fn from(BpduCounts { rst, config, tcn }: BpduCounts) -> Self {
        Self { rst, config, tcn }
    }
}

impl TreePort {
    /// What a port is to the tree, if it takes part.
    pub(super) fn of(port: &PortInfo) -> Option<Self> {
        let info = port.stp.as_ref()?;
        let state = if port.shut { SHUT } else { port.state.name() };
        let name = port.name.as_ref().map(ToString::to_string);
        Some(Self { name, port_state: state.to_owned(), ..Self::new(info) })
    }

    fn new(info: &stp::PortInfo) -> Self {
        Self {
            port: info.port.get(),
            name: None,
            port_state: String::new(),
            role: info.role.name().to_owned(),
            state: info.state.name().to_owned(),
            cost: info.cost,
            id: info.port_id.to_string(),
            edge: info.is_edge,
            point_to_point: info.is_point_to_point,
            protocol: if info.sends_rstp { "rstp" } else { "stp" }.to_owned(),
            designated_bridge: info.designated_bridge.to_string(),
            designated_port: info.designated_port.to_string(),
            designated_cost: info.designated_cost,
            root_guard: info.is_root_guarded,
            transitions: info.transitions,
            rx: info.received.into(),
            discarded: info.discarded,
            tx: info.sent.into(),
        }
    }

    /// Why it does not forward, where that is not for the tree.
    fn why(&self) -> &str {
        match self.port_state.as_str() {
            _ if self.root_guard => "root guard",
            "up" => "",
            state => state,
        }
    }

    fn is_guarded(&self) -> bool {
        ["root guard", "loop", "bpdu-guard"].contains(&self.why())
    }

    /// In one line, for the report of a port.
    pub(super) fn describe(&self) -> String {
        let Self { role, state, cost, id, protocol, designated_bridge, .. } = self;
        let edge = if self.edge { ", edge" } else { "" };
        let guard = if self.root_guard { ", root guard" } else { "" };
        let (rx, tx) = (self.rx.total(), self.tx.total());
        let discarded = match self.discarded {
            0 => String::new(),
            count => format!(" (and {count} discarded)"),
        };
        format!(
            "{role} {state}{guard}{edge}, {protocol}, id {id}, cost {cost}, designated bridge \
             {designated_bridge}, rx {rx} BPDUs{discarded}, tx {tx} BPDUs"
        )
    }
}

impl Entry for Tree {
    const TITLES: &'static [&'static str] = &["Name", "Value"];
    const NOTHING: Option<&'static str> = Some(
        "The switch takes part in no spanning tree. Turn it on with stp = \"rstp\" in [switch] of \
         the file, or with etherws sw --stp rstp",
    );

    fn rows(&self) -> Vec<Vec<String>> {
        let root = match self.root_port {
            None => format!("{}, this switch", self.root),
            Some(port) => format!("{}, by port {port}, at cost {}", self.root, self.root_cost),
        };
        let last = self.topology_changed.as_ref();
        let last = last.map_or_else(String::new, |at| format!(", the last one {at}"));
        let rows = [
            ("bridge", self.bridge.clone()),
            ("root", root),
            ("hello", format!("{} s", self.hello)),
            ("max age", format!("{} s", self.max_age)),
            ("forward delay", format!("{} s", self.forward_delay)),
            ("topology changes", format!("{}{last}", self.topology_changes)),
        ];
        rows.map(|(name, value)| vec![name.to_owned(), value]).to_vec()
    }

    fn further(&self) -> Vec<Table> {
        vec![table_of(&self.ports, false)]
    }

    fn note(&self) -> Option<String> {
        let is_kept = self.ports.iter().any(TreePort::is_guarded);
        let kept = is_kept.then(|| "What to do about a port: etherws ctl doctor PORT".to_owned());
        let outside = self.without().map(|without| {
            format!("Ports {without} ({OUTSIDE}: etherws ctl setport --stp on PORT)")
        });
        let notes: Vec<_> = kept.into_iter().chain(outside).collect();
        (!notes.is_empty()).then(|| notes.join(". "))
    }
}

impl Entry for TreePort {
    const TITLES: &'static [&'static str] = &[
        "Port",
        "Name",
        "Role",
        "State",
        "Why",
        "Cost",
        "Prio.Nbr",
        "Edge",
        "Type",
        "Protocol",
        "Designated bridge",
        "BPDUs RX",
        "Discarded",
        "BPDUs TX",
    ];
    const OPTIONAL: &'static [&'static str] = &["Name", "Why", "Discarded"];
    const NOTHING: Option<&'static str> = Some("No port takes part in the spanning tree.");

    fn rows(&self) -> Vec<Vec<String>> {
        let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
        vec![vec![
            self.port.to_string(),
            self.name.clone().unwrap_or_default(),
            self.role.clone(),
            self.state.clone(),
            self.why().to_owned(),
            self.cost.to_string(),
            self.id.clone(),
            yes(self.edge),
            if self.point_to_point { "p2p" } else { "shared" }.to_owned(),
            self.protocol.clone(),
            self.designated_bridge.clone(),
            self.rx.total().to_string(),
            Some(self.discarded)
                .filter(|count| *count > 0)
                .map_or_else(String::new, |n| n.to_string()),
            self.tx.total().to_string(),
        ]]
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use etherws_actors::{
        frame::MacAddr,
        stp::{BridgeId, PortId, Role, State},
    };
    use serde_json::json;

    use super::*;

    /// A tree with one port.
    fn tree() -> Tree {
        let root = BridgeId { priority: 4096, mac: MacAddr([2, 0, 0, 0, 0, 1]) };
        let bridge = BridgeId { priority: 32768, mac: MacAddr([2, 0, 0, 0, 0, 9]) };
        let info = TreeInfo {
            bridge,
            root,
            root_cost: 20_000,
            root_port: PortNumber::new(3),
            hello: Duration::from_secs(2),
            max_age: Duration::from_secs(20),
            forward_delay: Duration::from_secs(15),
            topology_changes: 2,
            since_change: None,
        };
        let port = stp::PortInfo {
            port: PortNumber::FIRST,
            role: Role::Alternate,
            state: State::Discarding,
            cost: 200_000,
            priority: 240,
            port_id: PortId(0xf003),
            designated_bridge: root,
            designated_port: PortId(0x8001),
            designated_cost: 0,
            is_edge: false,
            is_point_to_point: true,
            sends_rstp: true,
            received: BpduCounts { rst: 7, config: 1, tcn: 0 },
            discarded: 3,
            sent: BpduCounts { rst: 2, ..BpduCounts::default() },
            transitions: 1,
            is_root_guarded: false,
        };
        let port = TreePort { port_state: "up".to_owned(), ..TreePort::new(&port) };
        Tree { ports: vec![port], ..Tree::new(info, &[]) }
    }

    #[test]
    fn a_tree_is_shown_in_the_words_of_its_neighbors() {
        let tree = tree();
        assert_eq!(
            tree.ports[0].describe(),
            "alternate discarding, rstp, id 240.3, cost 200000, designated bridge \
             1000.020000000001, rx 8 BPDUs (and 3 discarded), tx 2 BPDUs"
        );
        let rows = tree.rows();
        assert_eq!(rows[0], ["bridge", "8000.020000000009"]);
        assert_eq!(rows[1], ["root", "1000.020000000001, by port 3, at cost 20000"]);
        let table = &tree.further()[0];
        assert_eq!(
            table.rows,
            [[
                "1",
                "alternate",
                "discarding",
                "200000",
                "240.3",
                "no",
                "p2p",
                "rstp",
                "1000.020000000001",
                "8",
                "3",
                "2"
            ]]
        );
        let json = serde_json::to_value(&tree).expect("serializes");
        assert_eq!(json["root-port"], 3);
        assert_eq!(json["ports"][0]["designated-port"], "128.1");
        assert_eq!(json["ports"][0]["rx"], json!({"rst": 7, "config": 1, "tcn": 0}));
    }

    #[test]
    fn a_port_that_a_guard_keeps_from_forwarding_is_named_with_the_way_out() {
        let mut tree = tree();
        let all = [("up", false), ("loop", false), ("bpdu-guard", false), ("up", true)];
        let one = |(port, (state, root_guard)): (u32, (&str, bool))| {
            let port_state = state.to_owned();
            TreePort { port, port_state, root_guard, ..tree.ports[0].clone() }
        };
        tree.ports = (1..).zip(all).map(one).collect();
        let whys = tree.ports.iter().map(TreePort::why).collect::<Vec<_>>();
        assert_eq!(whys, ["", "loop", "bpdu-guard", "root guard"]);
        assert!(tree.note().is_some_and(|note| note.ends_with("doctor PORT")));
        let findings = tree.findings();
        assert_eq!(findings.len(), 1, "the state of a port is told elsewhere");
        assert!(
            findings[0].text.starts_with("port 4 discards because of root guard: bridge 1000.")
        );
        tree.outside = (5..20).collect();
        let note = tree.note().expect("a note");
        assert!(note.contains("5, 6, 7, 8, 9, 10, 11, 12, 13, 14 and 5 more"), "{note}");
        (tree.ports, tree.outside) = (Vec::new(), vec![7]);
        let one = tree.findings();
        assert!(one.len() == 1 && one[0].text.ends_with("always forward: 7"), "{one:?}");
    }
}
