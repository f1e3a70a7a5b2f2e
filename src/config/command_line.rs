//! What a command line says of the configuration: it is laid over the file, again each time
//! that the file is read.

use std::borrow::Cow;

use clap::{ArgMatches, Command, FromArgMatches as _, parser::ValueSource};

use super::Config;

/// The options of a command, whose ids are the keys of the configuration.
#[derive(Debug, Clone, Default)]
pub(crate) struct CommandLine {
    given: ArgMatches,
    /// Each key that has an option, and the option.
    options: Vec<(String, String)>,
    /// `--debug` stands before the command, as 0.3 has it.
    debug: bool,
}

impl CommandLine {
    /// What was given to `command`.
    pub(crate) fn new(command: &Command, given: ArgMatches) -> Self {
        let options = command.get_arguments().filter_map(|option| {
            Some((option.get_id().to_string(), format!("--{}", option.get_long()?)))
        });
        Self { options: options.collect(), given, debug: false }
    }

    /// With `--debug`, if it was given elsewhere.
    pub(crate) fn debug(self, debug: bool) -> Self {
        Self { debug, ..self }
    }

    /// The configuration with what is given here in the place of what is `below`.
    ///
    /// # Errors
    /// None that the command line had not when it was read first.
    pub(crate) fn over(&self, mut below: Config) -> Result<Config, clap::Error> {
        below.update_from_arg_matches(&self.given)?;
        if self.debug {
            below.log.debug = Some(true);
        }
        Ok(below)
    }

    /// What a key is called in what is told of it: by its option if that gives it, or if
    /// there is no file that could.
    pub(super) fn name<'a>(&'a self, key: &'a str, has_file: bool) -> Cow<'a, str> {
        let option = self.options.iter().find(|(own, _)| own == key);
        match option.filter(|_| !has_file || self.gives(key)) {
            Some((_, option)) => option.into(),
            None => plain(key),
        }
    }

    /// Whether the key has its value from here.
    pub(super) fn gives(&self, key: &str) -> bool {
        self.given.ids().any(|id| id == key)
            && self.given.value_source(key) == Some(ValueSource::CommandLine)
    }
}

/// A key without the indices of its tables: `port.1.mtu` is `port.mtu`.
fn plain(key: &str) -> Cow<'_, str> {
    let is_index = |part: &str| part.bytes().all(|octet| octet.is_ascii_digit());
    if !key.split('.').any(is_index) {
        return key.into();
    }
    key.split('.').filter(|part| !is_index(part)).collect::<Vec<_>>().join(".").into()
}
