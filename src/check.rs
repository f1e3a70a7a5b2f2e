//! `etherws check`: what is wrong with a configuration file, or else what a switch would
//! do with it. Looks into the files that it names. Opens no socket and no
//! log file.

use std::{collections::HashMap, net::IpAddr, path::Path, process::ExitCode};

use anyhow::{Result, bail};
use etherws_actors::{
    error::one_line,
    kinds::{Kind as _, Netdev},
    settings::Role,
};
use jiff::Timestamp;
use nix::unistd::{Group, User};
use serde_json::Value;
use slog::{Discard, Logger, o};

use crate::{
    cli::CheckArgs,
    config::{CommandLine, Fault, File, Sw, schema, survey},
    logging, netdev,
    options::Service,
    privileges,
    server::{auth, certificates, tls::Tls},
    users::UsersOptions,
};

/// Runs `etherws check`.
///
/// # Errors
/// The file cannot be read, or something in it is wrong.
pub(crate) fn run(args: &CheckArgs) -> Result<ExitCode> {
    let Some(path) = args.file.as_deref().filter(|_| !args.schema) else {
        print!("{}", schema());
        return Ok(ExitCode::SUCCESS);
    };
    let service = privileges::become_service(path)?;
    let (file, faults) = File::read(path)?;
    let (sw, mut faults) = survey(&file.config, Some(&file), &CommandLine::default(), faults);
    faults.extend(verify(&sw, &file, &faults));
    if faults.is_empty() {
        print!("{}", explain(&sw, path));
        if let Some(user) = service {
            println!("read as the user {user}, as the service reads it");
        }
        return Ok(ExitCode::SUCCESS);
    }
    let faults = file.faults(&faults);
    eprintln!("{}", faults.report);
    let s = if faults.count == 1 { "" } else { "s" };
    eprintln!("{}: {} error{s}", path.display(), faults.count);
    Ok(ExitCode::FAILURE)
}

/// Looks into the files that `sw` needs, and for the accounts that it names, as whoever this
/// process is. Gives what cannot be used for what it is for; what is `known` to be wrong has no
/// consequences here.
pub(crate) fn verify(sw: &Sw, file: &File, known: &[Fault]) -> Vec<Fault> {
    let log = Logger::root(Discard, o!());
    let mut faults = Vec::new();
    let mut note = |key: &str, result: Result<()>| {
        if let Err(error) = result {
            faults.push(Fault::new(key, one_line(&*error)));
        }
    };
    let tunnel = ("tunnel", sw.tunnel.as_ref());
    for (table, service) in [tunnel, ("control", sw.control.as_ref())] {
        let Some(service) = service else { continue };
        if let Some(path) = &service.htpasswd {
            note(&format!("{table}.htpasswd"), auth::survey(path).map(drop));
        }
        if let Some(files) = &service.tls {
            // What a CA is still to issue is not there before the first start.
            if sw.acme.is_none() || files.cert.exists() {
                note(&format!("{table}.tls"), Tls::open(files.clone(), &log).map(drop));
            }
            if let Some(path) = &files.revoked {
                let list = auth::Revoked::open(path, &log);
                note(&format!("{table}.tls.revoked"), list.map(drop));
            }
        }
    }
    if let Some(user) = &sw.user {
        note("switch.user", privileges::find_user(user).map(drop));
    }
    // Where passwords are asked for that cannot be read, nobody comes in without them.
    if !known.iter().any(|fault| fault.key.starts_with("control.")) {
        if let Some(control) = &sw.control {
            note("control.host", check_open(control, sw.control_open));
        }
        for (key, error) in foreign_roles(sw) {
            note(&key, Err(error));
        }
    }
    if let Some(path) = &sw.logging.conf {
        note("log.conf", logging::check(path));
    }
    let mut tables = HashMap::new();
    for (at, table) in file.config.port.iter().enumerate() {
        let target = table.options.get("target").and_then(Value::as_str);
        tables.entry((table.kind.as_deref(), target)).or_insert(at);
    }
    for port in &sw.ports {
        let told = (Some(port.new.kind()), Some(port.new.target()));
        let at = tables.get(&told).copied().unwrap_or_default();
        let checked = port.new.verify(&log);
        let checked = checked.map_err(|error| anyhow::anyhow!(one_line(&*error)));
        note(&format!("port.{at}"), checked);
    }
    faults
}

/// As the switch does it with the addresses that it got.
fn check_open(control: &Service, open: bool) -> Result<()> {
    if let Some(host) = reachable(control).filter(|_| !control.asks() && !open) {
        bail!(
            "anyone who can reach {host} could control the switch: give control htpasswd or tls.client-ca, \
             or open = true"
        );
    }
    Ok(())
}

/// The address of control if it is one that others reach. On all addresses it is for this machine
/// alone, unless it asks who comes.
fn reachable(control: &Service) -> Option<&str> {
    let host = control.host.trim_matches(['[', ']']);
    let address = host.parse::<IpAddr>();
    let is_elsewhere = address.is_ok_and(|ip| !ip.is_loopback() && !ip.is_unspecified());
    is_elsewhere.then_some(host)
}

/// Roles of those who can never come in, each with its key.
fn foreign_roles(sw: &Sw) -> Vec<(String, anyhow::Error)> {
    let tls = sw.control.as_ref().and_then(|control| control.tls.as_ref());
    let by_certificate = tls.is_some_and(|tls| tls.client_ca.is_some());
    let htpasswd = sw.control.as_ref().and_then(|control| control.htpasswd.as_ref());
    let by_account = sw.control_socket.is_some();
    let users = htpasswd.map(|path| auth::users_of(path).unwrap_or_default());
    let why = |name: &str| -> Option<String> {
        if name == "*" || by_certificate {
            return None;
        }
        if let Some(group) = name.strip_prefix('@') {
            let is_there = || Group::from_name(group).is_ok_and(|group| group.is_some());
            return match by_account {
                true if is_there() => None,
                true => Some(format!("no group {group}; create it with groupadd {group}")),
                false => Some(format!(
                    "{name} is a group of accounts, which only the Unix socket knows; give control \
                     a socket, or name users"
                )),
            };
        }
        let is_user = users.as_ref().is_some_and(|users| users.iter().any(|user| user == name));
        let has_account = || User::from_name(name).is_ok_and(|user| user.is_some());
        if is_user || by_account && has_account() {
            return None;
        }
        Some(match (htpasswd, by_account) {
            (Some(path), _) => {
                let path = path.display();
                format!("{name} is not in {path}; add the user with etherws passwd {path} {name}")
            }
            (None, true) => format!("no account {name}; create it, or name another"),
            (None, false) => format!(
                "nobody can come in as {name}, since control asks for no names; give it htpasswd, \
                 tls.client-ca or a socket"
            ),
        })
    };
    let keys = [(Role::Admin, "admin"), (Role::Operate, "operator"), (Role::Read, "viewer")];
    let mut faults = Vec::new();
    for (role, names) in &sw.roles.lists {
        let key = keys.iter().find(|(one, _)| one == role).map_or("", |(_, key)| *key);
        for (at, name) in names.iter().enumerate() {
            let key = format!("control.roles.{key}.{at}");
            faults.extend(why(name).map(|text| (key, anyhow::anyhow!(text))));
        }
    }
    faults
}

/// What the switch would do, a line each.
/// What a hub gives to whom.
fn explain_users(users: &UsersOptions) -> String {
    let UsersOptions { folder, policy } = users;
    let urls: Vec<_> = policy.urls.iter().map(ToString::to_string).collect();
    let urls =
        if urls.is_empty() { "nowhere: urls is missing".to_owned() } else { urls.join(", ") };
    let pool = match (policy.pool.network, policy.dhcp) {
        (Some(network), _) => format!(", addresses of {network}"),
        (None, true) => ", addresses by the LAN's DHCP server".to_owned(),
        (None, false) => String::new(),
    };
    let approval = if policy.approval { ", by approval" } else { "" };
    format!("users: hub {} at {urls}, in {}{pool}{approval}", policy.name, folder.display())
}

fn explain(sw: &Sw, path: &Path) -> String {
    let mut lines = vec![format!("{}: good", path.display())];
    let guard = if sw.port_defaults.loop_guard() { "loop guard" } else { "no loop guard" };
    let threads =
        if sw.threads == 1 { "1 thread".to_owned() } else { format!("{} threads", sw.threads) };
    lines.push(format!("switch: ageout {} s, {guard}, {threads}", sw.aging_time.as_secs()));
    let service = |service: &Service, scheme: &str| {
        let Service { host, port, path, htpasswd, tls, proxies } = service;
        let host = if host.is_empty() { "*" } else { host };
        let s = if tls.is_some() { "s" } else { "" };
        let passwords = htpasswd.as_ref().map(|path| format!(", passwords of {}", path.display()));
        let ca = tls.as_ref().and_then(|tls| tls.client_ca.as_ref());
        let ca = ca.map(|path| format!(", certificates of {}", path.display()));
        let (passwords, ca) = (passwords.unwrap_or_default(), ca.unwrap_or_default());
        let proxies = match (proxies.protocol, proxies.any()) {
            (true, _) => ", behind the PROXY protocol".to_owned(),
            (_, true) => format!(", behind proxies by {}", proxies.header.name()),
            (_, false) => String::new(),
        };
        format!("{scheme}{s}://{host}:{port}{path}{passwords}{ca}{proxies}")
    };
    lines.push(match &sw.tunnel {
        Some(tunnel) => {
            let asks = if tunnel.asks() { "" } else { "; open to anyone who can reach it" };
            format!("tunnel: {}{asks}", service(tunnel, "ws"))
        }
        None => "tunnel: no listener; the table [tunnel] asks for one".to_owned(),
    });
    if let Some(control) = &sw.control {
        lines.push(format!("control: {}", service(control, "http")));
        let host = control.host.trim_matches(['[', ']']);
        let is_here = host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback()) || host == "localhost";
        if !control.asks() && !is_here {
            lines.push(if sw.control_open {
                "WARNING: anyone who can reach control can do everything, since it is open; give it \
                 htpasswd or tls.client-ca"
                    .to_owned()
            } else {
                "WARNING: control lets in this machine only, since it asks for neither password nor \
                 certificate; for others, give it htpasswd or tls.client-ca"
                    .to_owned()
            });
        }
    }
    if let Some(socket) = &sw.control_socket {
        lines.push(format!("control: unix:{}", socket.display()));
    }
    lines.extend(sw.acme.as_ref().map(|acme| {
        format!(
            "acme: {} by {}, kept in {}",
            acme.names.join(", "),
            acme.directory,
            acme.folder.display()
        )
    }));
    lines.extend(sw.users.as_ref().map(explain_users));
    for one in certificates::read(&certificates::files(sw)) {
        let file = one.file.display();
        let ends = one.ends().strftime("%Y-%m-%d");
        let now = Timestamp::now().as_second();
        lines.push(match one.warning(now) {
            Some(warning) if one.until <= now => {
                // The switch starts with it: who must fix it needs the switch.
                format!("WARNING: {warning}; the switch starts with it all the same, and its peers refuse it")
            }
            Some(warning) => format!("WARNING: {warning}"),
            None => format!("certificate: {:?} in {file}, until {ends}", one.subject),
        });
    }
    for port in &sw.ports {
        let mut line = format!("port: {}", port.new);
        if let Some(Value::String(user)) = port.new.options().get("user") {
            line += &format!(", user {user}");
        }
        for (address, length) in port.addresses.iter().flatten() {
            line += &format!(", {address}/{length}");
        }
        if let Some(mtu) = port.mtu {
            line += &format!(", MTU {mtu}");
        }
        if port.settings.shut == Some(true) {
            line += ", shut";
        }
        lines.push(line);
        if let Some(of) = &port.settings.carrier_from
            && of.as_str().parse::<u32>().is_err()
            && !sw.ports.iter().any(|other| other.is_called(of.as_str()))
        {
            lines.push(format!(
                "WARNING: carrier-from {of}: the file has no port of this name; until there is one, \
                 {} has no carrier",
                port.new.target()
            ));
        }
        let warning = (port.new.kind() == Netdev::NAME).then(|| netdev::warning(port.new.target()));
        lines.extend(warning.flatten().map(|warning| format!("warning: {warning}")));
    }
    lines.join("\n") + "\n"
}
