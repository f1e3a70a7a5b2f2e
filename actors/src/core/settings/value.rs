//! What the values of settings are, and how each is written: the same text on a command
//! line, in a file, and in answers.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;

use super::{
    DeviceMac, Each, IpList, LinkLocal, Loss, MacList, PathCost, Percent, PortPriority, Pvid,
    RateLimit, SETTINGS, Size, Span, Tpid, VidSet, VlanId,
};
use crate::core::guard::storm::StormLimit;

/// Most characters of a port's name: as many as a DNS label has (RFC 1035, 2.3.4).
const MAX_NAME: usize = 63;

/// Longest name of a network interface: the kernel's IFNAMSIZ less its NUL.
const MAX_INTERFACE: usize = 15;

/// Most characters of a port's description.
const MAX_DESCRIPTION: usize = 255;

/// A text that is not a value of a setting. Says what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ValueError(String);

impl ValueError {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The setting may not come by control.
    pub(super) fn only_in_file(name: &str) -> Self {
        Self(format!(
            "{name} can only be set in the configuration file, as a key of the port's [[port]]"
        ))
    }

    /// No setting has this name.
    pub(super) fn unknown(name: &str) -> Self {
        let names: Vec<_> = SETTINGS.iter().map(|setting| setting.name).collect();
        Self(format!("no setting {name:?}; there are {}", names.join(", ")))
    }
}

/// A value as operators write it.
pub trait SettingValue: Sized {
    /// How it is written, in short.
    const FORM: &'static str;

    /// Whether it is a text and nothing else, which stands in quotes in a file.
    const IS_TEXT: bool = matches!(Self::FORM.as_bytes(), b"TEXT" | b"NAME");

    /// Whether it is a number, and written as one.
    const IS_NUMBER: bool = matches!(Self::FORM.as_bytes(), b"NUMBER" | b"VLAN");

    /// Reads what was written.
    ///
    /// # Errors
    /// It is not a value; the error says what to write.
    fn parse(text: &str) -> Result<Self, ValueError>;

    /// The text that [`parse`](Self::parse) reads.
    fn show(&self) -> String;
}

/// Reads a value of a file or of control: the text of a command line, or what is written
/// like it there, as `true`, 5 or a list of words.
pub(super) fn read<'de, T: SettingValue, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<T>, D::Error> {
    let text = |value: Value| match value {
        Value::String(text) => text,
        Value::Bool(on) => on.show(),
        other => other.to_string(),
    };
    let text = match Value::deserialize(from)? {
        Value::Null => return Ok(None),
        other if T::IS_TEXT && !other.is_string() => {
            let text = other.to_string().replace('"', "");
            return Err(de::Error::custom(format!("a text needs quotes; write \"{text}\"")));
        }
        Value::Array(list) => list.into_iter().map(text).collect::<Vec<_>>().join(","),
        other => text(other),
    };
    T::parse(&text).map(Some).map_err(de::Error::custom)
}

impl SettingValue for bool {
    const FORM: &'static str = "on|off";

    fn parse(text: &str) -> Result<Self, ValueError> {
        match text {
            "on" | "1" | "true" | "yes" => Ok(true),
            "off" | "0" | "false" | "no" => Ok(false),
            _ => Err(ValueError::new(format!("{text:?} is neither on nor off"))),
        }
    }

    fn show(&self) -> String {
        if *self { "on" } else { "off" }.to_owned()
    }
}

impl SettingValue for usize {
    const FORM: &'static str = "NUMBER";

    fn parse(text: &str) -> Result<Self, ValueError> {
        text.parse().map_err(|_| ValueError::new(format!("{text:?} is not a whole number from 0")))
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

/// Values that are read by [`FromStr`] and written by [`Display`](fmt::Display).
macro_rules! written {
    ($($type:ty: $form:literal;)+) => {$(
        impl SettingValue for $type {
            const FORM: &'static str = $form;

            fn parse(text: &str) -> Result<Self, ValueError> {
                text.parse().map_err(|error| ValueError::new(format!("{error}")))
            }

            fn show(&self) -> String {
                self.to_string()
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                let text = self.show();
                match text.parse::<u64>() {
                    Ok(number) if Self::IS_NUMBER => to.serialize_u64(number),
                    _ => to.serialize_str(&text),
                }
            }
        }
    )+};
}

written! {
    StormLimit: "RATE[/BURST]|off";
    Each<Span>: "TIME|[in TIME] [out TIME]";
    Each<Loss>: "PERCENT[/BURST]|[in PERCENT[/BURST]] [out PERCENT[/BURST]]";
    Each<Percent>: "PERCENT|[in PERCENT] [out PERCENT]";
    Size: "SIZE";
    RateLimit: "RATE[/BURST] [shape|police]|off";
    OffloadTypes: "on|off|tcp,udp,checksum";
    LinkLocal: "all|all-but-pause|none|stp,lacp,..";
    DeviceMac: "ADDRESS|random";
    MacList: "ADDRESS[,ADDRESS...]";
    IpList: "any|PREFIX[,PREFIX...]";
    PortName: "NAME";
    Description: "TEXT";
    InterfaceName: "NAME";
    PortRef: "PORT";
    Label: "NAME";
    PathCost: "NUMBER";
    PortPriority: "NUMBER";
    Tpid: "802.1q|802.1ad";
    VlanId: "VLAN";
    Pvid: "VLAN|none";
    VidSet: "all|none|VLAN[-VLAN][,VLAN[-VLAN]...]";
}

/// A text with a rule for what it may be.
macro_rules! text {
    ($(#[$attribute:meta])* $type:ident, $max:expr, $check:expr) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(
            feature = "schemars",
            derive(schemars::JsonSchema),
            schemars(with = "String", extend("maxLength" = $max))
        )]
        pub struct $type(String);

        impl $type {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = ValueError;

            fn from_str(text: &str) -> Result<Self, ValueError> {
                let check: fn(&str) -> Result<(), ValueError> = $check;
                check(text).map(|()| Self(text.to_owned()))
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text! {
    /// Name of a port: 1 to 63 characters without blanks, and not a number, so that it can
    /// stand wherever a number can.
    PortName, MAX_NAME, |text| {
        let is_plain = |c: char| !c.is_whitespace() && !is_invisible(c);
        if text.is_empty() || text.chars().count() > MAX_NAME || !text.chars().all(is_plain) {
            let text = format!("{text:?} is not a port name; give 1 to {MAX_NAME} characters without blanks");
            return Err(ValueError::new(text));
        }
        if text.parse::<f64>().is_ok() || text.starts_with('-') {
            let text = format!("port name {text:?} reads as a number or an option; begin with a letter");
            return Err(ValueError::new(text));
        }
        Ok(())
    }
}

text! {
    /// Name that an operator gives to a profile or a group: 1 to 63 characters without blanks.
    Label, MAX_NAME, |text| {
        let is_plain = |c: char| !c.is_whitespace() && !is_invisible(c);
        if text.is_empty() || text.chars().count() > MAX_NAME || !text.chars().all(is_plain) {
            let text = format!("{text:?} is not a name; give 1 to {MAX_NAME} characters without blanks");
            return Err(ValueError::new(text));
        }
        Ok(())
    }
}

text! {
    /// What a port is for: one line of up to 255 characters.
    Description, MAX_DESCRIPTION, |text| {
        if text.chars().count() > MAX_DESCRIPTION || text.chars().any(is_invisible) {
            let text = format!("{text:?} is not a description; give one line of up to {MAX_DESCRIPTION} characters");
            return Err(ValueError::new(text));
        }
        Ok(())
    }
}

text! {
    /// Name of a network interface of this host.
    InterfaceName, MAX_INTERFACE, |text| {
        let is_plain = text.bytes().all(|b| b.is_ascii_graphic() && b != b'/' && b != b':');
        if text.is_empty() || text.len() > MAX_INTERFACE || !is_plain || matches!(text, "." | "..") {
            let text = format!("{text:?} is not the name of a network interface; give 1 to {MAX_INTERFACE} characters");
            return Err(ValueError::new(text));
        }
        Ok(())
    }
}

text! {
    /// A port, by its number or its name.
    PortRef, MAX_NAME, |text| {
        if text.parse::<u32>().is_err() && text.parse::<PortName>().is_err() {
            let text = format!("{text:?} is neither the number nor the name of a port");
            return Err(ValueError::new(text));
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for PortRef {
    /// A number stands for itself.
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(u32),
            Text(String),
        }
        let text = match Written::deserialize(from)? {
            Written::Number(number) => number.to_string(),
            Written::Text(text) => text,
        };
        text.parse().map_err(de::Error::custom)
    }
}

/// Whether a character steers a terminal, or the direction of what is around it, instead of
/// being seen.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Unfinished work that frames may carry through a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema), schemars(with = "String"))]
pub struct OffloadTypes {
    /// Super-frames of TCP.
    pub tcp: bool,
    /// Super-frames of UDP.
    pub udp: bool,
    /// Checksums that nobody has computed yet.
    pub checksum: bool,
}

impl OffloadTypes {
    /// All of it: nothing is finished before it must be.
    pub const ALL: Self = Self { tcp: true, udp: true, checksum: true };

    /// None of it.
    pub const NONE: Self = Self { tcp: false, udp: false, checksum: false };

    const NAMES: [&str; 3] = ["tcp", "udp", "checksum"];

    /// As three bits, for an atomic.
    pub(crate) const fn bits(self) -> u8 {
        self.tcp as u8 | (self.udp as u8) << 1 | (self.checksum as u8) << 2
    }

    /// What those bits say.
    pub(crate) const fn from_bits(bits: u8) -> Self {
        Self { tcp: bits & 1 != 0, udp: bits & 2 != 0, checksum: bits & 4 != 0 }
    }
}

impl FromStr for OffloadTypes {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text {
            "on" => return Ok(Self::ALL),
            "off" | "" => return Ok(Self::NONE),
            _ => {}
        }
        let mut types = Self::NONE;
        for word in text.split(',') {
            match word.trim() {
                "tcp" => types.tcp = true,
                "udp" => types.udp = true,
                "checksum" => types.checksum = true,
                _ => {
                    return Err(ValueError::new(format!(
                        "{text:?} is not an offload setting; give on, off, or a list of tcp, udp, \
                         checksum"
                    )));
                }
            }
        }
        Ok(types)
    }
}

impl fmt::Display for OffloadTypes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ALL => return f.write_str("on"),
            Self::NONE => return f.write_str("off"),
            _ => {}
        }
        let given = [self.tcp, self.udp, self.checksum];
        let names: Vec<_> =
            Self::NAMES.into_iter().zip(given).filter_map(|(n, is)| is.then_some(n)).collect();
        f.write_str(&names.join(","))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A value in a form that a file or control may give it.
    pub(in super::super) fn from_json<T: SettingValue>(text: &str) -> serde_json::Result<T> {
        read(&mut serde_json::Deserializer::from_str(text)).map(|value| value.expect("a value"))
    }

    #[test]
    fn a_text_is_not_a_number() {
        for json in ["5", "true", "[\"a\"]"] {
            let error = from_json::<Description>(json).expect_err(json).to_string();
            assert!(error.contains("needs quotes"), "{error}");
        }
        assert!(from_json::<PortRef>("5").is_ok() && from_json::<Description>("\"5\"").is_ok());
    }

    #[test]
    fn a_name_can_stand_wherever_a_number_can() {
        for good in ["uplink", "a", "büro.2", "1st", &"x".repeat(63)] {
            assert_eq!(good.parse::<PortName>().map(|name| name.show()), Ok(good.to_owned()));
        }
        let long = "x".repeat(64);
        for bad in ["", "7", "-1", "1e3", "+5", "a b", "a\n", "\u{202e}a", "-x", &long] {
            assert!(bad.parse::<PortName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn offload_is_on_off_or_a_list_in_every_form() {
        for (text, shown) in [
            ("\"on\"", "on"),
            ("\"off\"", "off"),
            ("true", "on"),
            ("[]", "off"),
            ("[\"udp\", \"tcp\"]", "tcp,udp"),
            ("\"checksum, udp,tcp\"", "on"),
        ] {
            let types = from_json::<OffloadTypes>(text).expect(text);
            assert_eq!(types.to_string(), shown);
            assert_eq!(OffloadTypes::from_bits(types.bits()), types);
        }
        assert!(from_json::<OffloadTypes>("\"sctp\"").is_err());
    }
}
