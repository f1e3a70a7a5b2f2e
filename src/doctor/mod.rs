//! `etherws doctor`: checks what a switch depends on, and says what to do. Each check is a
//! function that returns a [`Finding`]. None changes anything, except that a tunnel is
//! opened for a moment to each server that is to be tried.

mod devices;
mod files;
mod host;
mod switch;
mod tunnel;

use std::{
    fmt::Write as _,
    net::IpAddr,
    path::{Path, PathBuf},
    process::ExitCode,
};

use etherws_actors::{
    error::one_line,
    kinds::{Client, ClientOptions, Netdev, PortSpec},
};
use futures_util::future::LocalBoxFuture;
use nix::unistd::{User, geteuid};

use crate::{
    api::{PortReport, client::Endpoint},
    cli::{DoctorArgs, default_ctlurl},
    config::{CommandLine, File, Sw, resolve},
    ctl::{
        self,
        output::{Output, print, to_json},
        style::{self, Look},
    },
    options::{Secret, Service, TlsFiles},
    privileges,
    refusal::Refusal,
};

pub(crate) use crate::api::doctor::{Finding, Level};

/// What to check, from the options and the configuration file.
#[derive(Debug, Default)]
pub(crate) struct Subject {
    /// Files of the listeners' TLS.
    pub(crate) tls: Vec<TlsFiles>,
    /// Passwords.
    pub(crate) htpasswd: Vec<PathBuf>,
    /// Who reads all files, if it is somebody else than who looks: a user, and the files.
    pub(crate) service: Option<(User, Vec<PathBuf>)>,
    /// TCP ports to listen on.
    pub(crate) listen: Vec<u16>,
    /// Interfaces of netdev ports.
    pub(crate) netdevs: Vec<String>,
    /// URL of the control service.
    pub(crate) control: Option<String>,
    /// Tunnels to servers.
    pub(crate) tunnels: Vec<tunnel::Tunnel>,
}

/// Looks at a port of the switch that this process is, with the port's own options.
pub(crate) fn examine(
    report: PortReport,
    spec: Option<PortSpec>,
) -> LocalBoxFuture<'static, Vec<Finding>> {
    Box::pin(async move {
        let mut findings = switch::port(&report);
        let mut subject = Subject::default();
        if let Some(options) = spec.as_ref().and_then(PortSpec::get::<Client>) {
            findings.extend(subject.add_client(options));
        }
        let devices: Vec<_> = switch::device(&report).into_iter().collect();
        findings.extend(devices::look(&subject, devices).await);
        for tunnel in &subject.tunnels {
            // While the port is up, its login is right. While it is not, each attempt of its own
            // tells why: another one would fail at the server as well.
            let is_up = report.port.state() == "up" && tunnel.is_at(&report.port.target);
            findings.extend(if is_up {
                tunnel::look(tunnel).await
            } else {
                tunnel::look_at_way(tunnel).await
            });
        }
        findings
    })
}

/// Runs `etherws doctor`. The exit status is 1 if there is a fault.
pub(crate) fn run(args: DoctorArgs) -> ExitCode {
    let output = Output::new(args.json, args.color);
    let (mut subject, mut findings) = subject(&args);
    let mut control = args.control;
    // Unless another one was named: that of the file.
    if let Some(url) = subject.control.take().filter(|_| control.ctlurl == default_ctlurl()) {
        control.ctlurl = url;
    }
    let endpoint = ctl::endpoint(control);
    if args.health {
        return health(endpoint, &output);
    }
    findings.extend(host::look(&subject));
    findings.extend(files::look(&subject));
    actix_rt::System::new().block_on(async {
        let (devices, found) = match endpoint {
            Ok(endpoint) => switch::look(&endpoint).await,
            Err(refusal) => {
                let advice = "see --ctlurl, --ctluser and the other options for control";
                (Vec::new(), vec![Finding::fail("control", refusal.to_string(), advice)])
            }
        };
        findings.extend(found);
        findings.extend(devices::look(&subject, devices).await);
        for tunnel in &subject.tunnels {
            findings.extend(tunnel::look(tunnel).await);
        }
    });
    let failed = findings.iter().any(|finding| finding.level == Level::Fail);
    let text = if output.json { to_json(&findings) } else { report(&findings, output.stdout) };
    let written = print(&text);
    if failed { ExitCode::FAILURE } else { written }
}

/// Runs `etherws doctor --health`: one line, and the exit status is 1 unless the switch serves.
fn health(endpoint: Result<Endpoint, Refusal>, output: &Output) -> ExitCode {
    let finding = match endpoint {
        Ok(endpoint) => actix_rt::System::new().block_on(switch::serves(&endpoint)),
        Err(refusal) => Finding::fail("health", refusal.to_string(), "see --ctlurl"),
    };
    let failed = finding.level == Level::Fail;
    let text = if output.json {
        to_json(&[finding])
    } else {
        report(&[Finding { advice: None, ..finding }], output.stdout)
    };
    let written = print(&text);
    if failed { ExitCode::FAILURE } else { written }
}

impl Subject {
    /// Adds what a switch with these options depends on.
    fn add(&mut self, sw: &Sw) -> Vec<Finding> {
        for service in [sw.tunnel.as_ref(), sw.control.as_ref()].into_iter().flatten() {
            self.listen.push(service.port);
            self.tls.extend(service.tls.clone());
            self.htpasswd.extend(service.htpasswd.clone());
        }
        self.control = match (&sw.control_socket, &sw.control) {
            (Some(path), _) => Some(format!("unix:{}", path.display())),
            (None, Some(service)) => Some(control_url(service)),
            (None, None) => None,
        };
        // A certificate or a file that both services have is checked once.
        self.tls.dedup();
        self.htpasswd.dedup();
        let mut findings = Vec::new();
        for port in &sw.ports {
            if let Some(netdev) = port.new.get::<Netdev>() {
                self.netdevs.push(netdev.name.clone());
            } else if let Some(options) = port.new.get::<Client>() {
                findings.extend(self.add_client(options));
            }
        }
        findings
    }

    fn add_client(&mut self, options: &ClientOptions) -> Vec<Finding> {
        let mut findings = Vec::new();
        for url in options.all_urls() {
            match tunnel::Tunnel::new(url, options) {
                Ok(tunnel) => self.tunnels.push(tunnel),
                Err(error) => {
                    findings.push(Finding::fail("tunnel", error, "correct its URL"));
                }
            }
        }
        findings
    }
}

/// Where this machine reaches control.
fn control_url(service: &Service) -> String {
    let scheme = if service.tls.is_some() { "https" } else { "http" };
    let host = service.host.trim_matches(['[', ']']);
    let host = match host.parse() {
        Ok(IpAddr::V4(address)) if address.is_unspecified() => "127.0.0.1".to_owned(),
        Ok(IpAddr::V6(address)) if address.is_unspecified() => "[::1]".to_owned(),
        Ok(IpAddr::V6(address)) => format!("[{address}]"),
        _ if host.is_empty() => "127.0.0.1".to_owned(),
        _ => host.to_owned(),
    };
    format!("{scheme}://{host}:{}{}", service.port, service.path)
}

/// What a configuration file asks for.
fn read_config(path: &Path) -> anyhow::Result<Sw> {
    let (file, faults) = File::read(path)?;
    Ok(resolve(&file.config, Some(&file), &CommandLine::default(), faults)?)
}

/// Who a switch with this file runs as, and what it reads then. `None` where that is who looks,
/// or where only that user could tell.
fn service(path: &Path, sw: &Sw) -> Option<(User, Vec<PathBuf>)> {
    if !geteuid().is_root() {
        return None;
    }
    let user = match &sw.user {
        Some(name) => privileges::find_user(name).ok()?,
        None => privileges::service_of(path)?,
    };
    let services = [sw.tunnel.as_ref(), sw.control.as_ref()].into_iter().flatten();
    let of_services = services.flat_map(|service| {
        let tls = service.tls.iter();
        let tls = tls.flat_map(|tls| tls.paths().into_iter().chain(tls.revoked.clone()));
        tls.chain(service.htpasswd.clone())
    });
    let of_ports = sw.ports.iter().flat_map(|port| {
        let options = port.new.options();
        let name = |key: &str| options.get(key)?.as_str().map(PathBuf::from);
        port.new.files().into_iter().filter_map(name).collect::<Vec<_>>()
    });
    let mut files: Vec<_> = [path.to_owned()].into_iter().chain(sw.logging.conf.clone()).collect();
    files.extend(of_services.chain(of_ports));
    files.sort();
    files.dedup();
    Some((user, files))
}

/// What the options name, and what is wrong with them.
fn subject(args: &DoctorArgs) -> (Subject, Vec<Finding>) {
    let mut subject = Subject { netdevs: args.netdev.clone(), ..Subject::default() };
    let mut findings = Vec::new();
    if let Some(path) = &args.config {
        let name = path.display();
        match read_config(path) {
            Ok(sw) => {
                findings.push(Finding::ok("config", format!("{name} is valid")));
                findings.extend(subject.add(&sw));
                subject.service = service(path, &sw);
            }
            Err(error) => {
                let advice = format!("etherws check {name} shows where");
                findings.push(Finding::fail("config", one_line(&*error), advice));
            }
        }
    }
    if let Some(url) = args.url.as_ref().or(args.server.as_ref()) {
        let login = ctl::login(args.user.clone(), args.passwd.clone(), "Client Password: ");
        let made = login.map_err(|refusal| refusal.to_string()).and_then(|login| {
            let options = ClientOptions {
                user: login.as_ref().map(|login| login.user.clone()),
                passwd: login.map(|login| login.password.into()),
                cacerts: args.cacerts.clone(),
                insecure: args.insecure,
                cert: args.cert.clone(),
                key: args.key.clone(),
                proxy: args.proxy.as_ref().map(|Secret(text)| text.clone().into()),
                host: args.host.clone(),
                sni: args.sni.clone(),
                pin: args.pin.clone(),
                header: args.header.iter().map(|Secret(text)| text.clone().into()).collect(),
                mss: args.mss,
                ..ClientOptions::default()
            };
            tunnel::Tunnel::new(url, &options)
        });
        match made {
            Ok(tunnel) => subject.tunnels.push(tunnel),
            Err(error) => {
                findings.push(Finding::fail("tunnel", error, "correct --url and its options"));
            }
        }
    }
    (subject, findings)
}

/// A line for each finding, and one for its advice.
fn report(findings: &[Finding], look: Look) -> String {
    let mut text = String::new();
    for Finding { level, text: found, advice, .. } in findings {
        let (name, style) = match level {
            Level::Ok => ("ok  ", style::GOOD),
            Level::Warn => ("warn", style::WARNING),
            Level::Fail => ("fail", style::BAD),
        };
        // Nothing can go wrong in memory.
        let _ = writeln!(text, "{}  {}", look.paint(style, name), look.safe(found));
        if let Some(advice) = advice {
            let _ = writeln!(text, "      {}", look.paint(style::DIM, look.safe(advice)));
        }
    }
    text
}

/// Whether the host is this machine, by a loopback address.
fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_a_line_and_what_to_do_another() {
        let findings = [
            Finding::ok("one", "all is well"),
            Finding::warn("two", "it is late\u{1b}[2J", "go home"),
            Finding::fail("three", "it is broken", "mend it"),
        ];
        let wanted = "ok    all is well\nwarn  it is late\u{fffd}[2J\n      go home\n\
                      fail  it is broken\n      mend it\n";
        let look = Look { color: false, terminal: true };
        assert_eq!(report(&findings, look), wanted);
        let json = serde_json::to_value(&findings[1..2]).expect("JSON");
        assert_eq!(json[0]["level"], "warn");
        assert_eq!(json[0]["advice"], "go home");
    }
}
