//! The command line: what etherws 1.3 (`sw`, `ctl`) and 0.3 (`server`, `client`)
//! accept, in one definition that also gives the help. It ends in plain, checked
//! structs; nothing behind it looks at arguments again. It opens no socket and asks
//! for no password.

mod args;
mod ctl;
mod pages;

use std::{
    env,
    ffi::OsString,
    fs::File,
    path::{self, Path, PathBuf},
};

use anyhow::{Context as _, Result, anyhow, bail};
use clap::{
    CommandFactory as _, FromArgMatches as _,
    error::{ContextKind, ContextValue, ErrorKind},
};
use etherws_actors::kinds::ClientOptions;

use crate::{
    config::{self, Sw},
    options::{Service, TlsFiles},
};
pub(crate) use args::{CheckArgs, CompletionsArgs, DoctorArgs, ExtcapArgs, ManualArgs, PasswdArgs};
use args::{Cli, ClientArgs, Command, ServerArgs, SwArgs};
pub(crate) use ctl::{CTLURL, ControlArgs, CtlArgs, CtlMethod, Order, TopArgs, default_ctlurl};
pub(crate) use pages::page;

/// What the program is called by, in Wireshark's folder.
const EXTCAP_NAME: &str = "etherws-extcap";

/// What the command line asks for.
#[derive(Debug)]
pub(crate) enum Invocation {
    /// `etherws sw`
    Sw(Box<Sw>),
    /// `etherws ctl`
    Ctl(CtlArgs),
    /// `etherws passwd`
    Passwd(PasswdArgs),
    /// `etherws doctor`
    Doctor(DoctorArgs),
    /// `etherws extcap`
    Extcap(Box<ExtcapArgs>),
    /// `etherws completions`
    Completions(CompletionsArgs),
    /// `etherws manual`
    Manual(ManualArgs),
    /// `etherws check`
    Check(CheckArgs),
    /// `etherws server`, of 0.3
    Server(Server),
    /// `etherws client`, of 0.3
    Client(Client),
}

/// The server of 0.3: one TAP, and whoever connects.
#[derive(Debug)]
pub(crate) struct Server {
    /// Name of the TAP; one `%d` becomes the lowest free number.
    pub(crate) device: String,
    /// Log each frame.
    pub(crate) debug: bool,
    /// Do not become a daemon.
    pub(crate) foreground: bool,
    /// Where WebSocket clients come in.
    pub(crate) tunnel: Service,
    /// Whose pages may open one from a browser, besides the switch's own; `*`: all.
    pub(crate) allowed_origins: Vec<String>,
}

/// The client of 0.3: one TAP and one WebSocket.
#[derive(Debug)]
pub(crate) struct Client {
    /// Name of the TAP; one `%d` becomes the lowest free number.
    pub(crate) device: String,
    /// Log each frame.
    pub(crate) debug: bool,
    /// Do not become a daemon.
    pub(crate) foreground: bool,
    /// The server and the way to it; the password is prompted for.
    pub(crate) options: ClientOptions,
}

/// Reads the program's arguments. Ends the program for `--help`, `--version` and
/// usage errors (status 2), as is the custom.
///
/// # Errors
///
/// A value that cannot be used: the text names option, value and way out.
pub(crate) fn parse() -> Result<Invocation> {
    let matches = definition().try_get_matches_from(with_name(env::args_os().collect()));
    let cli = matches.and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = cli.unwrap_or_else(|err| nearest(err).exit());
    cli.scoped().unwrap_or_else(|err| err.exit()).validate()
}

/// Leaves of several subcommands that a wrong one resembles the most similar alone:
/// clap lists it last.
fn nearest(mut error: clap::Error) -> clap::Error {
    if let Some(ContextValue::Strings(names)) = error.get(ContextKind::SuggestedSubcommand)
        && let Some(nearest) = names.last().cloned()
    {
        error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(vec![nearest]));
        return error;
    }
    if let Some(tip) = what_there_is(&error) {
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    error
}

/// For a word that is like no command: where it is one, or which there are.
fn what_there_is(error: &clap::Error) -> Option<String> {
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) else {
        return None;
    };
    let mut definition = definition();
    let usage = error.get(ContextKind::Usage).map(ToString::to_string).unwrap_or_default();
    let ctl = definition.find_subcommand_mut("ctl")?.clone();
    let is_of_ctl = usage.contains("etherws ctl ");
    if !is_of_ctl && ctl.find_subcommand(word).is_some() {
        return Some(format!("it is a command of ctl: etherws ctl {word}"));
    }
    let of = if is_of_ctl { &ctl } else { &definition };
    let names = of.get_subcommands().filter(|it| !it.is_hide_set()).map(clap::Command::get_name);
    Some(format!("there are {}", names.collect::<Vec<_>>().join(", ")))
}

/// Wireshark runs whatever stands in its folder, without a word of ours: there the
/// program's name says which subcommand is meant.
fn with_name(mut args: Vec<OsString>) -> Vec<OsString> {
    let name = args.first().and_then(|name| Path::new(name).file_stem()).unwrap_or_default();
    if name.to_string_lossy().ends_with(EXTCAP_NAME) {
        args.insert(1, "extcap".into());
    }
    args
}

/// The definition, also for what else is made from it.
pub(crate) fn definition() -> clap::Command {
    let group = |it: clap::Command| if it.get_name() == "ctl" { ctl::with_groups(it) } else { it };
    with_examples(Cli::command(), "").mut_subcommands(group)
}

/// The command that `words` lead to, and those under it, with examples in the help.
fn with_examples(command: clap::Command, words: &str) -> clap::Command {
    let header = *command.get_styles().get_header();
    let examples = page(words).map(|page| {
        let lines = page.examples.iter();
        let lines = lines.map(|(line, does)| format!("\n  etherws {line}\n      {does}"));
        format!("{header}Examples:{header:#}{}", lines.collect::<String>())
    });
    let command = command.mut_subcommands(|it| {
        let words = format!("{words} {}", it.get_name());
        with_examples(it, words.trim_start())
    });
    match examples {
        Some(examples) => command.after_help(examples),
        None => command,
    }
}

impl Cli {
    /// Hands the options that stand before the subcommand to it, or refuses them
    /// where they mean nothing.
    fn scoped(mut self) -> Result<Command, clap::Error> {
        let before = self.common;
        let refuse = |option, subcommand| {
            let text = format!("{option} means nothing to '{subcommand}': leave it out");
            Err(Self::command().error(ErrorKind::ArgumentConflict, text))
        };
        match &mut self.command {
            Command::Sw(_) if before.device.is_some() => return refuse("--device", "sw"),
            Command::Sw(args) => {
                args.foreground |= before.foreground;
                args.debug |= before.debug;
            }
            Command::Server(args) => args.common.merge(before),
            Command::Client(args) => args.common.merge(before),
            command => {
                if let Some(option) = before.given() {
                    return refuse(option, command.name());
                }
            }
        }
        Ok(self.command)
    }
}

impl Command {
    fn name(&self) -> &'static str {
        match self {
            Self::Sw(_) => "sw",
            Self::Ctl(_) => "ctl",
            Self::Check(_) => "check",
            Self::Passwd(_) => "passwd",
            Self::Doctor(_) => "doctor",
            Self::Extcap(_) => "extcap",
            Self::Completions(_) => "completions",
            Self::Manual(_) => "manual",
            Self::Server(_) => "server",
            Self::Client(_) => "client",
        }
    }

    /// Checks what clap cannot: values against each other and against the machine.
    fn validate(self) -> Result<Invocation> {
        Ok(match self {
            Self::Sw(args) => Invocation::Sw(Box::new(args.validate()?)),
            Self::Ctl(args) => Invocation::Ctl(args),
            Self::Passwd(args) => Invocation::Passwd(args),
            Self::Doctor(args) => Invocation::Doctor(args),
            Self::Extcap(args) => Invocation::Extcap(Box::new(args)),
            Self::Completions(args) => Invocation::Completions(args),
            Self::Manual(args) => Invocation::Manual(args),
            Self::Check(args) => Invocation::Check(args),
            Self::Server(args) => Invocation::Server(args.validate()?),
            Self::Client(args) => Invocation::Client(args.validate()?),
        })
    }
}

impl SwArgs {
    /// Reads the configuration file, if there is one, and checks both together.
    fn validate(mut self) -> Result<Sw> {
        let (foreground, path) = (self.foreground, self.config.take());
        let args = self.into_config();
        let Some(path) = path else {
            return Ok(Sw { foreground, ..config::resolve(&args, None, Vec::new())? });
        };
        let (file, faults) = config::File::read(&path)?;
        let sw = config::resolve(&args.clone().over(file.config.clone()), Some(&file), faults)
            .map_err(|faults| anyhow!("{}", faults.report))?;
        let here = env::current_dir().context("cannot tell the working directory")?;
        let source = Some(config::Source::new(file, args, &here));
        Ok(Sw { foreground, source, ..sw })
    }

    fn into_config(self) -> config::Config {
        let tls = |key, cert, client_ca| config::Tls { key, cert, client_ca };
        let some = |list: Vec<String>| Some(list).filter(|list| !list.is_empty());
        let mut port_defaults = self.port_defaults.0;
        if self.no_loopguard {
            port_defaults.loop_guard = Some(false);
        }
        config::Config {
            switch: config::Switch {
                ageout: self.ageout,
                threads: self.threads,
                user: self.user,
                state: self.state,
                hosts: self.no_hosts.then_some(false),
            },
            tunnel: config::Tunnel {
                host: self.host,
                port: self.port,
                path: self.path,
                htpasswd: self.htpasswd,
                allow_origin: some(self.allow_origin),
                maxsessions: self.maxsessions,
                maxsessionsperuser: self.maxsessionsperuser,
                maxsessionsperaddress: self.maxsessionsperaddress,
                tls: Some(tls(self.sslkey, self.sslcert, self.sslclientca)),
            },
            control: config::Control {
                host: self.ctlhost,
                port: self.ctlport,
                path: self.ctlpath,
                socket: self.ctlsock,
                name: some(self.ctlname),
                open: self.ctlopen.then_some(true),
                htpasswd: self.ctlhtpasswd,
                tls: Some(tls(self.ctlsslkey, self.ctlsslcert, self.ctlsslclientca)),
            },
            log: config::Log { debug: self.debug.then_some(true), conf: self.logconf },
            port_defaults: config::PortDefaultsTable { settings: port_defaults },
            port: Vec::new(),
        }
    }
}

impl ServerArgs {
    fn validate(self) -> Result<Server> {
        let tls = tls_files(
            ("--keyfile", self.keyfile),
            ("--certfile", self.certfile),
            ("--sslclientca", None),
        )?;
        Ok(Server {
            device: self.common.device(),
            debug: self.common.debug,
            foreground: self.common.foreground,
            tunnel: Service {
                host: self.address,
                port: self.port.unwrap_or_else(|| default_port(tls.as_ref())),
                path: absolute_path("--path", self.path)?,
                htpasswd: readable("--htpasswd", self.htpasswd)?,
                tls,
            },
            allowed_origins: self.allow_origin,
        })
    }
}

impl ClientArgs {
    fn validate(self) -> Result<Client> {
        let (cert, key) = (readable("--cert", self.cert)?, readable("--key", self.key)?);
        if cert.is_some() != key.is_some() {
            bail!("--cert and --key belong together: give both, or neither");
        }
        Ok(Client {
            device: self.common.device(),
            debug: self.common.debug,
            foreground: self.common.foreground,
            options: ClientOptions {
                user: self.user,
                cacerts: readable("--cacerts", self.cacerts)?,
                insecure: self.insecure,
                cert,
                key,
                proxy: self.proxy,
                ..ClientOptions::new(self.uri)
            },
        })
    }
}

/// Key and certificate, both or neither; a client CA only with them.
fn tls_files(
    (key_option, key): (&str, Option<PathBuf>),
    (cert_option, cert): (&str, Option<PathBuf>),
    (ca_option, client_ca): (&str, Option<PathBuf>),
) -> Result<Option<TlsFiles>> {
    let lacking = |given: &str, file: &Path, option| {
        format!("{given} {} is given without {option}: TLS needs both", file.display())
    };
    let client_ca = readable(ca_option, client_ca)?;
    match (readable(key_option, key)?, readable(cert_option, cert)?) {
        (Some(key), Some(cert)) => Ok(Some(TlsFiles { key, cert, client_ca })),
        (Some(key), None) => bail!(lacking(key_option, &key, cert_option)),
        (None, Some(cert)) => bail!(lacking(cert_option, &cert, key_option)),
        (None, None) => match client_ca {
            Some(ca) => bail!(
                "{ca_option} {} is given without {key_option} and {cert_option}: certificates \
                 are shown over TLS alone",
                ca.display()
            ),
            None => Ok(None),
        },
    }
}

/// A file that can be read, by a name that still holds in a daemon, whose directory
/// is `/`. Symbolic links stay: a renewed certificate may be behind the same link.
fn readable(option: &str, file: Option<PathBuf>) -> Result<Option<PathBuf>> {
    let Some(file) = file else { return Ok(None) };
    let checked = path::absolute(&file).and_then(|file| {
        // A directory opens as well.
        if File::open(&file)?.metadata()?.is_dir() {
            return Err(std::io::ErrorKind::IsADirectory.into());
        }
        Ok(file)
    });
    checked
        .map(Some)
        .with_context(|| format!("{option} {}: give a file that can be read", file.display()))
}

fn absolute_path(option: &str, path: String) -> Result<String> {
    if !path.starts_with('/') {
        bail!("{option} {path:?}: must begin with /");
    }
    Ok(path)
}

const fn default_port(tls: Option<&TlsFiles>) -> u16 {
    if tls.is_some() { 443 } else { 80 }
}

#[cfg(test)]
mod tests;
