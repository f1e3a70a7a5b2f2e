//! `etherws ctl`: checks what is asked for, asks the switch, prints the answer. Knows
//! the switch by its control API alone, so that it may be an etherws 1.3, and never
//! prints a password.

mod monitor;
pub(crate) mod prompt;
mod table;

use std::{
    io::{self, Write as _},
    net::IpAddr,
    path::{self, PathBuf},
    process::ExitCode,
};

use etherws_actors::{
    control::{AddressSetting, ClientOptions, Command, Credentials, NewPort},
    fdb::PortNumber,
    message::PortSettings,
    tunnel::{ClientCertificate, TlsOptions},
};
use jsonrpsee_types::{ErrorCode, ErrorObjectOwned};
use serde_json::Value;

use crate::{
    cli::{CtlArgs, CtlMethod, PortKind, Secret, SetportArgs},
    rpc::{
        Refusal, Request,
        client::Endpoint,
        entry::Entries,
        params::{check_client, client_certificate, credentials, interface_settings, mac, vid},
        query::{Query, create_token},
    },
};

/// Least MTU with IPv4: what every host must take (RFC 791, 3.1).
const MIN_MTU: i64 = 576;

/// Least MTU with IPv6 (RFC 8200, 5).
const MIN_MTU_IPV6: i64 = 1280;

/// Runs `etherws ctl`. The answer goes to standard output, an error to standard error
/// and into the exit status.
pub(crate) fn run(args: CtlArgs) -> ExitCode {
    let json = args.json;
    match ask(args) {
        Ok(status) => status,
        Err(error) => {
            print_error(&error, json);
            ExitCode::FAILURE
        }
    }
}

fn ask(args: CtlArgs) -> Result<ExitCode, ErrorObjectOwned> {
    let json = args.json;
    let internal = |refusal: Refusal| refusal.with_code(ErrorCode::InternalError);
    // In the order in which 1.3 asks for them: the client port's password is first.
    let mut request = request(args.method).map_err(internal)?;
    let credentials = login(args.ctluser, args.ctlpasswd, "Control Password: ");
    let endpoint = credentials.and_then(|credentials| {
        let certificate = args.ctlcert.zip(args.ctlkey);
        let certificate = certificate.map(|(cert, key)| ClientCertificate { cert, key });
        let (cacerts, insecure) = (args.ctlsslcert, args.ctlinsecure);
        Endpoint::new(&args.ctlurl, credentials, TlsOptions { cacerts, insecure, certificate })
    });
    let endpoint = endpoint.map_err(internal)?;
    if let Request::Switch(Command::AddPort(NewPort::Client(options))) = &mut request
        && endpoint.is_local()
    {
        if let Some(cacerts) = &mut options.cacerts {
            resolve(cacerts);
        }
        if let Some(ClientCertificate { cert, key }) = &mut options.certificate {
            resolve(cert);
            resolve(key);
        }
    }
    actix_rt::System::new().block_on(async {
        let entries = endpoint.call(&request).await?;
        if let (Request::Program(Query::Monitor), Entries::Streams(streams)) = (&request, &entries)
        {
            return monitor::follow(&endpoint, streams, json).await;
        }
        let status = print(&entries, json);
        if !json {
            explain(&entries);
        }
        Ok(status)
    })
}

/// The switch opens the file, and a daemon's directory is `/`: what the user can see
/// here goes over by its whole name. What is not here may be where the switch is.
fn resolve(file: &mut PathBuf) {
    if let Ok(whole) = path::absolute(&file)
        && whole.exists()
    {
        *file = whole;
    }
}

fn request(method: CtlMethod) -> Result<Request, Refusal> {
    let command = match method {
        CtlMethod::Addport { kind } => Command::AddPort(new_port(kind)?),
        CtlMethod::Setport(SetportArgs { port, shut, loopguard, guards }) => {
            let settings = PortSettings {
                shut,
                loop_guard: loopguard,
                max_macs: guards.maxmacs,
                storm_broadcast: guards.storm_broadcast,
                storm_multicast: guards.storm_multicast,
                storm_unicast: guards.storm_unicast,
            };
            Command::SetPort { port: number(port)?, settings }
        }
        CtlMethod::Showport { port } => Command::ShowPort { port: number(port)? },
        CtlMethod::Delport { port } => Command::DelPort { port: number(port)? },
        CtlMethod::Listport => Command::ListPorts,
        CtlMethod::Setif { port, address, netmask, mtu } => {
            let port = number(port)?;
            let settings = interface_settings(address.as_deref(), netmask.as_deref(), mtu)?;
            let v6 = matches!(settings.address, Some(AddressSetting::Set(IpAddr::V6(_))));
            let least = if v6 { MIN_MTU_IPV6 } else { MIN_MTU };
            if let Some(mtu) = mtu.filter(|&mtu| mtu < least) {
                let text = format!("Invalid MTU: {mtu}; give {least} or more");
                return Err(Refusal::new("ValueError", text));
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
        CtlMethod::Showserver => return Ok(Request::Program(Query::ShowServer)),
        CtlMethod::Monitor => return Ok(Request::Program(Query::Monitor)),
        CtlMethod::Createtoken { user, ttl } => {
            return create_token(&user, ttl).map(Request::Program);
        }
    };
    Ok(command.into())
}

fn number(port: i64) -> Result<PortNumber, Refusal> {
    u32::try_from(port).ok().and_then(PortNumber::new).ok_or_else(|| {
        Refusal::new(
            "ValueError",
            format!("Invalid port: {port}; listport shows the ports' numbers"),
        )
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
fn login(
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
            let password = prompt::password(prompt)
                .map_err(|err| Refusal::new("OSError", format!("{err:#}")))?;
            Ok(Some(Credentials { password, ..login }))
        }
        login => Ok(login),
    }
}

fn print(entries: &Entries, json: bool) -> ExitCode {
    let text = if json { to_json(entries) } else { table::table(entries) };
    put(&text).unwrap_or(ExitCode::SUCCESS)
}

/// Writes to standard output; gives how to end where that cannot go on.
fn put(text: &str) -> Option<ExitCode> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => None,
        // Whoever read it has seen enough: `ctl listfdb | head`.
        Err(err) if err.kind() == io::ErrorKind::BrokenPipe => Some(ExitCode::SUCCESS),
        Err(err) => {
            eprintln!("etherws: standard output cannot be written: {err}");
            Some(ExitCode::FAILURE)
        }
    }
}

/// Says on standard error why ports are not up: the table's columns are those of 1.3.
fn explain(entries: &Entries) {
    let Entries::Ports(ports) = entries else { return };
    let mut stderr = io::stderr().lock();
    for port in ports {
        if let Some(error) = &port.error {
            let _ = writeln!(stderr, "  Port {}: {error}", port.port);
        }
    }
}

fn print_error(error: &ErrorObjectOwned, json: bool) {
    let text = if json { to_json(error) } else { error_lines(error) };
    // Nobody is left to be told if standard error is closed.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

fn to_json(value: &impl serde::Serialize) -> String {
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text
}

/// Two lines, as 1.3 prints them.
fn error_lines(error: &ErrorObjectOwned) -> String {
    let data = match error.data().map(|data| serde_json::from_str(data.get())) {
        Some(Ok(Value::String(text))) => text,
        Some(Ok(other)) => other.to_string(),
        Some(Err(_)) | None => String::new(),
    };
    format!("  {} ({})\n    {data}\n", error.message(), error.code())
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
        let Ok(Request::Switch(Command::AddPort(NewPort::Client(options)))) =
            request(client("wss://h/", Some("u"), Some("p")))
        else {
            panic!("client");
        };
        assert_eq!(options.credentials.map(|cred| cred.password).as_deref(), Some("p"));
    }

    #[test]
    fn an_error_is_two_lines_whatever_its_data() {
        let error = |data| ErrorObjectOwned::owned(-32602, "Invalid params", data);
        assert_eq!(
            error_lines(&error(Some(Value::from("KeyError: 2")))),
            "  Invalid params (-32602)\n    KeyError: 2\n"
        );
        assert_eq!(error_lines(&error(None)), "  Invalid params (-32602)\n    \n");
    }
}
