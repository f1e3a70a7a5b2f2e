//! `etherws check`: what is wrong with a configuration file, or else what a switch would
//! do with it. Looks into the files that it names. Opens no socket and no
//! log file.

use std::{net::IpAddr, path::Path, process::ExitCode};

use anyhow::{Result, bail};
use etherws_actors::{
    error::one_line,
    kinds::{Kind as _, Netdev},
};
use jiff::Timestamp;
use serde_json::Value;
use slog::{Discard, Logger, o};

use crate::{
    cli::CheckArgs,
    config::{CommandLine, Fault, Faults, File, Sw, resolve, schema},
    logging, netdev,
    options::Service,
    privileges,
    server::{auth, certificates, tls::Tls},
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
    let sw = resolve(&file.config, Some(&file), &CommandLine::default(), faults);
    match sw.and_then(|sw| verify(&sw, &file).map(|()| sw)) {
        Ok(sw) => {
            print!("{}", explain(&sw, path));
            if let Some(user) = service {
                println!("read as the user {user}, as the service reads it");
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(faults) => {
            eprintln!("{}", faults.report);
            let s = if faults.count == 1 { "" } else { "s" };
            eprintln!("{}: {} error{s}", path.display(), faults.count);
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Looks into the files that `sw` needs, as whoever this process is.
///
/// # Errors
/// One of them cannot be used for what it is for.
pub(crate) fn verify(sw: &Sw, file: &File) -> Result<(), Faults> {
    let log = Logger::root(Discard, o!());
    let mut faults = Vec::new();
    let mut note = |key: &str, result: Result<()>| {
        if let Err(error) = result {
            faults.push(Fault::new(key, format!("{error:#}")));
        }
    };
    let tunnel = ("tunnel", sw.tunnel.as_ref());
    for (table, service) in [tunnel, ("control", sw.control.as_ref())] {
        let Some(service) = service else { continue };
        if let Some(path) = &service.htpasswd {
            note(&format!("{table}.htpasswd"), auth::survey(path).map(drop));
        }
        if let Some(files) = &service.tls {
            note(&format!("{table}.tls"), Tls::open(files.clone(), &log).map(drop));
            if let Some(path) = &files.revoked {
                let list = auth::Revoked::open(path, &log);
                note(&format!("{table}.tls.revoked"), list.map(drop));
            }
        }
    }
    if let Some(control) = &sw.control {
        note("control.host", check_open(control, sw.control_open));
    }
    if let Some(path) = &sw.logging.conf {
        note("log.conf", logging::check(path));
    }
    // In the file's order: none of them is missing, or else this is not reached.
    for (at, port) in sw.ports.iter().enumerate() {
        let checked = port.new.verify(&log);
        let checked = checked.map_err(|error| anyhow::anyhow!(one_line(&*error)));
        note(&format!("port.{at}"), checked);
    }
    if faults.is_empty() { Ok(()) } else { Err(file.faults(&faults)) }
}

/// As the switch does it with the addresses that it got.
fn check_open(control: &Service, open: bool) -> Result<()> {
    let host = control.host.trim_matches(['[', ']']);
    let elsewhere =
        host.parse::<IpAddr>().is_ok_and(|ip| !ip.is_loopback() && !ip.is_unspecified());
    if elsewhere && !control.asks() && !open {
        bail!(
            "anyone who can reach {host} could control the switch: give control htpasswd or tls.client-ca, \
             or open = true"
        );
    }
    Ok(())
}

/// What the switch would do, a line each.
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
    }
    if let Some(socket) = &sw.control_socket {
        lines.push(format!("control: unix:{}", socket.display()));
    }
    for one in certificates::read(&certificates::files(sw)) {
        let file = one.file.display();
        let ends = one.ends().strftime("%Y-%m-%d");
        lines.push(match one.warning(Timestamp::now().as_second()) {
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
        let warning = (port.new.kind() == Netdev::NAME).then(|| netdev::warning(port.new.target()));
        lines.extend(warning.flatten().map(|warning| format!("warning: {warning}")));
    }
    lines.join("\n") + "\n"
}
