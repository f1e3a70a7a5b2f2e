//! What has happened lately.

use std::{fmt, str::FromStr, time::Duration};

use clap::Args;
use etherws_actors::{
    monitor::{self, Detail},
    settings::Role,
};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    call::{Call, Entry, Group, Program},
    port::PortRef,
};
use crate::refusal::Refusal;

/// Show recent events: ports, loops, storms, logins, changes.
///
/// The last 1,000 are kept, or as many as the setting `events` says; those of addresses that
/// are learned, moved and aged only come by `monitor`. Entries: the events, the oldest first.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema, Args)]
#[serde(default)]
pub(crate) struct Events {
    /// Only those since then: 90, 10m, 2h or 1d ago, or a time as 2026-01-31T12:00:00Z.
    #[arg(long, value_name = "TIME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Since>,
    /// Only those of this port: its number, name or device.
    #[arg(long, allow_negative_numbers = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<PortRef>,
    /// Only those of this name, as port-down.
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<String>,
    /// At most this many entries, the latest.
    #[arg(long, value_name = "NUMBER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<usize>,
}

impl Call for Events {
    const NAME: &'static str = "events";
    const GROUP: Group = Group::Traffic;
    const ROLE: Role = Role::Read;
    type Entry = Event;

    async fn run(self, program: Program<'_>) -> Result<Vec<Event>, Refusal> {
        // A number is taken as it is: events may be of ports that are there no more.
        let port = match &self.port {
            Some(PortRef::Number(number)) => u32::try_from(*number).ok(),
            Some(port) => Some(port.find(program).await?.get()),
            None => None,
        };
        let since = self.since.map(Since::moment);
        let mut events = program.service.recent_events();
        events.retain(|event| {
            (self.port.is_none() || event.port.map(|one| one.get()) == port)
                && self.event.as_ref().is_none_or(|name| event.kind.name() == name)
                && since.is_none_or(|since| moment_of(event) >= since)
        });
        let from = events.len().saturating_sub(self.limit.unwrap_or(usize::MAX));
        Ok(events[from..].iter().map(|event| Event::from(&**event)).collect())
    }
}

/// From when on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[schemars(inline, with = "String")]
#[serde(try_from = "String", into = "String")]
pub(crate) enum Since {
    Ago(Duration),
    At(Timestamp),
}

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = match text.strip_suffix(['s', 'm', 'h', 'd']) {
            Some(number) => (number, &text[number.len()..]),
            None => (text, "s"),
        };
        if let Ok(number) = number.parse::<u32>() {
            let seconds = match unit {
                "s" => 1,
                "m" => 60,
                "h" => 3600,
                _ => 86_400,
            };
            return Ok(Self::Ago(Duration::from_secs(u64::from(number) * seconds)));
        }
        text.parse().map(Self::At).map_err(|_| {
            format!("{text:?} is not a time; give 90, 10m, 2h, 1d or 2026-01-31T12:00:00Z")
        })
    }
}

impl fmt::Display for Since {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ago(duration) => write!(f, "{}s", duration.as_secs()),
            Self::At(time) => time.fmt(f),
        }
    }
}

impl TryFrom<String> for Since {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Since> for String {
    fn from(since: Since) -> Self {
        since.to_string()
    }
}

impl Since {
    fn moment(self) -> Timestamp {
        match self {
            Self::Ago(duration) => Timestamp::now().checked_sub(duration).unwrap_or(Timestamp::MIN),
            Self::At(time) => time,
        }
    }
}

/// When an event was. If the clock was set since then, this is what it would have said.
fn moment_of(event: &monitor::Event) -> Timestamp {
    Timestamp::now().checked_sub(event.at.elapsed()).unwrap_or(Timestamp::MIN)
}

/// An event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Event {
    /// When, as `2026-01-31T12:00:00.000000Z`.
    pub(crate) time: String,
    /// What: its name.
    pub(crate) event: String,
    /// On which port, where it was on one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) port: Option<u32>,
    /// What else there is to say: numbers and texts.
    #[serde(flatten)]
    pub(crate) details: Map<String, Value>,
}

impl From<&monitor::Event> for Event {
    fn from(event: &monitor::Event) -> Self {
        let detail = |(name, detail): &(&'static str, Detail)| {
            let value = match detail {
                Detail::Number(number) => Value::from(*number),
                Detail::Text(text) => Value::from(text.as_str()),
            };
            ((*name).to_owned(), value)
        };
        Self {
            time: format!("{:.6}", moment_of(event)),
            event: event.kind.name().to_owned(),
            port: event.port.map(|port| port.get()),
            details: event.details.iter().map(detail).collect(),
        }
    }
}

impl Entry for Event {
    const TITLES: &'static [&'static str] = &["Time", "Event", "Port", "Details"];

    fn rows(&self) -> Vec<Vec<String>> {
        let shown = |(name, value): (&String, &Value)| match value {
            Value::String(text) => format!("{name} {}", text.escape_debug()),
            other => format!("{name} {other}"),
        };
        vec![vec![
            self.time.clone(),
            self.event.clone(),
            self.port.map_or_else(|| "-".to_owned(), |port| port.to_string()),
            self.details.iter().map(shown).collect::<Vec<_>>().join("  "),
        ]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_while_ago_or_one_of_the_clock() {
        let ago = |seconds| Ok(Since::Ago(Duration::from_secs(seconds)));
        for (text, seconds) in [("90", 90), ("10m", 600), ("2h", 7200), ("1d", 86_400)] {
            assert_eq!(text.parse(), ago(seconds), "{text}");
        }
        let time = "2026-01-31T12:00:00Z";
        assert_eq!(time.parse::<Since>().map(|since| since.to_string()), Ok(time.to_owned()));
        for wrong in ["", "m", "yesterday", "-5", "1.5h", "10mä"] {
            assert!(wrong.parse::<Since>().unwrap_err().contains("10m"), "{wrong}");
        }
    }
}
