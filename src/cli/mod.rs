//! The command line: what etherws 1.3 (`sw`, `ctl`) and 0.3 (`server`, `client`)
//! accept, in one definition that also gives the help. It ends in plain, checked
//! structs; nothing behind it looks at arguments again. It opens no socket and asks
//! for no password.

mod args;
mod ctl;
mod pages;

use std::{
    env,
    error::Error as _,
    ffi::OsString,
    num::{IntErrorKind, ParseIntError},
    path::Path,
};

use anyhow::Result;
use clap::{
    CommandFactory as _, FromArgMatches as _,
    error::{ContextKind, ContextValue, ErrorKind},
};
use etherws_actors::kinds::{Client, ClientOptions, PortSpec, Tap, TapOptions};

use crate::{
    api::call::Request,
    config::{self, CommandLine, Config, Sw, resolve},
};
pub(crate) use args::{
    CONFIG, CheckArgs, CompletionsArgs, DoctorArgs, ExtcapArgs, InitArgs, JoinArgs, LeaveArgs,
    ManualArgs, PasswdArgs, usual_file,
};
use args::{Cli, ClientArgs, Command, Common, HubArgs, ServerArgs, SwArgs};
use ctl::LOOPBACK;
pub(crate) use ctl::{CTLURL, ControlArgs, CtlArgs, CtlMethod, Order, TopArgs, default_ctlurl};
pub(crate) use pages::page;

/// What the program is called by, in Wireshark's folder.
const EXTCAP_NAME: &str = "etherws-extcap";

/// What the command line asks for.
#[derive(Debug)]
pub(crate) enum Invocation {
    /// `etherws sw`, and `server` and `client` of 0.3
    Sw(Box<Sw>),
    /// `etherws ctl`
    Ctl(CtlArgs),
    /// `etherws init`
    Init(InitArgs),
    /// `etherws join`
    Join(JoinArgs),
    /// `etherws leave`
    Leave(LeaveArgs),
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
}

/// Reads the program's arguments. Ends the program for `--help`, `--version` and
/// usage errors (status 2), as is the custom.
///
/// # Errors
///
/// A value that cannot be used: the text names option, value and way out.
pub(crate) fn parse() -> Result<Invocation> {
    let args = with_name(env::args_os().collect());
    read(args).unwrap_or_else(|error| nearest(error).exit())
}

/// What `args` ask for, or what clap has against them.
fn read(args: Vec<OsString>) -> Result<Result<Invocation>, clap::Error> {
    let mut definition = definition();
    let matches = definition.try_get_matches_from_mut(args)?;
    let cli = Cli::from_arg_matches(&matches)?;
    let debug = cli.common.debug;
    let command = cli.scoped()?;
    let line = matches.subcommand().and_then(|(name, given)| {
        Some(CommandLine::new(definition.find_subcommand(name)?, given.clone()))
    });
    Ok(command.validate(line.unwrap_or_default().debug(debug)))
}

/// Leaves of several subcommands that a wrong one resembles only the most similar:
/// clap lists it last. Says what number to give where none was.
fn nearest(mut error: clap::Error) -> clap::Error {
    if let Some(advice) = number_to_give(&error) {
        let of = |kind| error.get(kind).map(ToString::to_string).unwrap_or_default();
        let (value, arg) = (of(ContextKind::InvalidValue), of(ContextKind::InvalidArg));
        let text = format!("invalid value '{value}' for '{arg}': {advice}\n");
        return clap::Error::raw(ErrorKind::ValueValidation, text);
    }
    if let Some(ContextValue::Strings(names)) = error.get(ContextKind::SuggestedSubcommand)
        && let Some(nearest) = names.last().cloned()
    {
        error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(vec![nearest]));
        return error;
    }
    if let Some(tip) = what_there_is(&error) {
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    } else if error.kind() == ErrorKind::UnknownArgument {
        // It would have the word passed as a value, which nobody means.
        error.remove(ContextKind::Suggested);
    }
    error
}

/// For a value that is no number, or one out of its range: what clap says in Rust's words.
fn number_to_give(error: &clap::Error) -> Option<String> {
    let source = error.source()?;
    if let Some(wrong) = source.downcast_ref::<ParseIntError>() {
        return Some(match wrong.kind() {
            IntErrorKind::PosOverflow => "it is too large".to_owned(),
            IntErrorKind::NegOverflow => "it is too small".to_owned(),
            _ => "give a whole number from 0".to_owned(),
        });
    }
    let said = source.to_string();
    let (low, high) = said.split_once(" is not in ")?.1.split_once("..")?;
    Some(match high.trim_start_matches('=') {
        "" => format!("give {low} or more"),
        high => format!("give {low} to {high}"),
    })
}

/// For a word that is like no command: where it is one, or which there are.
fn what_there_is(error: &clap::Error) -> Option<String> {
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) else {
        return None;
    };
    let definition = definition();
    let usage = error.get(ContextKind::Usage).map(ToString::to_string).unwrap_or_default();
    // "Usage: etherws ctl addport [OPTIONS] <COMMAND>": what was understood comes first.
    let mut of = &definition;
    for word in usage.split_whitespace().skip(2) {
        let Some(command) = of.find_subcommand(word) else { break };
        of = command;
    }
    let is_of_ctl = definition.find_subcommand("ctl")?.find_subcommand(word).is_some();
    if is_of_ctl && of.get_name() == definition.get_name() {
        return Some(format!("it is a command of ctl: etherws ctl {word}"));
    }
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
            let text = format!("'{subcommand}' does not take {option}; leave it out");
            Err(Self::command().error(ErrorKind::ArgumentConflict, text))
        };
        match &mut self.command {
            Command::Sw(_) if before.device.is_some() => return refuse("--device", "sw"),
            Command::Sw(args) => args.foreground |= before.foreground,
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
            Self::Init(_) => "init",
            Self::Invite(_) => "invite",
            Self::Join(_) => "join",
            Self::Leave(_) => "leave",
            Self::Users(_) => "users",
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
    fn validate(self, line: CommandLine) -> Result<Invocation> {
        Ok(match self {
            Self::Sw(args) => Invocation::Sw(Box::new(args.validate(line)?)),
            Self::Ctl(args) => Invocation::Ctl(args),
            Self::Init(args) => Invocation::Init(args),
            Self::Join(args) => Invocation::Join(args),
            Self::Leave(args) => Invocation::Leave(args),
            Self::Invite(args) => Invocation::Ctl(args.hub.asking(Request::from(&args.call))?),
            Self::Users(args) => Invocation::Ctl(args.hub.asking(args.command.request())?),
            Self::Passwd(args) => Invocation::Passwd(args),
            Self::Doctor(args) => Invocation::Doctor(args),
            Self::Extcap(args) => Invocation::Extcap(Box::new(args)),
            Self::Completions(args) => Invocation::Completions(args),
            Self::Manual(args) => Invocation::Manual(args),
            Self::Check(args) => Invocation::Check(args),
            Self::Server(args) => Invocation::Sw(Box::new(args.validate(&line)?)),
            Self::Client(args) => Invocation::Sw(Box::new(args.validate(&line)?)),
        })
    }
}

impl HubArgs {
    /// Asks the hub for this.
    fn asking(self, request: Request) -> Result<CtlArgs> {
        let Self { mut control, config, json, color } = self;
        // Where nothing says otherwise, and no service runs, the usual file says where control is.
        let is_open = control.ctlurl == LOOPBACK;
        let usual = || usual_file().filter(|path| is_open && path.exists());
        if let Some(path) = config.or_else(usual) {
            control.ctlurl = config::File::read(&path)?.0.control_url();
        }
        Ok(CtlArgs { control, json, color, method: CtlMethod::Call(request) })
    }
}

impl SwArgs {
    /// Reads the configuration file, if there is one, and checks both together.
    fn validate(self, line: CommandLine) -> Result<Sw> {
        let Some(path) = self.config else {
            let config = line.over(Config::default())?;
            let sw = resolve(&config, None, &line, Vec::new())?;
            return Ok(foreground(sw, self.foreground));
        };
        let (file, faults) = config::File::read(&path)?;
        let config = line.over(file.config.clone())?;
        let sw = resolve(&config, Some(&file), &line, faults)?;
        let source = Some(config::Source { file, line });
        Ok(Sw { source, ..foreground(sw, self.foreground) })
    }
}

impl ServerArgs {
    fn validate(self, line: &CommandLine) -> Result<Sw> {
        let mut config = self.common.config();
        config.tunnel = config::Tunnel {
            host: self.address,
            port: self.port,
            path: self.path,
            htpasswd: self.htpasswd,
            allow_origin: self.allow_origin,
            tls: config::TunnelTls {
                key: self.keyfile,
                cert: self.certfile,
                client_ca: None,
                revoked: None,
            },
            ..config::Tunnel::default()
        };
        let ports = vec![self.common.tap()];
        let sw = resolve(&config, None, line, Vec::new())?;
        Ok(Sw { ports, ..foreground(sw, self.common.foreground) })
    }
}

impl ClientArgs {
    fn validate(self, line: &CommandLine) -> Result<Sw> {
        let client = PortSpec::new::<Client>(ClientOptions {
            user: self.user,
            cacerts: self.cacerts,
            insecure: self.insecure,
            cert: self.cert,
            key: self.key,
            proxy: self.proxy,
            ..ClientOptions::new(self.uri)
        });
        let ports = vec![self.common.tap(), client.into()];
        let sw = resolve(&self.common.config(), None, line, Vec::new())?;
        Ok(Sw { ports, tunnel: None, ..foreground(sw, self.common.foreground) })
    }
}

impl Common {
    fn config(&self) -> Config {
        let log = config::Log { debug: Some(self.debug), conf: None };
        Config { log, legacy: true, ..Config::default() }
    }

    fn tap(&self) -> config::Port {
        let name = self.device.clone().unwrap_or_else(|| "ethws%d".to_owned());
        PortSpec::new::<Tap>(TapOptions::new(name)).into()
    }
}

fn foreground(mut sw: Sw, foreground: bool) -> Sw {
    sw.logging.foreground = foreground;
    sw
}

#[cfg(test)]
mod tests;
