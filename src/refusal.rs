//! Why a request was not carried out, whoever asked: a client of control, `ctl`'s own
//! arguments, the configuration file. It is a value: it knows no request and no answer.

use std::fmt;

use etherws_actors::{control::ControlError, error::one_line, fdb::FdbError};
use jsonrpsee_types::{ErrorCode, ErrorObjectOwned};

/// Why a request was not carried out. Shown as `Exception: text`, in the names of
/// Python's exceptions, as in etherws 1.3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    exception: &'static str,
    text: String,
}

impl Refusal {
    /// `text` names thing, value and way out in one line.
    pub(crate) fn new(exception: &'static str, text: impl Into<String>) -> Self {
        Self { exception, text: text.into() }
    }

    /// What it says, without the name of the exception.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The switch has no such port.
    pub(crate) fn no_such_port(port: impl fmt::Display) -> Self {
        Self::new("KeyError", format!("{port}: no such port; listPort shows those there are"))
    }

    /// As the error of a JSON-RPC answer.
    pub(crate) fn with_code(&self, code: ErrorCode) -> ErrorObjectOwned {
        let message = match code {
            // As the specification and 1.3 write it.
            ErrorCode::InvalidRequest => "Invalid Request",
            code => code.message(),
        };
        ErrorObjectOwned::owned(code.code(), message, Some(self.to_string()))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.exception, self.text)
    }
}

impl std::error::Error for Refusal {}

impl From<ControlError> for Refusal {
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::NoSuchPort(port) => Self::no_such_port(port),
            ControlError::Fdb(FdbError::NoSuchPort(port)) => Self::no_such_port(port),
            ControlError::Fdb(FdbError::NoSuchEntry { .. }) => {
                Self::new("KeyError", one_line(&error))
            }
            ControlError::NoInterface { .. } | ControlError::Fdb(_) => {
                Self::new("ValueError", one_line(&error))
            }
            ControlError::Add(_) | ControlError::Interface(_) => {
                Self::new("OSError", one_line(&error))
            }
            ControlError::Mirror(_) | ControlError::SwitchGone(_) => {
                Self::new("RuntimeError", one_line(&error))
            }
        }
    }
}
