//! The options and subcommands of `ctl` as clap reads them, with their help, of which the
//! methods of control have their own; and which switch to ask, which others want to know, too.
//! They have nothing to resolve.
#![allow(rustdoc::broken_intra_doc_links, reason = "what stands in brackets is help text")]

use std::path::{Path, PathBuf};

use clap::{
    ArgMatches, Args, ColorChoice, Command, FromArgMatches, Subcommand, ValueEnum, error::ErrorKind,
};

use crate::{
    api::{
        CaptureFrames,
        call::{Call as _, Group, Request},
        commands,
    },
    options::Secret,
};

/// Where `etherws sw` has control unless told otherwise.
pub(super) const LOOPBACK: &str = "http://127.0.0.1:7867/ctl";

/// Variable with the URL of the control service, where --ctlurl is not given.
pub(crate) const CTLURL: &str = "ETHERWS_CTLURL";

/// Least seconds between two looks of `ctl top`: nobody reads faster.
const MIN_DELAY: f64 = 0.1;

/// Most of them: an hour is no live rate, but may be what a script wants.
const MAX_DELAY: f64 = 3600.0;

/// `etherws ctl`: which switch to ask, and what.
#[derive(Debug, Args)]
pub(crate) struct CtlArgs {
    #[command(flatten)]
    pub(crate) control: ControlArgs,
    /// Print JSON instead of a table
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// When to use colour: auto (on a terminal), always or never
    #[arg(long, global = true, value_name = "WHEN", default_value_t, hide_possible_values = true)]
    pub(crate) color: ColorChoice,
    #[command(subcommand)]
    pub(crate) method: CtlMethod,
}

/// A running switch, and how to be let in to its control service.
#[derive(Debug, Args)]
pub(crate) struct ControlArgs {
    /// URL of the switch's control service; unix:PATH for a Unix socket
    /// [default: unix:/run/etherws/control.sock, the packaged service's, if it is there; else
    /// http://127.0.0.1:7867/ctl]
    #[arg(long, global = true, value_name = "URL", env = CTLURL)]
    #[arg(default_value_t = default_ctlurl(), hide_default_value = true, hide_env_values = true)]
    pub(crate) ctlurl: String,
    /// Name for the control service; its password is prompted for
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) ctluser: Option<String>,
    /// Password; other users of the machine can see it here: the prompt is safer
    #[arg(long, global = true, value_name = "PASSWORD")]
    pub(crate) ctlpasswd: Option<Secret>,
    /// CA certificates for the control service, PEM [default: the system's]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) ctlsslcert: Option<PathBuf>,
    /// Do not verify the control service's certificate
    #[arg(long, global = true)]
    pub(crate) ctlinsecure: bool,
    /// Client certificate chain to present to the control service, PEM
    #[arg(long, global = true, value_name = "FILE", requires = "ctlkey")]
    pub(crate) ctlcert: Option<PathBuf>,
    /// Private key of --ctlcert, PEM
    #[arg(long, global = true, value_name = "FILE", requires = "ctlcert")]
    pub(crate) ctlkey: Option<PathBuf>,
}

impl ControlArgs {
    /// The service at `url`, without further ado.
    pub(crate) fn of(url: &str) -> Self {
        Self {
            ctlurl: url.to_owned(),
            ctluser: None,
            ctlpasswd: None,
            ctlsslcert: None,
            ctlinsecure: false,
            ctlcert: None,
            ctlkey: None,
        }
    }
}

/// What `ctl` does.
#[derive(Debug)]
pub(crate) enum CtlMethod {
    /// Asks a switch once.
    Call(Request),
    Top(TopArgs),
    Capture(CaptureFrames),
}

/// Name of the one command that is no method: a view of `listPort`.
const TOP: &str = "top";

impl Subcommand for CtlMethod {
    fn augment_subcommands(command: Command) -> Command {
        let methods = commands().map(|(name, method)| method.command(name));
        let top = TopArgs::augment_args(Command::new(TOP));
        command.subcommands(methods).subcommand(top)
    }

    fn augment_subcommands_for_update(command: Command) -> Command {
        Self::augment_subcommands(command)
    }

    fn has_subcommand(name: &str) -> bool {
        name == TOP || commands().any(|(known, _)| known == name)
    }
}

impl FromArgMatches for CtlMethod {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let missing = || clap::Error::new(ErrorKind::MissingSubcommand);
        let (name, matches) = matches.subcommand().ok_or_else(missing)?;
        if name == TOP {
            return TopArgs::from_arg_matches(matches).map(Self::Top);
        }
        let (_, method) = commands().find(|(known, _)| *known == name).ok_or_else(missing)?;
        match method.name {
            CaptureFrames::NAME => CaptureFrames::from_arg_matches(matches).map(Self::Capture),
            _ => method.given(matches).map(Self::Call),
        }
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Show live rates of the ports, until q is pressed
#[derive(Debug, Args)]
pub(crate) struct TopArgs {
    /// Seconds between two updates
    #[arg(short, long, value_name = "SECONDS", default_value_t = 1.0, value_parser = delay)]
    pub(crate) delay: f64,
    /// Number of updates before it ends [default: no limit]
    #[arg(short = 'n', long, value_name = "NUMBER")]
    pub(crate) count: Option<u64>,
    /// Order of the ports
    #[arg(short, long, value_name = "ORDER", default_value = "rate")]
    pub(crate) sort: Order,
}

/// Which port stands first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Order {
    /// Highest rate first, both directions together
    Rate,
    /// Highest receive rate first
    Rx,
    /// Highest transmit rate first
    Tx,
    /// Lowest port number first
    Port,
}

/// `ctl` with its subcommands in groups, which clap has for options only.
pub(super) fn with_groups(ctl: Command) -> Command {
    let header = *ctl.get_styles().get_header();
    let literal = *ctl.get_styles().get_literal();
    let group_of = |name: &str| match commands().find(|(known, _)| *known == name) {
        Some((_, method)) => method.group,
        None if name == TOP => Group::Traffic,
        None => Group::Operation,
    };
    let mut groups = String::new();
    for group in Group::ALL {
        groups += &format!("{header}{group}:{header:#}\n");
        for one in ctl.get_subcommands().filter(|one| group_of(one.get_name()) == group) {
            let about = one.get_about().map(ToString::to_string).unwrap_or_default();
            groups += &format!("  {literal}{:17}{literal:#}{about}\n", one.get_name());
        }
        groups.push('\n');
    }
    ctl.help_template(format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{groups}\
         {header}Options:{header:#}\n{{options}}{{after-help}}"
    ))
}

/// Seconds between two requests: a switch has other things to do as well.
fn delay(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (MIN_DELAY..=MAX_DELAY).contains(seconds));
    seconds.ok_or_else(|| format!("give {MIN_DELAY} to {MAX_DELAY} seconds"))
}

/// Where the packaged service has control, if it runs here; otherwise where `etherws sw` has
/// it. Whether we may ask it is the socket's to say: who may not is to hear of that, and not
/// of a port that nobody serves.
pub(crate) fn default_ctlurl() -> String {
    const OF_SERVICE: &str = "/run/etherws/control.sock";
    if Path::new(OF_SERVICE).exists() { format!("unix:{OF_SERVICE}") } else { LOOPBACK.to_owned() }
}
