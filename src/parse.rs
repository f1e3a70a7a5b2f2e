//! Texts and numbers to the switch's own values, the same for the command line, the
//! configuration file and JSON-RPC. A refusal names value and way out, and no password.

use std::net::IpAddr;

use etherws_actors::{
    connect::Credentials,
    error::one_line,
    frame::{MacAddr, Vid},
    interface::{AddressSetting, InterfaceSettings},
    kinds::{KindInfo, PortSpec, SpecError, Via, kinds},
    settings::SETTINGS,
};
use schemars::SchemaGenerator;
use serde_json::{Map, Value};

use crate::refusal::Refusal;

/// Something of a port that cannot be so.
#[derive(Debug)]
pub(crate) struct PortFault {
    /// Member or key that it is about.
    pub(crate) key: String,
    pub(crate) refusal: Refusal,
}

impl PortFault {
    /// The refusal for whoever is told of one fault only.
    pub(crate) fn first(faults: Vec<Self>) -> Refusal {
        let first = faults.into_iter().next().map(|fault| fault.refusal);
        first.unwrap_or_else(|| Refusal::value("the port is not valid"))
    }
}

/// A port of the kind `kind`, whose other members are `target` and options. Those from
/// control are read as leniently as etherws 1.3 does: null counts as missing, and a truth is
/// whatever Python takes for one. Its `ctl` gives the options of other kinds empty.
pub(crate) fn port(
    kind: &str,
    members: Map<String, Value>,
    from: Via,
) -> Result<PortSpec, Vec<PortFault>> {
    let fault = |key: &str, refusal| PortFault { key: key.to_owned(), refusal };
    let info = KindInfo::find(kind);
    let known = info.and_then(|kind| kind.options(from, &mut SchemaGenerator::default()));
    let mut options = Map::new();
    let mut faults = Vec::new();
    for (name, value) in members {
        let schema = match &known {
            // A kind from elsewhere: it reads its options itself.
            None => Some(&Value::Null),
            Some(known) => known.get(&name),
        };
        match (schema, from) {
            (_, Via::Control) if value.is_null() => {}
            (None, Via::Control)
                if info.is_some_and(|of| of.file_only.contains(&name.as_str())) =>
            {
                let text = format!("{name} is an option of the configuration file only");
                faults.push(fault(&name, Refusal::value(text)));
            }
            (None, Via::Control) if value == false || value == "" => {}
            (None, from) => faults.push(fault(&name, unknown(&name, kind, from))),
            (Some(schema), from) => match fit(&name, value, schema, from) {
                Ok(value) => drop(options.insert(name, value)),
                Err(refusal) => faults.push(fault(&name, refusal)),
            },
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let mut port = PortSpec::from_options(kind, options).map_err(|error| {
        let key = if matches!(error, SpecError::Kind { .. }) { "type" } else { "target" };
        vec![fault(key, Refusal::value(one_line(&error)))]
    })?;
    let wrong = port.check(from).into_iter();
    faults.extend(wrong.map(|error| fault(error.key, Refusal::value(error.text))));
    if faults.is_empty() { Ok(port) } else { Err(faults) }
}

/// Octets of a name at most that something may be like: to look for that takes time by length.
const MAX_NAME: usize = 128;

/// How alike two words are that may be one (Jaro-Winkler): `adress` and `address` are 0.96.
const ALIKE: f64 = 0.8;

/// That a name is not known, with the one that may be meant.
pub(crate) fn hint(kind: &str, unknown: &str, known: &[&str]) -> String {
    if unknown.len() > MAX_NAME {
        return format!(
            "unknown {kind} of {} octets; there are {}",
            unknown.len(),
            known.join(", ")
        );
    }
    let alike = known.iter().map(|name| (strsim::jaro_winkler(unknown, name), name));
    match alike.filter(|(likeness, _)| *likeness >= ALIKE).max_by(|a, b| a.0.total_cmp(&b.0)) {
        Some((_, meant)) => format!("unknown {kind} {unknown}; did you mean {meant}?"),
        None => format!("unknown {kind} {unknown}; there are {}", known.join(", ")),
    }
}

/// Refuses a word that is none of those that there are.
pub(crate) fn check_word(
    kind: &str,
    given: Option<&String>,
    known: &[&str],
) -> Result<(), Refusal> {
    match given {
        Some(word) if !known.contains(&word.as_str()) => {
            Err(Refusal::value(hint(kind, word, known)))
        }
        _ => Ok(()),
    }
}

/// A kind has no such option.
fn unknown(name: &str, kind: &str, from: Via) -> Refusal {
    let mut generator = SchemaGenerator::default();
    let mut has = |kind: &KindInfo| {
        kind.options(from, &mut generator).is_some_and(|options| options.contains_key(name))
    };
    let owners: Vec<_> = kinds().iter().filter(|kind| has(kind)).map(|kind| kind.name).collect();
    if !owners.is_empty() {
        let text = format!("{name} is for {} ports only; leave it out", owners.join(" and "));
        return Refusal::value(text);
    }
    let own = KindInfo::find(kind).and_then(|kind| kind.options(from, &mut generator));
    let own = own.unwrap_or_default();
    let own = own.keys().map(String::as_str);
    Refusal::value(match from {
        Via::Control => {
            hint("option", name, &own.filter(|own| *own != "target").collect::<Vec<_>>())
        }
        Via::File => {
            let settings = SETTINGS.iter().map(|setting| setting.name);
            let others = ["type", "addresses", "mtu", "fdb"].into_iter().chain(settings);
            hint("key", name, &own.chain(others).collect::<Vec<_>>())
        }
    })
}

/// The value of an option, as its schema has it. A refusal does not hold it: it may be a
/// password.
fn fit(name: &str, value: Value, schema: &Value, from: Via) -> Result<Value, Refusal> {
    let is = |word: &str| match &schema["type"] {
        Value::Array(types) => types.iter().any(|one| one == word),
        one => one == word,
    };
    let (fits, form) = if is("boolean") {
        if from == Via::Control {
            return Ok(truth(&value).into());
        }
        (value.is_boolean(), "true or false")
    } else if is("array") {
        let texts = value.as_array().is_some_and(|list| list.iter().all(Value::is_string));
        (texts, "a list of strings")
    } else if is("integer") {
        let text = value.as_str().and_then(|text| text.trim().parse::<i64>().ok());
        if let (Some(number), Via::Control) = (text, from) {
            return Ok(number.into());
        }
        (value.is_i64() || value.is_u64(), "a whole number")
    } else {
        (value.is_string() || !is("string"), "a string, in quotes")
    };
    if fits { Ok(value) } else { Err(Refusal::wrong_type(format!("{name} must be {form}"))) }
}

/// Whatever Python takes for true: `"no"` is, 0 and `""` are not. `"off"`, as settings are
/// shown, is not either.
pub(crate) fn truth(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(truth) => *truth,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !matches!(text.as_str(), "" | "off"),
        Value::Array(list) => !list.is_empty(),
        Value::Object(members) => !members.is_empty(),
    }
}

/// Name and password; a name alone has an empty password.
pub(crate) fn credentials(
    user: Option<&str>,
    password: Option<&str>,
) -> Result<Option<Credentials>, Refusal> {
    let refuse = |text: &str| Err(Refusal::value(text));
    match (user, password) {
        (None, None) => Ok(None),
        (None, Some(_)) => refuse("a password is given without a user; give both, or neither"),
        (Some(user), _) if user.contains(':') => {
            refuse("a user name cannot hold a colon (RFC 7617); choose another one")
        }
        (Some(user), password) => Ok(Some(Credentials {
            user: user.to_owned(),
            password: password.unwrap_or_default().to_owned(),
        })),
    }
}

/// A MAC address.
pub(crate) fn mac(text: &str) -> Result<MacAddr, Refusal> {
    text.parse().map_err(|err| Refusal::value(one_line(&err)))
}

/// A VLAN, 0 for none.
pub(crate) fn vid(number: i64) -> Result<Vid, Refusal> {
    u16::try_from(number).ok().and_then(Vid::new).ok_or_else(|| {
        Refusal::value(format!("Invalid VLAN: {number}; give 1 to 4094, or 0 for none"))
    })
}

/// What to set on an interface. `address` is IPv4, IPv6, or CIDR of either, empty for
/// none; `netmask` is dotted or a prefix length; `mtu` is in octets.
pub(crate) fn interface_settings(
    address: Option<&str>,
    netmask: Option<&str>,
    mtu: Option<i64>,
) -> Result<InterfaceSettings, Refusal> {
    let refuse = |text| Refusal::value(text);
    let (address, cidr_len) = match address {
        None => (None, None),
        Some("") => (Some(AddressSetting::Clear), None),
        Some(text) => {
            let (address, length) =
                text.split_once('/').map_or((text, None), |(a, l)| (a, Some(l)));
            let wrong = || {
                refuse(format!(
                    "Invalid address: {text}; write 192.0.2.1, 192.0.2.1/24 or 2001:db8::1/64"
                ))
            };
            let address: IpAddr = address.parse().map_err(|_| wrong())?;
            let longest = if address.is_ipv4() { 32 } else { 128 };
            let length = length
                .map(|l| l.parse().ok().filter(|&l: &u8| l <= longest).ok_or_else(wrong))
                .transpose()?;
            (Some(AddressSetting::Set(address)), length)
        }
    };
    let v6 = matches!(address, Some(AddressSetting::Set(IpAddr::V6(_))));
    let mask_len = netmask.map(|netmask| mask_length(netmask, v6)).transpose()?;
    if let (Some(cidr_len), Some(mask_len)) = (cidr_len, mask_len)
        && cidr_len != mask_len
    {
        let text = format!("netmask is /{mask_len} and address has /{cidr_len}; leave one out");
        return Err(refuse(text));
    }
    if address == Some(AddressSetting::Clear) && mask_len.is_some() {
        return Err(refuse("netmask without an address; leave it out".to_owned()));
    }
    let mtu = mtu
        .map(|mtu| {
            u32::try_from(mtu)
                .ok()
                .filter(|&mtu| mtu > 0)
                .ok_or_else(|| refuse(format!("Invalid MTU: {mtu}; give 576 or more (IPv6: 1280)")))
        })
        .transpose()?;
    Ok(InterfaceSettings { address, prefix_len: cidr_len.or(mask_len), mtu })
}

fn mask_length(netmask: &str, v6: bool) -> Result<u8, Refusal> {
    let longest = if v6 { 128 } else { 32 };
    let length = match netmask.parse() {
        Ok(IpAddr::V4(mask)) if !v6 => {
            let ones = mask.to_bits().leading_ones();
            (ones + mask.to_bits().trailing_zeros() >= 32).then_some(ones)
        }
        Ok(_) => None,
        Err(_) => netmask.parse().ok(),
    };
    length.and_then(|length| u8::try_from(length).ok()).filter(|&l| l <= longest).ok_or_else(|| {
        let example = if v6 { "a prefix length up to 128" } else { "255.255.255.0 or 24" };
        Refusal::value(format!("Invalid netmask: {netmask}; write {example}"))
    })
}
