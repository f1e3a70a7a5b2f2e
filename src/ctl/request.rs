//! What `ctl`'s arguments ask for, checked before the switch hears of it; and names and
//! passwords, which are asked for here. No error may hold a password.

use std::net::IpAddr;

use etherws_actors::{
    connect::Credentials,
    control::{Command, NewPort},
    fdb::PortNumber,
    interface::AddressSetting,
    kinds::ClientOptions,
    settings::PortSettings,
};

use crate::{
    api::{
        Request,
        query::{Query, create_token},
    },
    cli::{CtlMethod, PortKind, SetportArgs},
    options::Secret,
    parse::{check_client, client_certificate, credentials, interface_settings, mac, vid},
    prompt,
    refusal::Refusal,
};

/// Least MTU with IPv4: what every host must take (RFC 791, 3.1).
const MIN_MTU: i64 = 576;

/// Least MTU with IPv6 (RFC 8200, 5).
const MIN_MTU_IPV6: i64 = 1280;

/// What `method` asks for.
///
/// # Errors
/// A value that no switch would take.
pub(super) fn request(method: CtlMethod) -> Result<Request, Refusal> {
    let command = match method {
        CtlMethod::Addport { kind } => {
            Command::AddPort { port: new_port(kind)?, settings: PortSettings::default() }
        }
        CtlMethod::Setport(SetportArgs { port, shut, loopguard, guards }) => {
            let settings = PortSettings {
                shut,
                loop_guard: loopguard,
                max_macs: guards.maxmacs,
                storm_broadcast: guards.storm_broadcast,
                storm_multicast: guards.storm_multicast,
                storm_unicast: guards.storm_unicast,
                ..PortSettings::default()
            };
            Command::SetPort { port: number(port)?, settings, clear: Vec::new() }
        }
        CtlMethod::Showport { port } => Command::ShowPort { port: number(port)? },
        CtlMethod::Delport { port } => Command::DelPort { port: number(port)? },
        // `top` asks for them again and again.
        CtlMethod::Listport | CtlMethod::Top(_) => Command::ListPorts,
        CtlMethod::Setif { port, address, netmask, mtu } => {
            let port = number(port)?;
            let settings = interface_settings(address.as_deref(), netmask.as_deref(), mtu)?;
            let v6 = matches!(settings.address, Some(AddressSetting::Set(IpAddr::V6(_))));
            let least = if v6 { MIN_MTU_IPV6 } else { MIN_MTU };
            if let Some(mtu) = mtu.filter(|&mtu| mtu < least) {
                let text = format!("Invalid MTU: {mtu}; give {least} or more");
                return Err(Refusal::value(text));
            }
            Command::SetInterface { port, settings }
        }
        CtlMethod::Listif => Command::ListInterfaces,
        CtlMethod::Listfdb => Command::ListFdb,
        CtlMethod::Addfdb { mac: address, port, vlan } => {
            let (vid, mac) = (vid(vlan)?, mac(&address)?);
            Command::AddFdb { vid, mac, port: number(port)? }
        }
        CtlMethod::Delfdb { mac: address, vlan } => {
            Command::DelFdb { vid: vid(vlan)?, mac: mac(&address)? }
        }
        CtlMethod::Flushfdb { port, all } => {
            Command::FlushFdb { port: port.map(number).transpose()?, all }
        }
        CtlMethod::Monitor => return Ok(Request::Program(Query::Monitor)),
        CtlMethod::Discover => return Ok(Request::Discover),
        CtlMethod::Reload => return Ok(Request::Program(Query::Reload)),
        CtlMethod::Save => return Ok(Request::Program(Query::Save)),
        CtlMethod::Listhosts => return Ok(Request::Program(Query::ListHosts)),
        CtlMethod::Showserver => return Ok(Request::Program(Query::ShowServer)),
        CtlMethod::Capture(args) => return super::capture::request(&args).map(Request::Program),
        CtlMethod::Createtoken { user, ttl } => {
            return create_token(&user, ttl).map(Request::Program);
        }
    };
    Ok(command.into())
}

fn number(port: i64) -> Result<PortNumber, Refusal> {
    u32::try_from(port).ok().and_then(PortNumber::new).ok_or_else(|| {
        Refusal::value(format!("Invalid port: {port}; listport shows the ports' numbers"))
    })
}

fn new_port(kind: PortKind) -> Result<NewPort, Refusal> {
    Ok(match kind {
        PortKind::Tap { target } => NewPort::Tap { name: target },
        PortKind::Netdev { target } => NewPort::Netdev { name: target },
        PortKind::Client {
            target: url,
            more_urls,
            user,
            passwd,
            cacerts,
            insecure,
            cert,
            key,
            proxy,
        } => {
            let options = ClientOptions {
                url,
                more_urls,
                credentials: None,
                cacerts: cacerts.map(Into::into),
                insecure,
                certificate: client_certificate(cert.as_deref(), key.as_deref())?,
                proxy: proxy.map(|Secret(proxy)| proxy),
            };
            NewPort::Client(client_options(options, user, passwd)?)
        }
    })
}

/// `options` with name and password, once they are checked. Asks for the password if
/// there is a name alone.
pub(crate) fn client_options(
    options: ClientOptions,
    user: Option<String>,
    password: Option<Secret>,
) -> Result<ClientOptions, Refusal> {
    check_client(&options.url, &options.more_urls, options.proxy.as_deref())?;
    let credentials = login(user, password, "Client Password: ")?;
    Ok(ClientOptions { credentials, ..options })
}

/// Name and password; asks for the password if there is a name alone.
pub(crate) fn login(
    user: Option<String>,
    password: Option<Secret>,
    prompt: &str,
) -> Result<Option<Credentials>, Refusal> {
    let given = |text: &String| !text.is_empty();
    let user = user.filter(given);
    let password = password.map(|Secret(password)| password).filter(given);
    let login = credentials(user.as_deref(), password.as_deref())?;
    match login {
        Some(login) if login.password.is_empty() => {
            let password =
                prompt::password(prompt).map_err(|err| Refusal::os(format!("{err:#}")))?;
            Ok(Some(Credentials { password, ..login }))
        }
        login => Ok(login),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(method: CtlMethod) -> String {
        request(method).expect_err("refused").to_string()
    }

    fn setif(address: Option<&str>, mtu: Option<i64>) -> CtlMethod {
        CtlMethod::Setif { port: 1, address: address.map(str::to_owned), netmask: None, mtu }
    }

    fn client(target: &str, user: Option<&str>, passwd: Option<&str>) -> CtlMethod {
        let kind = PortKind::Client {
            target: target.to_owned(),
            more_urls: Vec::new(),
            user: user.map(str::to_owned),
            passwd: passwd.map(|passwd| Secret(passwd.to_owned())),
            cacerts: None,
            insecure: false,
            cert: None,
            key: None,
            proxy: None,
        };
        CtlMethod::Addport { kind }
    }

    fn fdb(mac: &str, vlan: i64) -> CtlMethod {
        CtlMethod::Delfdb { mac: mac.to_owned(), vlan }
    }

    #[test]
    fn bad_values_are_refused_before_the_switch_is_asked() {
        for (method, expected) in [
            (CtlMethod::Delport { port: 0 }, "ValueError: Invalid port: 0"),
            (CtlMethod::Showport { port: -1 }, "ValueError: Invalid port: -1"),
            (fdb("02:00:00:00:00", 0), "\"02:00:00:00:00\" is no MAC address"),
            (fdb("02:00:00:00:00:01", 4095), "ValueError: Invalid VLAN: 4095"),
            (setif(Some("192.0.2"), None), "ValueError: Invalid address: 192.0.2"),
            (setif(None, Some(575)), "ValueError: Invalid MTU: 575; give 576 or more"),
            (setif(Some("2001:db8::1/64"), Some(1279)), "Invalid MTU: 1279; give 1280 or more"),
            (
                client("http://h/", None, None),
                "ValueError: \"http://h/\" begins with neither ws:// nor wss://",
            ),
            (client("ws://h/", None, Some("secret")), "ValueError: a password is given without"),
            (client("ws://h/", Some("a:b"), Some("secret")), "colon"),
        ] {
            let error = refused(method);
            assert!(error.contains(expected) && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn good_values_become_commands() {
        assert!(request(setif(Some("192.0.2.1/24"), Some(576))).is_ok());
        let Ok(Request::Switch(Command::AddPort { port: NewPort::Client(options), .. })) =
            request(client("wss://h/", Some("u"), Some("p")))
        else {
            panic!("client");
        };
        assert_eq!(options.credentials.map(|cred| cred.password).as_deref(), Some("p"));
    }
}
