//! The switch on one screen, and its end: methods about all of the program.

use clap::Args;
use etherws_actors::settings::Role;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    call::{Call, Entry, Group, MANY, Program, Table, apart, table_of},
    port::Port,
};
use crate::refusal::Refusal;

/// Show the switch on one screen: version, uptime, configuration, listeners, ports.
///
/// Entries: the switch.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema, Args)]
pub(crate) struct Status {}

impl Call for Status {
    const NAME: &'static str = "status";
    const GROUP: Group = Group::Operation;
    const ROLE: Role = Role::Read;
    type Entry = Overview;

    async fn run(self, program: Program<'_>) -> Result<Vec<Overview>, Refusal> {
        let ports = program.control.list_ports().await?;
        let many = ports.len() > MANY;
        let list = move || ports.into_iter().map(Port::from).collect();
        let ports = if many { apart(list).await? } else { list() };
        Ok(vec![Overview { ports, ..program.service.overview() }])
    }
}

/// End the switch, as SIGTERM does.
///
/// Tunnels are closed first. Entries: the process that ends.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema, Args)]
pub(crate) struct Stop {}

impl Call for Stop {
    const NAME: &'static str = "stop";
    const GROUP: Group = Group::Operation;
    const ROLE: Role = Role::Admin;
    type Entry = Ending;

    async fn run(self, program: Program<'_>) -> Result<Vec<Ending>, Refusal> {
        program.service.stop();
        Ok(vec![Ending { pid: std::process::id() }])
    }
}

/// The switch in short.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Overview {
    /// Host name of its machine.
    pub(crate) host: String,
    /// Version of the program.
    pub(crate) version: String,
    /// MAC address of the switch in LLDP, spanning tree and other protocols.
    pub(crate) mac: String,
    /// Number of its process.
    pub(crate) pid: u32,
    /// Since when it runs, as `2026-01-31T12:00:00Z`.
    pub(crate) started: String,
    /// Seconds that it has been running.
    pub(crate) uptime: u64,
    /// Its configuration file; missing if it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) configuration: Option<String>,
    /// What it listens on.
    pub(crate) listeners: Vec<ListenerInfo>,
    /// Its ports, as `listPort` has them.
    pub(crate) ports: Vec<Port>,
}

/// A listener in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ListenerInfo {
    /// `tunnel`, `control`, `tunnel+control` where both share one, or `control-socket`.
    pub(crate) service: String,
    /// Addresses and port, or the file of a Unix socket.
    pub(crate) address: String,
    /// Whether it speaks TLS.
    pub(crate) tls: bool,
    /// What clients must show: `password`, `certificate`, both, or that they are on this machine
    /// (`local`); `none`: whoever comes is let in. For the tunnel and then for control, if they
    /// differ.
    pub(crate) auth: String,
}

/// A process that ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Ending {
    /// Its number.
    pub(crate) pid: u32,
}

impl Entry for Overview {
    const TITLES: &'static [&'static str] = &["Name", "Value"];

    fn rows(&self) -> Vec<Vec<String>> {
        let configuration = self.configuration.as_deref().unwrap_or("none, only options");
        let up = self.ports.iter().filter(|port| port.state() == "up").count();
        let rows = [
            ("host", self.host.clone()),
            ("version", format!("etherws {}", self.version)),
            ("uptime", format!("{}, process {}", in_words(self.uptime), self.pid)),
            ("mac", self.mac.clone()),
            ("configuration", configuration.to_owned()),
            ("ports", format!("{}, {up} up", self.ports.len())),
        ];
        rows.map(|(name, value)| vec![name.to_owned(), value]).to_vec()
    }

    fn further(&self) -> Vec<Table> {
        vec![table_of(&self.listeners, false), table_of(&self.ports, true)]
    }
}

impl Entry for ListenerInfo {
    const TITLES: &'static [&'static str] = &["Listener", "Address", "TLS", "Authentication"];

    fn rows(&self) -> Vec<Vec<String>> {
        let tls = if self.tls { "yes" } else { "no" };
        vec![vec![self.service.clone(), self.address.clone(), tls.to_owned(), self.auth.clone()]]
    }
}

impl Entry for Ending {
    // A sentence, and no table.
    const TITLES: &'static [&'static str] = &[];

    fn rows(&self) -> Vec<Vec<String>> {
        vec![vec![format!("etherws is stopping, process {}", self.pid)]]
    }
}

/// Seconds as days, hours, minutes and seconds, the two largest of them.
fn in_words(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_uptime_is_told_in_its_two_largest_units() {
        let words = [7, 67, 3_700, 90_061].map(in_words);
        assert_eq!(words, ["7 s", "1 min 7 s", "1 h 1 min", "1 d 1 h"]);
    }
}
