//! Settings of a port: what an operator may set on one port, or for all of them.
//!
//! Each setting is one declaration in `settings!` below, and its use. The command line,
//! the configuration file, control, the page and the documentation take its name, its help
//! and its form from there.
//!
//! A port has a setting from the first of these that gives it one: its *own*, that of the
//! *profile* that its own settings name, that of its *user's profile*, what its *trust* stands
//! for, the *default* for all ports. What none of them gives has the value that is declared
//! here.

mod impair;
mod ip;
mod link;
mod link_local;
mod lldp;
mod mac;
mod multicast;
#[cfg(feature = "clap")]
mod options;
mod profile;
mod rate;
mod stp;
mod trust;
mod value;
mod vlan;

use crate::{core::guard::storm::StormLimit, names};

pub use self::link::LinkSettings;
#[cfg(feature = "clap")]
pub use self::options::PortDefaults;
pub use self::{
    impair::{Each, Loss, Percent, Size, Span},
    ip::IpList,
    link_local::LinkLocal,
    lldp::LldpStatus,
    mac::{DeviceMac, MacList},
    multicast::McastRouter,
    profile::{ANYBODY, Layers, MAX_PROFILES, Profile, ProfileError, Profiles},
    rate::{Excess, RateLimit},
    stp::{PathCost, PortPriority, StpEdge},
    trust::Trust,
    value::{
        Description, InterfaceName, Label, OffloadTypes, PortName, PortRef, SettingValue,
        ValueError,
    },
    vlan::{Accept, PriorityTags, Pvid, Tpid, VidSet, VlanId, VlanMode},
};

names! {
    /// Who may do something. Each may do what those before it may.
    pub enum Role {
        /// Look at everything that is no secret.
        Read = "viewer",
        /// Set up ports and addresses.
        Operate = "operator",
        /// Change who may come in, and what the program runs.
        Admin = "admin",
    }
}

names! {
    /// Where a setting may stand.
    pub enum Scope {
        /// On a port, in a profile, and among the defaults for all ports.
        Anywhere = "anywhere",
        /// On a port only: it is about that one.
        Port = "port",
        /// In the configuration file only: it could have a program run.
        File = "file",
    }
}

names! {
    /// Where a port has the value of a setting from.
    pub enum Origin {
        /// It was set on this port.
        Own = "own",
        /// From the profile that the port names.
        Profile = "profile",
        /// From the profile of the port's user.
        UserProfile = "user-profile",
        /// From what the setting `trust` stands for.
        Trust = "trust",
        /// From the defaults for all ports: `[port-defaults]` of the file.
        PortDefaults = "port-defaults",
        /// Declared by the program.
        Default = "default",
    }
}

/// What there is to say of a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// Its name, with hyphens.
    pub name: &'static str,
    /// Names that are taken as well.
    pub aliases: &'static [&'static str],
    /// What it does, in a sentence or two.
    pub help: &'static str,
    /// How its value is written.
    pub form: &'static str,
    /// Kinds of port that have it; all of them if empty.
    pub kinds: &'static [&'static str],
    /// Where it may stand.
    pub scope: Scope,
    /// Who may set it.
    pub role: Role,
    /// Whether a change opens the port's medium anew.
    pub reopens: bool,
}

/// Settings of ports with names that `[switch]` and the options of `sw` use for the switch itself.
const OF_SWITCH: [&str; 2] = ["stp", "stp-priority"];

impl Setting {
    /// Declared without further words: for all kinds, anywhere, for operators.
    const PLAIN: Self = Self {
        name: "",
        aliases: &[],
        help: "",
        form: "",
        kinds: &[],
        scope: Scope::Anywhere,
        role: Role::Operate,
        reopens: false,
    };

    /// The setting of that name or alias.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|one| one.name == name || one.aliases.contains(&name))
    }

    /// Whether control may set it, and not only the configuration file.
    ///
    /// # Errors
    /// It may not; the error says where to write it.
    pub fn check_control(&self) -> Result<(), ValueError> {
        match self.scope {
            Scope::Anywhere | Scope::Port => Ok(()),
            Scope::File => Err(ValueError::only_in_file(self.name)),
        }
    }

    /// Whether the option of `sw` and the key of `[switch]` with this name set up the switch
    /// itself: the default for all ports is in `[port-defaults]`.
    #[must_use]
    pub fn is_of_switch(&self) -> bool {
        OF_SWITCH.contains(&self.name)
    }

    /// Whether ports of this kind have it.
    #[must_use]
    pub fn is_for(&self, kind: &str) -> bool {
        self.kinds.is_empty() || self.kinds.contains(&kind)
    }

    /// Its declared value, as it is written; `None` where it has none.
    #[must_use]
    pub fn default(&self) -> Option<String> {
        PortSettings::declared().show(self.name)
    }
}

/// Ports of a kind do not have a setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} is only for {} ports, and this is a {kind} port",
    setting.name,
    setting.kinds.join(" and ")
)]
pub struct ForeignSetting {
    /// The setting.
    pub setting: &'static Setting,
    /// Kind of the port.
    pub kind: String,
}

/// A setting of a port, as it is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InForce {
    /// Its name.
    pub name: &'static str,
    /// Its value, as it is written; empty where it has none.
    pub value: String,
    /// Where the port has it from.
    pub origin: Origin,
    /// The profile, where it is from one.
    pub profile: Option<Label>,
}

/// Declares the settings.
macro_rules! settings {
    ($(
        $(#[doc = $help:literal])+
        $field:ident ($name:literal $(| $alias:literal)*): $type:ty
            $(= $default:expr)? $(, $key:ident: $value:expr)*;
    )+) => {
        /// Settings of a port; what is `None` is left to what comes next: see [the order of
        /// precedence](self).
        #[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
        #[serde(default)]
        pub struct PortSettings {
            $(
                $(#[doc = $help])+
                #[serde(rename = $name, $(alias = $alias,)* deserialize_with = "value::read")]
                #[serde(skip_serializing_if = "Option::is_none")]
                pub $field: Option<$type>,
            )+
        }

        /// All settings, in the order in which they are shown.
        pub const SETTINGS: &[Setting] = &[$(
            Setting {
                name: $name,
                aliases: &[$($alias),*],
                help: concat!($($help),+).trim_ascii_start(),
                form: <$type as SettingValue>::FORM,
                $($key: $value,)*
                ..Setting::PLAIN
            },
        )+];

        impl PortSettings {
            /// What holds where nobody has set anything.
            #[must_use]
            pub fn declared() -> Self {
                Self { $($($field: Some($default),)?)+ ..Self::default() }
            }

            /// These, and `below` where they say nothing.
            #[must_use]
            pub fn or(&self, below: &Self) -> Self {
                Self { $($field: self.$field.clone().or_else(|| below.$field.clone()),)+ }
            }

            /// The settings that these give a value.
            pub fn given(&self) -> impl Iterator<Item = &'static Setting> {
                let given = [$(self.$field.is_some()),+];
                SETTINGS.iter().zip(given).filter_map(|(setting, given)| given.then_some(setting))
            }

            /// Whether a port of this kind can have all of these.
            ///
            /// # Errors
            /// It cannot; the error names the setting, and the kinds that have it.
            pub fn check_kind(&self, kind: &str) -> Result<(), ForeignSetting> {
                match self.given().find(|one| !one.is_for(kind)) {
                    Some(setting) => Err(ForeignSetting { setting, kind: kind.to_owned() }),
                    None => Ok(()),
                }
            }

            /// What is set, for the log: `max-macs 5, shut on`.
            #[must_use]
            pub fn describe(&self) -> String {
                let of = |setting: &Setting| {
                    format!("{} {}", setting.name, self.show(setting.name).unwrap_or_default())
                };
                self.given().map(of).collect::<Vec<_>>().join(", ")
            }

            /// Names of the settings that are otherwise in `other`, or only in one of both.
            #[must_use]
            pub fn differing(&self, other: &Self) -> Vec<&'static str> {
                let mut names = Vec::new();
                $(if self.$field != other.$field { names.push($name); })+
                names
            }

            /// The value of a setting, as it is written; `None` where there is none.
            #[must_use]
            pub fn show(&self, name: &str) -> Option<String> {
                match name {
                    $($name => self.$field.as_ref().map(SettingValue::show),)+
                    _ => None,
                }
            }

            /// Forgets a setting.
            pub fn clear(&mut self, name: &str) {
                match name {
                    $($name => self.$field = None,)+
                    _ => {}
                }
            }

            /// Sets a setting to what is written.
            ///
            /// # Errors
            /// The text is not a value of this setting, or there is none of that name.
            pub fn set(&mut self, name: &str, text: &str) -> Result<(), ValueError> {
                match name {
                    $($name $(| $alias)* => self.$field = Some(SettingValue::parse(text)?),)+
                    _ => return Err(ValueError::unknown(name)),
                }
                Ok(())
            }

            $($(
                /// The value, or the declared one.
                #[must_use]
                pub fn $field(&self) -> $type {
                    self.$field.clone().unwrap_or_else(|| $default)
                }
            )?)+

            /// The options of a command line, one for each setting.
            #[cfg(feature = "clap")]
            fn arguments() -> Vec<clap::Arg> {
                let of: [fn(&'static Setting) -> clap::Arg; SETTINGS.len()] = [$(options::argument::<$type>),+];
                let all = SETTINGS.iter().zip(of).filter(|(setting, _)| setting.scope != Scope::File);
                all.map(|(setting, argument)| argument(setting)).collect()
            }

            /// What was given of these options.
            #[cfg(feature = "clap")]
            fn read(matches: &clap::ArgMatches) -> Self {
                Self { $($field: options::given($name, matches),)+ }
            }
        }
    };
}

settings! {
    /// Name of the port, usable wherever its number is; up to 63 characters, not a number.
    name ("name"): PortName, scope: Scope::Port;

    /// What the port is for, up to 255 characters.
    description ("description"): Description, scope: Scope::Port;

    /// Profile that gives the port what is not set on the port itself.
    profile ("profile"): Label, scope: Scope::Port;

    /// Who is behind the port: a few stations (client), or a network with switches of its own
    /// (uplink). Stands for a set of guards, of which each can be set otherwise.
    trust ("trust"): Trust;

    /// Whether to drop all frames from and to the port. Its medium stays open.
    shut ("shut"): bool = false, scope: Scope::Port;

    /// Whether the loop guard looks for loops through the port, and may block it.
    loop_guard ("loop-guard" | "loopguard"): bool = true;

    /// Maximum number of MAC addresses learned behind the port; those already learned stay.
    max_macs ("max-macs" | "maxmacs"): usize = crate::core::fdb::DEFAULT_MAX_MACS;

    // An ARP scan sends some 500 a second and a whole /20 fits into the burst; at 1,000 a
    // second of ARP a station is not yet busy with it. Multicast and unknown unicast have
    // five times that, 60 Mbit/s of full frames, so that a few television channels, or a
    // sender whose receiver never speaks, pass.
    /// Broadcast frames per second flooded from the port, with an optional burst, or off.
    storm_broadcast ("storm-broadcast" | "stormbroadcast"): StormLimit =
        StormLimit::Rate { rate: 1000, burst: 4000 };

    /// Multicast frames per second flooded from the port, with an optional burst, or off.
    storm_multicast ("storm-multicast" | "stormmulticast"): StormLimit =
        StormLimit::Rate { rate: 5000, burst: 20_000 };

    /// Unknown-unicast frames per second flooded from the port, with an optional burst, or off.
    storm_unicast ("storm-unicast" | "stormunicast"): StormLimit =
        StormLimit::Rate { rate: 5000, burst: 20_000 };

    // 40 Mbit/s: some television channels. What the frames' limits let pass in the longest
    // frames, each class by itself, would be 130.
    /// Octets per second of flooded frames of all three classes together, with an optional burst, or off.
    storm_octets ("storm-octets"): StormLimit =
        StormLimit::Rate { rate: 5_000_000, burst: 20_000_000 };

    /// How much comes into the switch by the port, as tc writes it (10mbit, 500kbit, or 100kbps for
    /// octets), with an optional burst (10mbit/64kb), or off. All ports of a holder share it.
    /// Frames over it are discarded (police, which is the default), or wait (shape).
    rate_in ("rate-in"): RateLimit = RateLimit::Off;

    /// How much leaves the switch by the port, as rate-in. Frames over it wait (shape, which is
    /// the default), or are discarded (police).
    rate_out ("rate-out"): RateLimit = RateLimit::Off;

    /// Delay of frames, for labs: 20ms is for each direction, in 20ms for those that come in; in
    /// 20ms out 50ms sets both.
    delay ("delay"): Each<Span> = Each::default();

    /// Random variation of the delay: a delay of 20ms with a jitter of 5ms is 15 to 25 ms. Frames
    /// may overtake each other.
    jitter ("jitter"): Each<Span> = Each::default();

    /// Percentage of frames lost: 1% at random, 1%/5 in bursts of 5 frames on average. As delay for
    /// one direction.
    loss ("loss"): Each<Loss> = Each::default();

    /// Percentage of frames sent without the delay, which overtake the others. Needs delay.
    reorder ("reorder"): Each<Percent> = Each::default();

    /// Percentage of frames sent twice.
    duplicate ("duplicate"): Each<Percent> = Each::default();

    /// Percentage of frames with one bit flipped behind their addresses and type.
    corrupt ("corrupt"): Each<Percent> = Each::default();

    // What 100 Mbit/s have under way in a third of a second.
    /// Octets delayed at once in each direction; more are lost.
    impair_limit ("impair-limit"): Size = Size(4 << 20);

    /// Seed of random numbers: the same seed loses the same frames. Without it, a random seed.
    impair_seed ("impair-seed"): usize;

    // What a Linux bridge without STP keeps and what 1.3 floods: see docs/ports.md.
    /// Group addresses 01:80:c2:00:00:00 to 0f that pass the port in either direction: of
    /// spanning tree (stp), link aggregation (lacp), 802.1X (dot1x), LLDP (lldp), PAUSE frames
    /// (pause), and those of any last digit by number, 0 to 15.
    link_local ("link-local"): LinkLocal = LinkLocal::ALL_BUT_PAUSE;

    /// Whether a BPDU that comes in by the port blocks it, until none has come for 20 s.
    bpdu_guard ("bpdu-guard"): bool = false;

    /// Whether BPDUs from the port are trusted: a topology change flushes the FDB, once a second at
    /// most, and the loop guard leaves a loop to spanning tree for 6 s. Default: on for tap and
    /// netdev; server ports do not have it.
    stp_trust ("stp-trust"): bool, kinds: &["tap", "netdev", "client", "memory"];

    /// Whether the port takes part in spanning tree while the switch does. With off it always
    /// forwards, sends no BPDUs, and discards those that come in.
    stp ("stp"): bool = true;

    /// Path cost of the port for spanning tree, 1 to 200000000: of several paths to the root the
    /// cheapest carries frames. Default: 20000 for interfaces, 200000 for tunnels.
    stp_cost ("stp-cost" | "stp-path-cost"): PathCost;

    /// Priority of the port for spanning tree, a multiple of 16 up to 240: of several paths to the
    /// switch at the same cost, a neighbor takes that by the port with the lowest priority.
    stp_priority ("stp-priority"): PortPriority = PortPriority::DEFAULT;

    /// Whether only stations are behind the port, so that it forwards at once: on (until a BPDU
    /// comes in), off, or auto (once no BPDU has come in for 3 s).
    stp_edge ("stp-edge"): StpEdge = StpEdge::Auto;

    /// Whether nobody behind the port may become the root of the spanning tree, or a path to it:
    /// while a BPDU there claims that, the port is discarding (root guard).
    stp_root_guard ("stp-root-guard"): bool = false;

    /// Whether the port sends LLDP (tx-only), receives it (rx-only), does both (rx-and-tx, or on)
    /// or neither (disabled, or off). Default: rx-and-tx for tap and netdev if the switch's lldp is
    /// on, else disabled.
    lldp_status ("lldp-status"): LldpStatus;

    /// Unfinished work that frames may bring into this port or take out of it: super-frames
    /// of TCP or UDP, and checksums. With off, frames enter and leave it finished and no
    /// longer than its MTU: for programs that read a packet socket.
    offload ("offload"): OffloadTypes = OffloadTypes::ALL;

    /// Frames that the kernel queues for the interface until they are read: beyond it drops
    /// what the host sends. A new TAP device gets 1,000, one that was there keeps its own.
    txqueuelen ("txqueuelen"): usize, kinds: &["tap"];

    /// Whether addresses that are learned behind the port stay there until they are flushed:
    /// nobody behind another port can take them over.
    sticky ("sticky"): bool = false;

    /// The only MAC addresses that may be behind the port, in every VLAN: they are nowhere
    /// else, and frames from others are discarded.
    static_macs ("static-macs"): MacList, scope: Scope::Port;

    /// VLAN mode, as in Open vSwitch: access (VLAN tag, untagged), trunk (VLANs trunks, tagged),
    /// native-tagged or native-untagged (a trunk with native VLAN tag), dot1q-tunnel (QinQ: adds
    /// VLAN tag to every frame). Unset: access with a tag, trunk with trunks; without any setting
    /// for VLANs all frames pass as they are.
    vlan_mode ("vlan-mode"): VlanMode;

    /// VLAN of an access or dot1q-tunnel port, or the native one of a trunk.
    tag ("tag"): VlanId;

    /// VLANs that a trunk carries tagged; with 0, untagged frames too. all is 1-4094. Unset,
    /// 0-4094.
    trunks ("trunks"): VidSet;

    /// Frames that may come in. Those that may not count as vlan-accept. Untagged for access
    /// ports, else all.
    accept ("accept"): Accept;

    /// Whether nothing with a tag gets into the native VLAN: frames that are tagged with it
    /// already, and those with a further tag, are discarded.
    native_strict ("native-strict"): bool = false;

    /// Type of tag by which the port tells VLANs, 802.1q (0x8100) or 802.1ad (0x88a8). A tag of
    /// another type is payload.
    tpid ("tpid"): Tpid = Tpid::Customer;

    /// Whether frames that leave without their VLAN's tag keep their priority in a priority tag.
    priority_tags ("priority-tags"): PriorityTags = PriorityTags::Never;

    /// VLAN of frames that come in untagged, or none, instead of what the VLAN mode says. It
    /// leaves the port untagged, if it is not among tagged.
    pvid ("pvid"): Pvid;

    /// VLANs that leave the port untagged, instead of what the VLAN mode says.
    untagged ("untagged"): VidSet;

    /// VLANs that leave the port tagged, instead of what the VLAN mode says.
    tagged ("tagged"): VidSet;

    /// IP addresses that stations behind the port may use; with source-guard, besides the bound
    /// ones. Frames from others are discarded. any, or unset: no list. IPv6 link-local addresses,
    /// DHCP requests and ARP probes pass.
    allowed_ips ("allowed-ips"): IpList;

    /// Whether messages of DHCP servers and relays that come in by the port are discarded, of
    /// IPv4 and IPv6, and those of clients that name another station than their sender.
    dhcp_guard ("dhcp-guard"): bool = false;

    /// DHCP messages a second that may go to servers from the port, with an optional burst, or off.
    dhcp_rate ("dhcp-rate"): StormLimit = StormLimit::Off;

    /// Whether stations behind the port may have only IP addresses that a DHCP server behind a
    /// trusted port has given them, those among allowed-ips, and IPv6 addresses that nobody else
    /// has: as source, in ARP and in neighbor discovery.
    source_guard ("source-guard"): bool = false;

    /// Whether router advertisements and redirects that come in by the port are discarded
    /// (RFC 6105 and 7113), with whatever could hide them.
    ra_guard ("ra-guard"): bool = false;

    /// Whether queries of IGMP and MLD that come in by the port are discarded, and what else
    /// only multicast routers send: PIM, and their advertisements (RFC 4286).
    querier_guard ("querier-guard"): bool = false;

    /// Whether the port does not get ARP requests and neighbor solicitations for known stations:
    /// the switch answers those for stations behind such ports (RFC 9161).
    neigh_suppress ("neigh-suppress"): bool = false;

    /// Whether the port is a multicast router port, which gets all multicast groups and all reports
    /// of hosts: while a router or querier is heard behind it (auto, or 1 as for a Linux bridge),
    /// never (off, 0), or always (on, 2).
    mcast_router ("mcast-router"): McastRouter = McastRouter::Auto;

    /// Whether the port is pruned from a multicast group as soon as the last host behind it leaves.
    /// Hosts are told apart. Those of IGMPv1, IGMPv2 and MLDv1 hide each other: with one of them
    /// the switch asks first, as without this setting.
    mcast_fast_leave ("mcast-fast-leave"): bool = false;

    /// Whether the port gets all multicast groups, whoever has joined them: for hosts that speak
    /// neither IGMP nor MLD.
    mcast_flood ("mcast-flood"): bool = false;

    /// Whether the port reaches only ports that are not isolated, and those of its group.
    isolated ("isolated"): bool = false;

    /// Group of isolated ports that reach each other. A port that is not isolated is in none.
    isolation_group ("isolation-group"): Label;

    /// MAC address of the device that the port makes. Without it, one that stays: it is made
    /// of this machine's id, a card's address and the device's name.
    mac ("mac"): DeviceMac, scope: Scope::Port, kinds: &["tap"], reopens: true;

    /// Bridge of this host that the device is a member of.
    bridge ("bridge"): InterfaceName, kinds: &["tap"], reopens: true;

    /// Port, by its number, name or device, that gives the device its carrier: while that port is
    /// not up the device has none, which bonds, routing and DHCP clients of this host notice.
    carrier_from ("carrier-from"): PortRef, scope: Scope::Port, kinds: &["tap"];
}

#[cfg(test)]
mod tests;
