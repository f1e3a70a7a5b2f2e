//! Settings as options of a command line: `--NAME VALUE`, with the help that the setting
//! has.

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use serde::{Deserialize, Serialize};

use super::{PortSettings, Scope, Setting, SettingValue};

/// The option of a setting.
pub(super) fn argument<T: SettingValue + Clone + Send + Sync + 'static>(
    setting: &'static Setting,
) -> Arg {
    let default = setting.default().map(|value| format!(" [default: {value}]"));
    // Help lines end without a stop, unless there are more sentences.
    let help = setting.help.strip_suffix('.').unwrap_or(setting.help);
    Arg::new(setting.name)
        .long(setting.name)
        .aliases(setting.aliases)
        .value_name(setting.form)
        .allow_negative_numbers(true)
        .help(format!("{help}{}", default.unwrap_or_default()))
        .value_parser(|text: &str| T::parse(text))
}

/// What was given for the option `name`.
pub(super) fn given<T: Clone + Send + Sync + 'static>(
    name: &str,
    matches: &ArgMatches,
) -> Option<T> {
    matches.try_get_one::<T>(name).ok().flatten().cloned()
}

impl Args for PortSettings {
    fn augment_args(command: Command) -> Command {
        command.args(Self::arguments())
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for PortSettings {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self::read(matches))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::read(matches).or(self);
        Ok(())
    }
}

/// What `--loop-guard off` for all ports was first called.
const NO_LOOP_GUARD: &str = "no-loopguard";

/// The settings that may be defaults for all ports.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PortDefaults(pub PortSettings);

impl Args for PortDefaults {
    fn augment_args(command: Command) -> Command {
        let is_for_all = |argument: &Arg| {
            Setting::find(argument.get_id().as_str())
                .is_some_and(|one| one.scope == Scope::Anywhere && !one.is_of_switch())
        };
        let arguments = PortSettings::arguments().into_iter().filter(is_for_all);
        command.args(arguments).arg(
            Arg::new(NO_LOOP_GUARD)
                .long(NO_LOOP_GUARD)
                .action(ArgAction::SetTrue)
                .help("Do not look for loops, as --loop-guard off"),
        )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for PortDefaults {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut own = Self::default();
        own.update_from_arg_matches(matches)?;
        Ok(own)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        if matches.try_get_one(NO_LOOP_GUARD).ok().flatten() == Some(&true) {
            self.0.loop_guard = Some(false);
        }
        self.0.update_from_arg_matches(matches)
    }
}
