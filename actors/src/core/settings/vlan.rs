//! Values of settings that are about VLANs.

use std::{fmt, str::FromStr};

use super::{SettingValue, ValueError};
use crate::{
    core::{frame::Vid, packet},
    names,
};

names! {
    /// What a port is to VLANs.
    pub enum VlanMode {
        /// One VLAN, untagged: for hosts that know nothing of VLANs.
        Access = "access",
        /// Several VLANs, tagged.
        Trunk = "trunk",
        /// Several VLANs, tagged; what comes in untagged is of the native one.
        NativeTagged = "native-tagged",
        /// The same, and the native one leaves untagged.
        NativeUntagged = "native-untagged",
        /// One VLAN that carries whatever comes in, tags included (IEEE 802.1Q, 15).
        Dot1qTunnel = "dot1q-tunnel",
    }
}

names! {
    /// Which frames may come in (IEEE 802.1Q, 6.9).
    pub enum Accept {
        /// All of them.
        All = "all",
        /// Those with a tag that names a VLAN.
        Tagged = "tagged",
        /// Those without: untagged and priority-tagged ones.
        Untagged = "untagged",
    }
}

names! {
    /// Whether a frame that leaves without its VLAN's tag has a priority tag instead.
    pub enum PriorityTags {
        /// It has none: some hosts discard frames with one.
        Never = "never",
        /// It has one if its priority is not zero.
        IfNonzero = "if-nonzero",
        /// It has one.
        Always = "always",
    }
}

/// The type of tag by which a port tells VLANs (IEEE 802.1Q, table 9-1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema), schemars(with = "String"))]
pub enum Tpid {
    /// 0x8100, of customer bridges.
    Customer,
    /// 0x88a8, of provider bridges.
    Service,
}

impl Tpid {
    /// The EtherType.
    #[must_use]
    pub const fn get(self) -> u16 {
        match self {
            Self::Customer => packet::TPID_CVLAN,
            Self::Service => packet::TPID_SVLAN,
        }
    }
}

impl FromStr for Tpid {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text {
            "802.1q" | "802.1Q" | "0x8100" => Ok(Self::Customer),
            "802.1ad" | "0x88a8" => Ok(Self::Service),
            _ => Err(ValueError::new(format!(
                "{text:?} is not a tag type; give 802.1q (0x8100) or 802.1ad (0x88a8)"
            ))),
        }
    }
}

impl fmt::Display for Tpid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Customer => "802.1q",
            Self::Service => "802.1ad",
        })
    }
}

/// A VLAN that can be on a wire: 1 to 4094.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema), schemars(with = "u16"))]
pub struct VlanId(Vid);

impl VlanId {
    /// As the core has it.
    #[must_use]
    pub const fn vid(self) -> Vid {
        self.0
    }
}

impl FromStr for VlanId {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text.parse().ok().and_then(Vid::new) {
            Some(vid) if vid != Vid::UNTAGGED => Ok(Self(vid)),
            _ => Err(ValueError::new(format!("{text:?} is not a VLAN; give 1 to 4094"))),
        }
    }
}

impl fmt::Display for VlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.get().fmt(f)
    }
}

/// The VLAN of frames that come in untagged, if they may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema), schemars(with = "String"))]
pub enum Pvid {
    /// They may not.
    None,
    /// This one.
    Vlan(VlanId),
}

impl FromStr for Pvid {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text {
            "none" | "0" => Ok(Self::None),
            _ => text.parse().map(Self::Vlan).map_err(|_| {
                ValueError::new(format!("{text:?} is not a PVID; give 1 to 4094, or none"))
            }),
        }
    }
}

impl fmt::Display for Pvid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Vlan(vlan) => vlan.fmt(f),
        }
    }
}

/// Characters of a list of VLANs: room for each by itself.
const MAX_LIST: usize = 5 * VIDS;

/// VLANs that there can be, and 0 for frames without one.
const VIDS: usize = 4096;

/// A set of VLANs, 0 among them.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema), schemars(with = "String"))]
pub struct VidSet(Box<[u64; VIDS / 64]>);

impl Default for VidSet {
    fn default() -> Self {
        Self(Box::new([0; VIDS / 64]))
    }
}

impl VidSet {
    /// The VLANs 1 to 4094.
    #[must_use]
    pub fn tagged() -> Self {
        let mut all = [u64::MAX; VIDS / 64];
        all[0] ^= 1;
        all[VIDS / 64 - 1] ^= 1 << 63;
        Self(Box::new(all))
    }

    /// With this one in it.
    #[must_use]
    pub fn with(mut self, vid: Vid) -> Self {
        self.0[usize::from(vid.get() / 64)] |= 1 << (vid.get() % 64);
        self
    }

    /// Without this one.
    #[must_use]
    pub fn without(mut self, vid: Vid) -> Self {
        self.0[usize::from(vid.get() / 64)] &= !(1 << (vid.get() % 64));
        self
    }

    /// Whether this one is in it.
    #[inline]
    #[must_use]
    pub fn contains(&self, vid: Vid) -> bool {
        self.0[usize::from(vid.get() / 64)] >> (vid.get() % 64) & 1 == 1
    }

    /// All of them, ascending.
    pub fn iter(&self) -> impl Iterator<Item = Vid> + '_ {
        (0..4095).filter_map(Vid::new).filter(|vid| self.contains(*vid))
    }
}

impl fmt::Debug for VidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for VidSet {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text {
            "all" => return Ok(Self::tagged()),
            "none" | "" => return Ok(Self::default()),
            _ => {}
        }
        if text.len() > MAX_LIST {
            let text = format!("the list of VLANs is too long; give {MAX_LIST} characters at most");
            return Err(ValueError::new(text));
        }
        let number = |text: &str| text.trim().parse().ok().and_then(Vid::new);
        let mut set = Self::default();
        for word in text.split(',') {
            let (first, last) = word.split_once('-').unwrap_or((word, word));
            match (number(first), number(last)) {
                (Some(first), Some(last)) if first <= last => {
                    let range = first.get()..=last.get();
                    set = range.filter_map(Vid::new).fold(set, Self::with);
                }
                _ => {
                    return Err(ValueError::new(format!(
                        "{:?} is neither a VLAN nor a range of them; give a list as 10,20-29, with \
                         0 for frames without a VLAN, or all, or none",
                        word.trim()
                    )));
                }
            }
        }
        Ok(set)
    }
}

impl fmt::Display for VidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::default() {
            return f.write_str("none");
        }
        if *self == Self::tagged() {
            return f.write_str("all");
        }
        let (mut comma, mut vids) = ("", self.iter().map(Vid::get).peekable());
        while let Some(first) = vids.next() {
            let mut last = first;
            while vids.next_if_eq(&(last + 1)).is_some() {
                last += 1;
            }
            match last - first {
                0 => write!(f, "{comma}{first}")?,
                1 => write!(f, "{comma}{first},{last}")?,
                _ => write!(f, "{comma}{first}-{last}")?,
            }
            comma = ",";
        }
        Ok(())
    }
}

/// Values that are the names of a word list.
macro_rules! words {
    ($($type:ident: $form:literal, $what:literal;)+) => {$(
        impl SettingValue for $type {
            const FORM: &'static str = $form;

            fn parse(text: &str) -> Result<Self, ValueError> {
                Self::from_name(text).ok_or_else(|| {
                    let names = Self::ALL.map(Self::name).join(", ");
                    ValueError::new(format!("{text:?} is not {}; there are {names}", $what))
                })
            }

            fn show(&self) -> String {
                self.name().to_owned()
            }
        }
    )+};
}

words! {
    VlanMode: "access|trunk|native-tagged|native-untagged|dot1q-tunnel", "a VLAN mode";
    Accept: "all|tagged|untagged", "a kind of frames";
    PriorityTags: "never|if-nonzero|always", "a rule for priority tags";
}

#[cfg(test)]
mod tests {
    use super::{super::value::tests::from_json, *};

    #[test]
    fn vlans_are_a_list_with_ranges_in_every_form() {
        for (text, shown) in [
            ("\"10\"", "10"),
            ("10", "10"),
            ("[10, \"20-29\", 22, \"30\"]", "10,20-30"),
            ("\"1, 2,4-6\"", "1,2,4-6"),
            ("\"0,5\"", "0,5"),
            ("\"all\"", "all"),
            ("\"1-4094\"", "all"),
            ("\"0-4094\"", "0-4094"),
            ("[]", "none"),
            ("\"none\"", "none"),
        ] {
            let set: VidSet = from_json(text).expect(text);
            assert_eq!(set.to_string(), shown);
            assert_eq!(shown.parse(), Ok(set));
        }
        assert!("1,".repeat(MAX_LIST / 2 + 1).parse::<VidSet>().is_err());
        for bad in ["4095", "\"20-10\"", "\"1-\"", "\"-5\"", "\"1,,2\"", "\"x\"", "true"] {
            assert!(from_json::<VidSet>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_vlan_is_1_to_4094_and_no_pvid_can_be_said() {
        assert!(["1", "4094"].iter().all(|text| text.parse::<VlanId>().is_ok()));
        assert!(["0", "4095", "-1", "x"].iter().all(|text| text.parse::<VlanId>().is_err()));
        assert_eq!("none".parse(), Ok(Pvid::None));
        assert_eq!("0".parse(), Ok(Pvid::None));
        assert_eq!(from_json::<Pvid>("7").map(|pvid| pvid.to_string()).ok().as_deref(), Some("7"));
        assert!("4095".parse::<Pvid>().is_err());
        let number = serde_json::to_string(&"7".parse::<VlanId>().expect("a VLAN"));
        assert_eq!(number.expect("JSON"), "7", "as the schema says");
    }
}
