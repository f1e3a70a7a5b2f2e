//! A mirror port as control and the configuration file say it.

use clap::Args;
use etherws_actors::{frame::Vid, mirror::PortMirror, settings::PortRef};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{Capture, name_of};
use crate::refusal::Refusal;

/// Copy frames that pass ports to another port: a mirror, as SPAN and RSPAN.
///
/// Each frame is copied once, as it came in, or else as it leaves. Copies give way to all other
/// frames, and are counted where they are lost. Entries: the mirror.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Args)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Mirror {
    /// Copy what passes these ports, by number or name; if missing or empty, all ports.
    #[arg(long, value_name = "PORT", num_args = 1.., value_delimiter = ',')]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "ports")]
    pub(crate) from: Vec<PortRef>,
    /// The port that copies leave by; without to-vlan it carries nothing else.
    #[arg(long, value_name = "PORT")]
    #[schemars(schema_with = "port")]
    pub(crate) to: PortRef,
    /// Copy frames that come in, rx, that leave, tx, or both; both if missing.
    #[arg(long, value_name = "rx|tx|both")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) direction: Option<String>,
    /// Only frames of this VLAN, 1 to 4094; 0: only untagged frames.
    #[arg(long, value_name = "VID")]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 4094))]
    pub(crate) vlan: Option<u16>,
    /// Only frames of which this is true, in the common part of tcpdump's syntax: `tcp port 80`.
    #[arg(long, value_name = "FILTER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) filter: Option<String>,
    /// Copies leave in this VLAN, 1 to 4094, by a tag before all others (RSPAN); the port carries
    /// other frames as well.
    #[arg(long, value_name = "VID")]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4094))]
    pub(crate) to_vlan: Option<u16>,
}

/// A port by its number or name.
fn port(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": ["integer", "string"], "minimum": 1})
}

fn ports(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "items": port(generator)})
}

impl Mirror {
    /// `2,3 to probe`.
    pub(crate) fn title(&self) -> String {
        let from: Vec<_> = self.from.iter().map(ToString::to_string).collect();
        let from = if from.is_empty() { "all".to_owned() } else { from.join(",") };
        format!("mirror {from} to {}", self.to)
    }

    /// What the switch is to do.
    pub(crate) fn mirror(&self) -> Result<PortMirror, Refusal> {
        let mut capture = Capture::default();
        capture.set(
            "direction",
            self.direction.as_deref().filter(|one| *one != "both").unwrap_or_default(),
        )?;
        capture.set("vlan", &self.vlan.map(|vid| vid.to_string()).unwrap_or_default())?;
        capture.set("filter", self.filter.as_deref().unwrap_or_default())?;
        let to_vlan = match self.to_vlan {
            None => None,
            Some(number) => {
                Some(Vid::new(number).filter(|vid| *vid != Vid::UNTAGGED).ok_or_else(|| {
                    Refusal::value(format!("Invalid to-vlan: {number}; give 1 to 4094"))
                })?)
            }
        };
        let (from, to) = (self.from.clone(), self.to.clone());
        Ok(PortMirror { from, filter: capture.filter(), to, to_vlan })
    }
}

impl From<&PortMirror> for Mirror {
    fn from(what: &PortMirror) -> Self {
        let PortMirror { from, filter, to, to_vlan } = what;
        Self {
            from: from.clone(),
            to: to.clone(),
            direction: filter.direction.map(|direction| name_of(direction).to_owned()),
            vlan: filter.vid.map(Vid::get),
            filter: filter.expression.as_ref().map(ToString::to_string),
            to_vlan: to_vlan.map(Vid::get),
        }
    }
}
