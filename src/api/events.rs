//! What has happened lately.

use std::{fmt, str::FromStr, time::Duration};

use clap::Args;
use etherws_actors::{
    error::is_harmful,
    fdb::PortNumber,
    monitor::{self, Detail},
    settings::Role,
};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    call::{Call, Entry, Group, Method, Program},
    commands,
    port::PortRef,
};
use crate::{parse::check_word, refusal::Refusal};

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
        self.check()?;
        // A number is taken as it is: events may be of ports that are there no more.
        let port = match &self.port {
            Some(PortRef::Number(number)) => u32::try_from(*number).ok(),
            Some(port) => Some(port.find(program).await?.get()),
            None => None,
        };
        let since = self.since.map(Since::moment);
        let mut events = program.service.recent_events();
        if let (Some(given), number) = (&self.port, port)
            && !events.iter().any(|event| event.port.is_some_and(|one| Some(one.get()) == number))
        {
            let number =
                number.and_then(PortNumber::new).ok_or_else(|| Refusal::no_such_port(given))?;
            program.control.show_port(number).await?;
        }
        events.retain(|event| {
            (self.port.is_none() || event.port.map(|one| one.get()) == port)
                && self.event.as_ref().is_none_or(|name| event.kind.name() == name)
                && since.is_none_or(|since| moment_of(event) >= since)
        });
        let from = events.len().saturating_sub(self.limit.unwrap_or(usize::MAX));
        Ok(events[from..].iter().map(|event| Event::from(&**event)).collect())
    }

    fn check(&self) -> Result<(), Refusal> {
        check_word("event", self.event.as_ref(), &monitor::Kind::ALL.map(monitor::Kind::name))
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
        let shown = |(name, value): (&String, &Value)| detail(name, value);
        vec![vec![
            to_the_second(&self.time),
            self.event.clone(),
            self.port.map_or_else(|| "-".to_owned(), |port| port.to_string()),
            self.details
                .iter()
                .map(shown)
                .filter(|detail| !detail.is_empty())
                .collect::<Vec<_>>()
                .join("  "),
        ]]
    }
}

/// A time of the wire without the fraction of its second, as people are shown all times.
pub(crate) fn to_the_second(time: &str) -> String {
    match time.split_once('.') {
        Some((seconds, fraction)) if fraction.ends_with('Z') => format!("{seconds}Z"),
        _ => time.to_owned(),
    }
}

/// A member of an event for people: its name and value, or nothing if that is empty. What control was asked for is shown in
/// the words of `ctl`.
pub(crate) fn detail(name: &str, value: &Value) -> String {
    let value = match (name, value) {
        ("method", Value::String(method)) => {
            let is_it = |(_, known): &(&str, &Method)| known.name == method;
            let command = commands().find(is_it).map(|(command, _)| command.to_owned());
            return format!("command {}", command.unwrap_or_else(|| harmless(method)));
        }
        ("params", Value::String(params)) => match serde_json::from_str(params) {
            Ok(params) => words(&params),
            Err(_) => harmless(params),
        },
        (_, Value::String(text)) => harmless(text),
        (_, other) => other.to_string(),
    };
    let name = harmless(if name == "params" { "with" } else { name });
    if value.is_empty() { value } else { format!("{name} {value}") }
}

/// A text that steers no terminal.
fn harmless(text: &str) -> String {
    let of = |c: char| if is_harmful(c) { c.escape_debug().to_string() } else { c.to_string() };
    text.chars().map(of).collect()
}

/// Params without the punctuation of JSON: `port 1, shut on`.
fn words(params: &Value) -> String {
    let list = |list: Vec<String>| list.into_iter().filter(|one| !one.is_empty());
    match params {
        Value::Object(members) => {
            let member = |(name, value): (&String, &Value)| match value {
                // Options of a kind are members like all others.
                Value::Object(_) => words(value),
                Value::Bool(true) => format!("{} on", harmless(name)),
                Value::Bool(false) => format!("{} off", harmless(name)),
                value => format!("{} {}", harmless(name), words(value)),
            };
            list(members.iter().map(member).collect()).collect::<Vec<_>>().join(", ")
        }
        Value::Array(values) => {
            list(values.iter().map(words).collect()).collect::<Vec<_>>().join(" ")
        }
        Value::String(text) => harmless(text),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_shown_commands_and_no_json() {
        let params = r#"{"port":1,"shut":true,"options":{"user":"bob"},"urls":["ws://h/"]}"#;
        for (name, value, shown) in [
            ("method", "setPort", "command setport"),
            ("method", "setInterface", "command setif"),
            ("params", params, "with port 1, shut on, user bob, urls ws://h/"),
            ("params", "{}", ""),
            ("outcome", "\"x\" is not\u{1b}[2J", "outcome \"x\" is not\\u{1b}[2J"),
        ] {
            assert_eq!(detail(name, &Value::from(value)), shown, "{value}");
        }
        assert_eq!(detail("vlan", &Value::from(0)), "vlan 0");
        assert_eq!(to_the_second("2026-11-22T04:00:00.123456Z"), "2026-11-22T04:00:00Z");
    }

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
