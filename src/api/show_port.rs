//! The method that shows a port in detail, and what it shows on the wire.

use std::{collections::BTreeMap, sync::Arc};

use clap::Args;
use etherws_actors::{
    counters::{Discard, Incident},
    kinds::PortSpec,
    message,
    settings::{InForce, Origin, Role},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    audit::without_secrets,
    call::{Call, Entry, Group, Program},
    port::{Link, Port, PortRef},
    stp::TreePort,
};
use crate::refusal::Refusal;

/// Show a port in detail: settings, counters, limits.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Args)]
pub(crate) struct ShowPort {
    /// Number, name or device of the port.
    #[arg(allow_negative_numbers = true)]
    pub(crate) port: PortRef,
}

impl Call for ShowPort {
    const NAME: &'static str = "showPort";
    const ALIASES: &'static [&'static str] = &["show"];
    const GROUP: Group = Group::Ports;
    const ROLE: Role = Role::Read;
    type Entry = PortReport;

    async fn run(self, program: Program<'_>) -> Result<Vec<PortReport>, Refusal> {
        let port = self.port.find(program).await?;
        let report = program.control.show_port(port).await?;
        let known = program.control.known().into_iter().find(|(number, _)| *number == port);
        let options = known.map(|(_, known)| options_in_force(&known.new)).unwrap_or_default();
        Ok(vec![PortReport { options, ..report.into() }])
    }

    fn check(&self) -> Result<(), Refusal> {
        self.port.check()
    }
}

/// A port in detail.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct PortReport {
    /// What `listPort` shows.
    #[serde(flatten)]
    pub(crate) port: Port,
    /// Options of its type that are set, as `addPort` takes them; secrets are hidden.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(crate) options: Map<String, Value>,
    /// Whether the loop guard watches it.
    pub(crate) loopguard: bool,
    /// Its part in the spanning tree, while it takes part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stp: Option<TreePort>,
    /// Its settings as they are in force, by name.
    #[serde(default)]
    pub(crate) settings: BTreeMap<String, SettingInForce>,
    /// Details of this type of port, strings by name.
    pub(crate) details: BTreeMap<String, String>,
    /// Counters by name.
    pub(crate) counters: BTreeMap<String, u64>,
    /// Limits by name: `queue-octets` (while it is open), `macs`, and for each class of storm
    /// control the frames of the burst that are used up.
    pub(crate) limits: BTreeMap<String, Limit>,
}

/// A setting of a port, as it is in force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct SettingInForce {
    /// As the option that sets it is written; `""` where there is none.
    pub(crate) value: String,
    /// Where the port has it from: it is its own, of its profile, of its user's profile, or
    /// the default.
    pub(crate) origin: Origin,
    /// The profile, where it is from one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) profile: Option<String>,
}

impl SettingInForce {
    /// Where it is from, in words.
    fn origin(&self) -> String {
        let profile = self.profile.as_deref().unwrap_or_default();
        match self.origin {
            Origin::Profile => format!("profile {profile}"),
            Origin::UserProfile => format!("user profile {profile}"),
            Origin::Own | Origin::Trust | Origin::PortDefaults | Origin::Default => {
                self.origin.to_string()
            }
        }
    }
}

/// A limit of a port.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Limit {
    /// How much of it is used now.
    pub(crate) value: u64,
    /// As the option that sets it is written.
    pub(crate) limit: String,
}

impl From<message::PortReport> for PortReport {
    fn from(report: message::PortReport) -> Self {
        let counters = Arc::clone(&report.info.counters);
        let discards = Discard::ALL
            .iter()
            .map(|&reason| (format!("discard-{}", reason.name()), counters.discards(reason)));
        let incidents =
            Incident::ALL.iter().map(|&one| (one.name().to_owned(), counters.incidents(one)));
        // The names of ieee802-dot1q-bridge (IEEE 802.1Q, 48.6).
        let frames = [
            ("frame-rx", counters.rx_frames()),
            ("octets-rx", counters.rx_octets()),
            ("frame-tx", counters.tx_frames()),
            ("octets-tx", counters.tx_octets()),
        ];
        let frames = frames.map(|(name, value)| (name.to_owned(), value)).into_iter();
        Self {
            loopguard: report
                .settings
                .iter()
                .any(|one| one.name == "loop-guard" && one.value == "on"),
            settings: report
                .settings
                .iter()
                .map(|InForce { name, value, origin, profile }| {
                    let profile = profile.as_ref().map(ToString::to_string);
                    let value = SettingInForce { value: value.clone(), origin: *origin, profile };
                    ((*name).to_owned(), value)
                })
                .collect(),
            details: report
                .info
                .details
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect(),
            counters: frames.chain(discards).chain(incidents).collect(),
            limits: report
                .limits
                .into_iter()
                .map(|one| (one.name.to_owned(), Limit { value: one.value, limit: one.limit }))
                .collect(),
            options: Map::new(),
            stp: TreePort::of(&report.info),
            port: Port::from(report.info),
        }
    }
}

/// The options of a port that are set, without its target and without secrets.
pub(super) fn options_in_force(port: &PortSpec) -> Map<String, Value> {
    let mut options = port.options();
    options.retain(|name, value| {
        let is_none = value.is_null() || *value == false;
        name != "target" && !is_none && value.as_array().is_none_or(|list| !list.is_empty())
    });
    match without_secrets(options.into()) {
        Value::Object(options) => options,
        _ => Map::new(),
    }
}

/// An option as a command line has it.
fn shown(option: &Value) -> String {
    match option {
        Value::String(text) => text.clone(),
        Value::Bool(true) => "on".to_owned(),
        Value::Array(list) => list.iter().map(shown).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

impl Entry for PortReport {
    const TITLES: &'static [&'static str] = &["Name", "Value", "Limit"];

    fn rows(&self) -> Vec<Vec<String>> {
        let Self { port, options, loopguard, stp, settings, details, counters, limits } = self;
        let mut rows = Vec::new();
        let mut row = |name: &str, value: &str, limit: &str| {
            rows.push([name, value, limit].map(str::to_owned).to_vec());
        };
        row("port", &port.port.to_string(), "");
        row("type", &port.kind, "");
        row("target", &port.target, "");
        for (name, option) in options {
            row(name, &shown(option), "");
        }
        row("state", port.state(), "");
        if let Some(error) = &port.error {
            row("reason", error, "");
        }
        if let Some(stp) = stp {
            row("spanning tree", &stp.describe(), "");
        }
        // An older switch has nothing else to say of its settings.
        if settings.is_empty() {
            row("loopguard", if *loopguard { "on" } else { "off" }, "");
        }
        for (name, setting) in settings {
            if !setting.value.is_empty() {
                row(name, &format!("{} ({})", setting.value, setting.origin()), "");
            }
        }
        for (name, value) in details.iter().filter(|(name, _)| !options.contains_key(*name)) {
            row(name, value, "");
        }
        for Link { link, target, state, error, octets_rx, octets_tx } in &port.links {
            let why = error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
            let octets = format!("rx {octets_rx} octets, tx {octets_tx} octets");
            row(&format!("link {link}"), &format!("{state}{why}, {target}, {octets}"), "");
        }
        for (name, Limit { value, limit }) in limits {
            row(name, &value.to_string(), limit);
        }
        for (name, value) in counters {
            row(name, &value.to_string(), "");
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use etherws_actors::{
        counters::Counters, fdb::PortNumber, message::PortInfo, state::PortState,
    };
    use serde_json::json;

    use super::*;

    #[test]
    fn a_report_has_the_members_of_1_3_and_says_where_settings_are_from() {
        let counters = Counters::default();
        counters.received(3, 300);
        counters.sent(2, 200);
        counters.discarded(Discard::LackOfBuffers, 5);
        counters.text_message();
        let info = PortInfo {
            port: PortNumber::FIRST,
            name: None,
            description: None,
            profile: None,
            kind: "client",
            target: "ws://h/".to_owned(),
            interface: None,
            is_elsewhere: false,
            state: PortState::Up,
            shut: false,
            since: Instant::now(),
            mtu: None,
            details: vec![("user", "alice".to_owned())],
            stp: None,
            links: Vec::new(),
            counters: Arc::new(counters),
        };
        let limits = vec![message::Limit { name: "macs", value: 1, limit: "8192".to_owned() }];
        let setting = |name, origin, profile: Option<&str>| InForce {
            name,
            value: "on".to_owned(),
            origin,
            profile: profile.map(|name| name.parse().expect("a name")),
        };
        let settings = vec![
            setting("loop-guard", Origin::Own, None),
            setting("bpdu-guard", Origin::UserProfile, Some("guests")),
            setting("sticky", Origin::Profile, Some("office")),
        ];
        let own = Default::default();
        let report = PortReport::from(message::PortReport { info, own, settings, limits });
        let rows = report.rows();
        for row in [
            ["loop-guard", "on (own)", ""],
            ["bpdu-guard", "on (user profile guests)", ""],
            ["sticky", "on (profile office)", ""],
            ["macs", "1", "8192"],
        ] {
            assert!(rows.contains(&row.map(str::to_owned).to_vec()), "{row:?}: {rows:?}");
        }
        let report = serde_json::to_value(report).expect("serializes");
        assert_eq!((&report["port"], &report["loopguard"]), (&json!(1), &json!(true)));
        assert_eq!(
            report["settings"]["bpdu-guard"],
            json!({"value": "on", "origin": "user-profile", "profile": "guests"})
        );
        assert_eq!(report["details"], json!({"user": "alice"}));
        assert_eq!(report["limits"], json!({"macs": {"value": 1, "limit": "8192"}}));
        let counters = &report["counters"];
        assert_eq!((&counters["octets-rx"], &counters["frame-tx"]), (&json!(300), &json!(2)));
        assert_eq!(counters["discard-lack-of-buffers"], 5);
        assert_eq!(counters["text-messages"], 1);
    }
}
