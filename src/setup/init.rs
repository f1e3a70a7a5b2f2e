//! `etherws init`: makes a hub. Its folder has the CA and the users, its configuration a listener
//! with TLS for them, and a TAP device by which it is on the LAN itself.

use std::{
    net::{IpAddr, Ipv4Addr, TcpListener, UdpSocket},
    process::ExitCode,
};

use anyhow::{Context as _, Result, bail, ensure};
use etherws_actors::{
    connect::{Scheme, ServerUrl},
    error::one_line,
};
use ipnet::IpNet;
use jiff::Timestamp;
use nix::{
    ifaddrs::getifaddrs,
    unistd::{geteuid, gethostname},
};
use toml_edit::{DocumentMut, Item, Table, value};

use super::{Change, Place, TAP, check_tap, list, put_control, put_tap, table, target_of};
use crate::{
    api::users::blocks,
    cli::InitArgs,
    config::{CommandLine, File, resolve},
    users::{self, Users, book::Terms},
};

/// Folder of the users, beside the configuration.
const FOLDER: &str = "hub";

/// The first user to be invited.
const FIRST: &str = "member-1";

/// Seconds for which that invitation can be used.
const TTL: i64 = 24 * 60 * 60;

/// Runs `etherws init`.
///
/// # Errors
/// A file cannot be written, or there is another configuration already.
pub(crate) fn run(args: &InitArgs) -> Result<ExitCode> {
    let place = Place::of(args.config.clone())?;
    let mut document = place.read()?;
    let shown = place.file.display();
    let folder = place.folder().join(FOLDER);
    if document.get("users").is_some() {
        ensure!(
            folder.exists(),
            "{shown} is a hub's, but {} is missing; restore it, or remove [users] and [tunnel] from \
             the file and type etherws init again",
            folder.display()
        );
        out!(
            "{shown} is a hub's already: nothing was changed. Name, URLs and the rest can be changed \
             in the file; etherws invite NAME prints an invitation."
        );
        return finish(&place, Change::None);
    }
    ensure!(
        document.get("tunnel").is_none(),
        "{shown} has a tunnel listener already; give another file with --config, or add [users] to \
         this one by hand (man etherws.toml)"
    );
    if target_of(&document, "client").is_some() && !args.print {
        eprintln!(
            "etherws: {shown} has tunnels to other switches: whoever joins this hub is on their LANs, too"
        );
    }
    let plan = Plan::of(args, &document)?;
    plan.put(&mut document, &place)?;
    if args.print {
        print!("{document}");
        return Ok(ExitCode::SUCCESS);
    }
    super::make_folder(place.folder(), 0o755)?;
    let now = Timestamp::now().as_second();
    users::create(&folder, &plan.name, now)?;
    // The certificate is made by whoever opens the users; a file that names it must find one.
    let options = users::UsersOptions { folder: folder.clone(), policy: plan.policy()? };
    let opened = Users::open(&options, now)?;
    place.write(&document)?;
    // Whatever is wrong with it is told now, and not by a service that does not start.
    let (file, faults) = File::read(&place.file)?;
    let sw = resolve(&file.config, Some(&file), &CommandLine::default(), faults)?;
    let policy = sw.users.context("the file that was written has no users")?.policy;
    opened.set_policy(policy);
    let terms = Terms { until: now + TTL, uses: 1, ..Terms::default() };
    let invited = opened.invite(FIRST, &terms, now).map_err(|error| anyhow::anyhow!("{error}"))?;
    drop(opened);
    place.give(&folder, &users::FILES)?;
    out!("{shown} is written: the hub {} at {}.", plan.name, plan.urls.join(" "));
    if let Some(address) = plan.address.filter(|_| plan.has_tap) {
        out!("Its own address on the LAN is {address}.");
    }
    out!("Keys and users are in {}: back it up.", folder.display());
    if args.url.is_empty() && plan.is_private {
        out!("If others reach it by another address, give that in urls, in [users].");
    }
    finish(&place, Change::All)?;
    let link = invited.link.to_string();
    out!("\n{}", blocks(&crate::api::users::qr(&link)));
    out!("On the other machine, within 24 hours:\n\n  etherws join '{link}'\n");
    let config = place.option();
    if plan.approval {
        out!("When it has come, let it in: etherws users approve {FIRST}{config}");
    }
    out!("For the next one: etherws invite NAME{config}");
    Ok(ExitCode::SUCCESS)
}

fn finish(place: &Place, change: Change) -> Result<ExitCode> {
    match place.start(change)? {
        Some(command) => out!("Start the hub:\n\n  {command}"),
        None => out!("The hub runs."),
    }
    Ok(ExitCode::SUCCESS)
}

/// What is to be written.
struct Plan {
    name: String,
    host: Option<String>,
    port: u16,
    urls: Vec<String>,
    address: Option<IpNet>,
    tap: Option<String>,
    /// Whether it is on the LAN itself, by that device or by one that is there already.
    has_tap: bool,
    /// Whether it found an address by itself that is none of the Internet's.
    is_private: bool,
    dhcp: bool,
    approval: bool,
    acme: bool,
}

impl Plan {
    fn of(args: &InitArgs, document: &DocumentMut) -> Result<Self> {
        let machine = || gethostname().ok().map(|name| name.to_string_lossy().into_owned());
        let name = args.name.clone().or_else(machine).filter(|name| !name.is_empty());
        let usual = if geteuid().is_root() { 443 } else { 8443 };
        let (host, port) = match &args.listen {
            None => (None, usual),
            Some(listen) => listener(listen)?,
        };
        let mut is_private = false;
        let urls = if args.url.is_empty() {
            let address = own_address().context(
                "this machine has no address by which others could reach it; give --url \
                 wss://HOST/",
            )?;
            is_private = match address {
                IpAddr::V4(address) => address.is_private(),
                IpAddr::V6(address) => address.is_unique_local(),
            };
            vec![url_of(address, port)]
        } else {
            args.url.clone()
        };
        for url in &urls {
            let parsed = ServerUrl::parse(url, Scheme::WebSocket).ok();
            let has_tls = parsed.is_some_and(|url| url.tls());
            ensure!(
                has_tls,
                "--url {url}: give a URL as wss://hub.example/ or wss://192.0.2.1:8443/"
            );
        }
        let (has_tap, own) = (target_of(document, "tap").is_some(), address_of_tap(document));
        let tap = if args.no_tap || has_tap {
            None
        } else {
            Some(args.tap.clone().unwrap_or_else(|| TAP.to_owned()))
        };
        if !args.print {
            if tap.is_some() {
                check_tap()?;
            }
            let host = host.as_deref().unwrap_or("::").trim_matches(['[', ']']);
            let bound =
                TcpListener::bind((host, port)).or_else(|_| TcpListener::bind(("0.0.0.0", port)));
            if let Err(error) = bound.map(drop) {
                bail!("TCP port {port}: {}; give another one with --listen", one_line(&error));
            }
        }
        let address = match (&args.address, own) {
            (Some(text), Some(own)) => bail!(
                "--address {text}: the TAP device in the file has {own} already; change that, or leave \
                 --address out"
            ),
            (Some(text), None) => Some(host_address(text)?),
            (None, Some(own)) => Some(own),
            (None, None) if args.dhcp => None,
            (None, None) => Some(
                free_network()
                    .context("all networks from 10.99.0.0/24 on are in use here; give --address")?,
            ),
        };
        Ok(Self {
            name: name.unwrap_or_else(|| "hub".to_owned()),
            host,
            port,
            urls,
            address,
            has_tap: has_tap || tap.is_some(),
            is_private,
            tap,
            dhcp: args.dhcp,
            approval: args.approval,
            acme: args.acme,
        })
    }

    /// As whoever certifies the hub needs it.
    fn policy(&self) -> Result<users::Policy> {
        let urls = self.urls.iter().map(|url| ServerUrl::parse(url, Scheme::WebSocket));
        Ok(users::Policy {
            name: self.name.clone(),
            urls: urls.collect::<Result<_, _>>()?,
            public: self.acme,
            approval: self.approval,
            lifetime: users::DEFAULT_LIFETIME,
            pool: users::book::Pool::default(),
            dhcp: self.dhcp,
        })
    }

    fn put(&self, document: &mut DocumentMut, place: &Place) -> Result<()> {
        let tunnel = table(document, "tunnel")?;
        if let Some(host) = &self.host {
            tunnel.insert("host", value(host));
        }
        tunnel.insert("port", value(i64::from(self.port)));
        let mut tls = Table::new();
        let files = [("key", "tunnel.key"), ("cert", "tunnel.crt"), ("client-ca", "ca.crt")];
        for (key, file) in files.into_iter().skip(if self.acme { 2 } else { 0 }) {
            tls.insert(key, value(format!("{FOLDER}/{file}")));
        }
        tunnel.insert("tls", Item::Table(tls));
        if self.acme {
            let hosts = self.urls.iter().map(|url| ServerUrl::parse(url, Scheme::WebSocket));
            let hosts = hosts.map(|url| Ok(url?.host())).collect::<Result<Vec<_>>>()?;
            let mut acme = Table::new();
            acme.insert("names", value(list(hosts)));
            acme.insert("folder", value(format!("{FOLDER}/acme")));
            tunnel.insert("acme", Item::Table(acme));
        }
        let users = table(document, "users")?;
        users.insert("folder", value(FOLDER));
        users.insert("name", value(&self.name));
        users.insert("urls", value(list(self.urls.iter())));
        if self.approval {
            users.insert("approval", value(true));
        }
        if self.dhcp {
            table(document, "pool")?.insert("dhcp", value(true));
        } else if let Some(address) = self.address {
            table(document, "pool")?.insert("network", value(address.trunc().to_string()));
        }
        put_control(document, &place.socket())?;
        if let Some(tap) = &self.tap {
            let address = self.address.map(|address| address.to_string());
            put_tap(document, tap, address.as_deref())?;
        }
        Ok(())
    }
}

/// An address that a host can have, with its prefix length.
fn host_address(text: &str) -> Result<IpNet> {
    let address = text.parse::<IpNet>().ok();
    address.filter(|net| !users::book::is_edge(net.addr(), *net)).with_context(|| {
        format!("--address {text:?}: give a host's address with its prefix length as 10.99.0.1/24")
    })
}

/// The first address of the first TAP device in the file.
fn address_of_tap(document: &DocumentMut) -> Option<IpNet> {
    let ports = document.get("port")?.as_array_of_tables()?;
    let is_tap = |port: &&Table| port.get("type").and_then(Item::as_str) == Some("tap");
    let addresses = ports.iter().find(is_tap)?.get("addresses")?.as_array()?;
    addresses.get(0)?.as_str()?.parse().ok()
}

/// `PORT`, or `HOST:PORT`.
fn listener(text: &str) -> Result<(Option<String>, u16)> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (Some(host.to_owned()).filter(|host| !host.is_empty()), port),
        None => (None, text),
    };
    match port.parse() {
        Ok(port) if port > 0 => Ok((host, port)),
        _ => bail!("--listen {text:?}: give a TCP port as 443, or HOST:PORT"),
    }
}

fn url_of(address: IpAddr, port: u16) -> String {
    let host = match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    };
    if port == 443 { format!("wss://{host}/") } else { format!("wss://{host}:{port}/") }
}

/// The address that this machine has where most others are, or else any that is not its own
/// loopback. Nothing is sent.
fn own_address() -> Option<IpAddr> {
    // To addresses that are nobody's (RFC 5737, RFC 3849).
    let towards = [("0.0.0.0:0", "192.0.2.1:9"), ("[::]:0", "[2001:db8::1]:9")];
    let found = towards.iter().find_map(|(from, to)| {
        let socket = UdpSocket::bind(from).ok()?;
        socket.connect(to).ok()?;
        socket.local_addr().ok().map(|address| address.ip())
    });
    found.filter(|address| !address.is_unspecified()).or_else(|| {
        let all = own_addresses();
        let is_usable = |address: &&IpAddr| match address {
            IpAddr::V4(address) => !address.is_loopback() && !address.is_link_local(),
            IpAddr::V6(address) => !address.is_loopback() && !address.is_unicast_link_local(),
        };
        all.iter().find(is_usable).copied()
    })
}

fn own_addresses() -> Vec<IpAddr> {
    interface_addresses().into_iter().map(|(_, address)| address).collect()
}

/// The addresses of this machine, each with the name of its interface.
pub(super) fn interface_addresses() -> Vec<(String, IpAddr)> {
    let all = getifaddrs().into_iter().flatten();
    let all = all.filter_map(|one| Some((one.interface_name, one.address?)));
    all.filter_map(|(name, address)| {
        let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
        let v6 = || address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip()));
        Some((name, v4.or_else(v6)?))
    })
    .collect()
}

/// The first address of a network that no interface of this machine is in.
fn free_network() -> Option<IpNet> {
    let own = own_addresses();
    let network = |n| IpNet::new(Ipv4Addr::new(10, 99, n, 1).into(), 24).ok();
    (0..=255).filter_map(network).find(|network| !own.iter().any(|own| network.contains(own)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_a_port_with_or_without_a_host() {
        assert_eq!(listener("443").unwrap(), (None, 443));
        assert_eq!(listener("192.0.2.1:8443").unwrap(), (Some("192.0.2.1".to_owned()), 8443));
        assert_eq!(listener("[::1]:1").unwrap(), (Some("[::1]".to_owned()), 1));
        for wrong in ["", "0", "70000", "x", "host:", "192.0.2.1"] {
            let error = listener(wrong).unwrap_err().to_string();
            assert!(error.contains("--listen"), "{error}");
        }
    }

    #[test]
    fn a_url_has_a_port_where_it_is_not_that_of_tls() {
        assert_eq!(url_of([192, 0, 2, 1].into(), 443), "wss://192.0.2.1/");
        let v6 = "2001:db8::1".parse().unwrap();
        assert_eq!(url_of(v6, 8443), "wss://[2001:db8::1]:8443/");
    }

    #[test]
    fn what_stands_in_the_file_stays() {
        let text =
            "# mine\n[control]\nport = 7000 # here\n\n[[port]]\ntype = \"tap\"\ntarget = \"t0\"\n";
        let mut document: DocumentMut = text.parse().unwrap();
        let plan = Plan {
            name: "hub".to_owned(),
            host: None,
            port: 8443,
            urls: vec!["wss://192.0.2.1:8443/".to_owned()],
            address: "10.99.0.1/24".parse().ok(),
            has_tap: true,
            is_private: false,
            tap: None,
            dhcp: false,
            approval: true,
            acme: false,
        };
        let place = Place { file: "/x/etherws.toml".into(), service: None };
        plan.put(&mut document, &place).unwrap();
        let written = document.to_string();
        assert!(written.starts_with("# mine\n[control]\nport = 7000 # here\n"), "{written}");
        assert!(!written.contains("socket"), "{written}");
        for line in [
            "client-ca = \"hub/ca.crt\"",
            "urls = [\"wss://192.0.2.1:8443/\"]",
            "network = \"10.99.0.0/24\"",
            "approval = true",
        ] {
            assert!(written.contains(line), "{line}: {written}");
        }
        assert!(std::path::Path::new(&place.socket()).ends_with("control.sock"));
    }
}
