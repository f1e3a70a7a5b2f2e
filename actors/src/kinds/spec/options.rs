//! Kinds as subcommands, with the options that each has.

use clap::{ArgMatches, Command, Error, FromArgMatches, Subcommand, error::ErrorKind};

use super::PortSpec;
use crate::kinds::{KINDS, KindInfo};

impl Subcommand for PortSpec {
    fn augment_subcommands(command: Command) -> Command {
        let subcommand = |kind: &KindInfo| {
            let (augment, _) = kind.arguments?;
            // The comment on the options would be in the place of the kind's.
            Some(augment(Command::new(kind.name)).about(kind.help))
        };
        command.subcommands(KINDS.iter().filter_map(subcommand))
    }

    fn augment_subcommands_for_update(command: Command) -> Command {
        Self::augment_subcommands(command)
    }

    fn has_subcommand(name: &str) -> bool {
        KINDS.iter().any(|kind| kind.name == name)
    }
}

impl FromArgMatches for PortSpec {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let found = matches.subcommand().and_then(|(name, matches)| {
            let kind = KINDS.iter().find(|kind| kind.name == name)?;
            let (_, parse) = kind.arguments?;
            Some(parse(matches))
        });
        found.unwrap_or_else(|| Err(Error::new(ErrorKind::MissingSubcommand)))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
