//! The method that captures: its answer says where to read the frames. What may be asked
//! for, and how it is written, `crate::capture` knows.

use std::{collections::BTreeMap, path::PathBuf};

use clap::Args;
use etherws_actors::{filter::Expression, settings::Role};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    call::{Call, Group, Program},
    params::NumberOrText,
    program::Stream,
};
use crate::{capture::Capture, refusal::Refusal};

/// Capture frames, to print them or for Wireshark.
///
/// A stream of pcapng. Entries: where to GET it.
#[derive(Debug, Clone, Default, JsonSchema, Serialize, Deserialize, Args)]
#[serde(default)]
pub(crate) struct CaptureFrames {
    /// Numbers or names of the ports; if missing or empty, all ports, also those added later.
    #[arg(value_name = "PORT|FILTER", allow_negative_numbers = true)]
    #[arg(help = "Numbers or names of ports [default: all, also those added later], and then a \
                  filter in the common part of tcpdump's syntax, such as: tcp port 80")]
    #[schemars(with = "Vec<NumberOrText>")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ports: Vec<String>,
    #[command(flatten)]
    #[serde(flatten)]
    filter: Filter,
    /// Stop after this many frames.
    #[arg(short, long, value_name = "NUMBER", allow_negative_numbers = true)]
    #[schemars(with = "Option<NumberOrText>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<String>,
    /// Stop after this many seconds.
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    #[schemars(with = "Option<NumberOrText>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    duration: Option<String>,
    /// Write pcapng to a file, or to standard output (-), instead of printing a line for each frame
    #[arg(short, long, value_name = "FILE")]
    #[serde(skip)]
    pub(crate) write: Option<PathBuf>,
    /// What there is no such option for: it is refused, since nobody wants all frames instead.
    #[arg(skip)]
    #[schemars(skip)]
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

/// Which frames to capture, and how much of them.
#[derive(Debug, Clone, Default, JsonSchema, Serialize, Deserialize, Args)]
#[serde(default)]
pub(crate) struct Filter {
    /// Only received frames, rx, or only sent ones, tx.
    #[arg(long, value_name = "rx|tx")]
    #[serde(skip_serializing_if = "Option::is_none")]
    direction: Option<String>,
    /// Only frames of this VLAN, 1 to 4094; 0: only untagged frames.
    #[arg(long, value_name = "VID", allow_negative_numbers = true)]
    #[schemars(with = "Option<NumberOrText>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    vlan: Option<String>,
    /// Only frames from or to this address, such as 02:00:00:00:00:01.
    #[arg(long, value_name = "ADDRESS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    mac: Option<String>,
    /// Only frames of this EtherType: arp, ip, ipv6 ..., or a number such as 0x0806.
    #[arg(long, value_name = "TYPE")]
    #[schemars(with = "Option<NumberOrText>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    ethertype: Option<String>,
    /// Only frames of which this is true, in the common part of tcpdump's syntax: `tcp port 80`.
    #[arg(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) filter: Option<String>,
    /// Octets to keep of each frame, 20 to 262144; by default all.
    #[arg(short, long, value_name = "OCTETS", allow_negative_numbers = true)]
    #[schemars(with = "Option<NumberOrText>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    snaplen: Option<String>,
}

impl Filter {
    /// What it asks for.
    pub(crate) fn capture(&self) -> Result<Capture, Refusal> {
        let mut capture = Capture::default();
        for (name, value) in [
            ("direction", &self.direction),
            ("vlan", &self.vlan),
            ("mac", &self.mac),
            ("ethertype", &self.ethertype),
            ("filter", &self.filter),
            ("snaplen", &self.snaplen),
        ] {
            capture.set(name, value.as_deref().unwrap_or_default())?;
        }
        Ok(capture)
    }
}

impl CaptureFrames {
    /// As a command line means it, whose words are ports first, and then those of a filter.
    pub(crate) fn of_words(mut self) -> Self {
        let is_filter = |word: &String| Expression::may_begin(word);
        let ports = self.ports.iter().position(is_filter).unwrap_or(self.ports.len());
        let words = self.ports.split_off(ports);
        self.filter.filter = Some(words.join(" ")).filter(|words| !words.is_empty());
        self
    }

    /// What it asks for.
    pub(crate) fn capture(&self) -> Result<Capture, Refusal> {
        let mut capture = self.filter.capture()?;
        for name in self.others.keys() {
            capture.set(name, "?")?;
        }
        capture.set("ports", &self.ports.join(","))?;
        for (name, value) in [("count", &self.count), ("duration", &self.duration)] {
            capture.set(name, value.as_deref().unwrap_or_default())?;
        }
        Ok(capture)
    }
}

impl From<&Capture> for CaptureFrames {
    fn from(capture: &Capture) -> Self {
        let options: BTreeMap<_, _> = capture.options().collect();
        let option = |name| options.get(name).cloned();
        Self {
            ports: option("ports").into_iter().collect(),
            filter: Filter {
                direction: option("direction"),
                vlan: option("vlan"),
                mac: option("mac"),
                ethertype: option("ethertype"),
                filter: option("filter"),
                snaplen: option("snaplen"),
            },
            count: option("count"),
            duration: option("duration"),
            ..Self::default()
        }
    }
}

impl Call for CaptureFrames {
    const NAME: &'static str = "capture";
    const GROUP: Group = Group::Traffic;
    const ROLE: Role = Role::Admin;
    // What is noted is the capture itself, when it begins.
    const AUDITED: bool = false;
    type Entry = Stream;

    async fn run(self, program: Program<'_>) -> Result<Vec<Stream>, Refusal> {
        Ok(vec![Stream { path: program.service.capture(&self.capture()?).await? }])
    }

    fn check(&self) -> Result<(), Refusal> {
        self.capture().map(drop)
    }
}
