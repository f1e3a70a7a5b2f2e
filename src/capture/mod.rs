//! A capture: its options, as they come by `ctl`, JSON-RPC or the query of a URL, and the
//! file that it becomes. The switch's mirrors copy the frames; nothing here is on their
//! path.

pub(crate) mod ethertype;
pub(crate) mod lines;
pub(crate) mod mirror;
pub(crate) mod reader;
pub(crate) mod recorder;

use std::{fmt::Display, time::Duration};

use etherws_actors::{
    fdb::PortNumber,
    filter::{Expression, FilterError},
    frame::{MacAddr, ParseMacAddrError, Vid},
    mirror::{Direction, Filter},
    settings::PortName,
};
use url::form_urlencoded;

use crate::refusal::Refusal;

/// Octets of a frame that are captured unless less is asked for: more than any has, and
/// what tcpdump and Wireshark take.
pub(crate) const DEFAULT_SNAPLEN: u32 = 262_144;

/// Least octets of a frame: an Ethernet header with its tag, rounded up.
const MIN_SNAPLEN: u32 = 20;

/// Longest capture that may be asked for; without an end it lasts as long as its reader.
const MAX_DURATION: u64 = 7 * 24 * 3600;

/// What is captured, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Capture {
    /// Of these ports; with no names either, of all.
    pub(crate) ports: Vec<PortNumber>,
    /// Of the ports with these names, which the switch knows.
    pub(crate) names: Vec<PortName>,
    /// What passes them this way.
    pub(crate) direction: Option<Direction>,
    /// Of this VLAN.
    pub(crate) vlan: Option<Vid>,
    /// From or to this address.
    pub(crate) mac: Option<MacAddr>,
    /// Of this EtherType.
    pub(crate) ethertype: Option<u16>,
    /// That this is true of.
    pub(crate) expression: Option<Expression>,
    /// Octets of each frame at most.
    pub(crate) snaplen: u32,
    /// Ends after so many frames.
    pub(crate) count: Option<u64>,
    /// Ends after so long.
    pub(crate) duration: Option<Duration>,
}

impl Default for Capture {
    /// Everything, until the reader goes.
    fn default() -> Self {
        Self {
            ports: Vec::new(),
            names: Vec::new(),
            direction: None,
            vlan: None,
            mac: None,
            ethertype: None,
            expression: None,
            snaplen: DEFAULT_SNAPLEN,
            count: None,
            duration: None,
        }
    }
}

impl Capture {
    /// Of the query of a URL.
    pub(crate) fn from_query(query: &str) -> Result<Self, Refusal> {
        let mut capture = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            capture.set(&name, &value)?;
        }
        Ok(capture)
    }

    /// Sets one option by its name, from its text. The only place that checks; an empty text,
    /// as forms send it, leaves the option unset.
    pub(crate) fn set(&mut self, name: &str, text: &str) -> Result<(), Refusal> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(());
        }
        match name {
            "ports" => {
                for text in text.split(',').map(str::trim) {
                    match text.parse().map(PortNumber::new) {
                        Ok(Some(number)) => self.ports.push(number),
                        Ok(None) => return Err(no_port(text)),
                        Err(_) => self.names.push(text.parse().map_err(|_| no_port(text))?),
                    }
                }
                self.ports.sort_unstable();
                self.ports.dedup();
            }
            "direction" => {
                self.direction = match text {
                    "rx" => Some(Direction::Rx),
                    "tx" => Some(Direction::Tx),
                    _ => return Err(invalid(name, text, "give rx or tx")),
                };
            }
            "vlan" => {
                let vid = text.parse().ok().and_then(Vid::new);
                let wrong = || invalid(name, text, "give 0 to 4094; 0 is untagged");
                self.vlan = Some(vid.ok_or_else(wrong)?);
            }
            "mac" => {
                let wrong = |error: ParseMacAddrError| Refusal::value(error.to_string());
                self.mac = Some(text.parse().map_err(wrong)?);
            }
            "ethertype" => {
                let names = ethertype::names();
                let wrong = || {
                    invalid(name, text, format!("give a number such as 0x0806, or one of {names}"))
                };
                self.ethertype = Some(ethertype::parse(text).ok_or_else(wrong)?);
            }
            "filter" => {
                let wrong = |error: FilterError| Refusal::value(error.to_string());
                self.expression = Some(text.parse().map_err(wrong)?);
            }
            "snaplen" => {
                let snaplen = number(name, text, MIN_SNAPLEN.into(), DEFAULT_SNAPLEN.into())?;
                self.snaplen = u32::try_from(snaplen).unwrap_or(DEFAULT_SNAPLEN);
            }
            "count" => self.count = Some(number(name, text, 1, u64::MAX)?),
            "duration" => {
                let seconds = number(name, text, 1, MAX_DURATION)?;
                self.duration = Some(Duration::from_secs(seconds));
            }
            _ => {
                let names = NAMES.join(", ");
                let text = format!("unknown capture option {name:?}; the options are {names}");
                return Err(Refusal::key(text));
            }
        }
        Ok(())
    }

    /// Each option that is set, by name, as [`set`](Self::set) takes it.
    pub(crate) fn options(&self) -> impl Iterator<Item = (&'static str, String)> {
        let numbers = self.ports.iter().map(ToString::to_string);
        let names = self.names.iter().map(ToString::to_string);
        let ports: Vec<_> = numbers.chain(names).collect();
        let snaplen = (self.snaplen != DEFAULT_SNAPLEN).then(|| self.snaplen.to_string());
        let direction = self.direction.map(|direction| name_of(direction).to_owned());
        let values = [
            (!ports.is_empty()).then(|| ports.join(",")),
            direction,
            self.vlan.map(|vid| vid.get().to_string()),
            self.mac.map(|mac| mac.to_string()),
            self.ethertype.map(|ethertype| format!("0x{ethertype:04x}")),
            self.expression.as_ref().map(ToString::to_string),
            snaplen,
            self.count.map(|count| count.to_string()),
            self.duration.map(|duration| duration.as_secs().to_string()),
        ];
        NAMES.into_iter().zip(values).filter_map(|(name, value)| Some((name, value?)))
    }

    /// As the query of a URL.
    pub(crate) fn to_query(&self) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(self.options()).finish()
    }

    /// What the mirror is to take; names have become numbers.
    pub(crate) fn filter(&self) -> Filter {
        Filter {
            ports: self.ports.clone(),
            direction: self.direction,
            vid: self.vlan,
            mac: self.mac,
            ethertype: self.ethertype,
            expression: self.expression.clone(),
            matches: None,
        }
    }
}

/// Of all options, in the order of [`Capture::options`].
const NAMES: [&str; 9] =
    ["ports", "direction", "vlan", "mac", "ethertype", "filter", "snaplen", "count", "duration"];

/// The word for a direction.
pub(crate) const fn name_of(direction: Direction) -> &'static str {
    match direction {
        Direction::Rx => "rx",
        Direction::Tx => "tx",
    }
}

fn no_port(text: &str) -> Refusal {
    invalid("port", text, "listport shows numbers and names")
}

fn number(name: &str, text: &str, least: u64, most: u64) -> Result<u64, Refusal> {
    let number = text.parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| match most {
        u64::MAX => invalid(name, text, format!("give {least} or more")),
        _ => invalid(name, text, format!("give {least} to {most}")),
    })
}

fn invalid(name: &str, text: &str, way_out: impl Display) -> Refusal {
    Refusal::value(format!("Invalid {name}: {text}; {way_out}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capture_survives_the_query_of_a_url() {
        let mut capture = Capture::default();
        assert_eq!(capture.to_query(), "");
        for (name, text) in [
            ("ports", "3, uplink, 1,3"),
            ("direction", "rx"),
            ("vlan", "10"),
            ("mac", "02:00:00:00:00:01"),
            ("ethertype", "arp"),
            ("filter", "tcp port 80 && (ip or ip6)"),
            ("snaplen", "96"),
            ("count", "5"),
            ("duration", "7"),
        ] {
            capture.set(name, text).unwrap();
            assert_eq!(Capture::from_query(&capture.to_query()).as_ref(), Ok(&capture));
        }
        assert_eq!(Capture::from_query("vlan=&mac="), Ok(Capture::default()), "an empty form");
    }

    #[test]
    fn invalid_options_are_refused_by_name_and_value() {
        for (query, expected) in [
            ("ports=0", "Invalid port: 0; listport"),
            ("ports=1,-x", "Invalid port: -x"),
            ("vlan=4095", "Invalid vlan: 4095; give 0 to 4094"),
            ("mac=2:3", "\"2:3\" is "),
            (
                "ethertype=foo",
                "Invalid ethertype: foo; give a number such as 0x0806, or one of arp",
            ),
            (
                "filter=tcp%20port",
                "Invalid filter: expected a port: 0 to 65535, http, domain ..\ntcp port\n        ^",
            ),
            ("snaplen=1", "Invalid snaplen: 1; give 20 to 262144"),
            ("count=0", "Invalid count: 0; give 1 or more"),
            ("duration=-1", "Invalid duration: -1; give 1 to"),
            ("direction=up", "Invalid direction: up; give rx or tx"),
            ("port=1", "unknown capture option \"port\"; the options are ports, direction"),
        ] {
            let error = Capture::from_query(query).expect_err(query).to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
