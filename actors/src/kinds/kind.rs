//! What a kind of port says of itself, so that it can be asked for by name.
//!
//! The options of a kind are one struct: its fields are the keys of the configuration file,
//! the members of control's params and the options of the command line, and their comments
//! are the help. Nothing else names them.

use std::{fmt, num::NonZero, sync::Arc};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use slog::Logger;

use crate::port::{Medium, PortError};

/// A kind of port that can be asked for by name.
pub trait Kind: Medium + Sized {
    /// The word for it: `type` in the file and in control's params.
    const NAME: &'static str;

    /// What it is, in a few words without a stop.
    const HELP: &'static str = "";

    /// Whether its target is the name of a network interface of this host.
    const INTERFACE: bool = false;

    /// Options that are names of files, which the switch opens.
    const FILES: &'static [&'static str] = &[];

    /// Options that hold a password: they come by control, and never stand in a file.
    const SECRETS: &'static [&'static str] = &[];

    /// Options that only the configuration file may have: who may use control need not be
    /// one who may read every file of the switch.
    const FILE_ONLY: &'static [&'static str] = &[];
    /// All that can be said of one. As JSON it is an object with the text `target`.
    type Options: Clone + fmt::Debug + PartialEq + Serialize + DeserializeOwned + Send + Sync;

    /// What it is to be joined to: with [`NAME`](Self::NAME), what a port of the file is told
    /// by. Must not hold a password.
    fn target(options: &Self::Options) -> &str;

    /// What is wrong with the options, as far as that shows without opening anything but
    /// the file of a password, which is read here. From a file, passwords are wrong.
    fn check(options: &mut Self::Options, from: Via) -> Vec<OptionError> {
        let _ = (options, from);
        Vec::new()
    }

    /// Whether a port with these options takes others while it runs
    /// ([`Medium::change`](crate::port::Medium::change)).
    fn takes(own: &Self::Options, others: &Self::Options) -> bool {
        let _ = (own, others);
        false
    }

    /// The further links of the port that this is the first link of.
    fn further(&self) -> Vec<Further<Self>> {
        Vec::new()
    }

    /// The medium with these options.
    ///
    /// # Errors
    /// Options that cannot work, however often it is tried.
    fn medium(options: Self::Options, context: &Context) -> Result<Self, PortError>;
}

/// Makes a further link of a port, on the thread on which it is to run.
pub type Further<M> = Box<dyn FnOnce() -> M + Send>;

/// What a medium is made with besides its options.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Context {
    /// Where it may log.
    pub log: Logger,
    /// Where it may keep what is to outlast the program.
    pub store: Option<Arc<dyn Store>>,
    /// How many threads the switch has.
    pub threads: NonZero<usize>,
}

/// What outlasts the program without being configuration: values by section and key. Only
/// an aid: what it does not know, or cannot keep, must do no harm.
pub trait Store: fmt::Debug + Send + Sync {
    /// What is kept under `key`.
    fn get(&self, section: &str, key: &str) -> Option<Value>;

    /// Keeps it. May wait for a disk: not for a thread that carries frames. A failure is
    /// told where the store logs.
    fn set(&self, section: &str, key: &str, value: Value);
}

/// Where options come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// Control, or the program itself.
    Control,
    /// The configuration file.
    File,
}

/// An option that cannot be so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct OptionError {
    /// Its name.
    pub key: &'static str,
    /// Names the value and the way out.
    pub text: String,
}

impl OptionError {
    /// An error of the option `key`.
    #[must_use]
    pub fn new(key: &'static str, text: impl Into<String>) -> Self {
        Self { key, text: text.into() }
    }
}
