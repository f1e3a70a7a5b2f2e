//! Texts and numbers to the switch's own values, the same for the command line, the
//! configuration file and JSON-RPC. A refusal names value and way out, and no password.

use std::{error::Error, net::IpAddr};

use etherws_actors::{
    connect::{ClientCertificate, Credentials, Scheme, ServerUrl, proxy},
    error::one_line,
    frame::{MacAddr, Vid},
    interface::{AddressSetting, InterfaceSettings},
    kinds::client::{ClientError, MAX_SERVERS},
};

use crate::refusal::Refusal;

/// A client port's URLs and proxy, checked as far as that goes without a connection.
pub(crate) fn check_client(
    url: &str,
    more_urls: &[String],
    proxy: Option<&str>,
) -> Result<(), Refusal> {
    let refuse = |err: &dyn Error| Refusal::value(one_line(err));
    if more_urls.len() >= MAX_SERVERS {
        return Err(refuse(&ClientError::Servers(more_urls.len() + 1)));
    }
    for url in [url].into_iter().chain(more_urls.iter().map(String::as_str)) {
        ServerUrl::parse(url, Scheme::WebSocket).map_err(|err| refuse(&err))?;
    }
    proxy.map_or(Ok(()), |proxy| proxy::check(proxy).map_err(|err| refuse(&err)))
}

/// Files of our own certificate and its key; empty counts as missing.
pub(crate) fn client_certificate(
    cert: Option<&str>,
    key: Option<&str>,
) -> Result<Option<ClientCertificate>, Refusal> {
    let given = |file: &&str| !file.is_empty();
    match (cert.filter(given), key.filter(given)) {
        (None, None) => Ok(None),
        (Some(cert), Some(key)) => {
            Ok(Some(ClientCertificate { cert: cert.into(), key: key.into() }))
        }
        (cert, key) => {
            let file = cert.or(key).unwrap_or_default();
            let text = format!("{file} is given as cert or key alone; give both, or neither");
            Err(Refusal::value(text))
        }
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
