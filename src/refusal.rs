//! Why a request was not carried out, whoever asked: a client of control, `ctl`'s own
//! arguments, the configuration file. It is a value: it knows no request and no answer.

use std::fmt;

use etherws_actors::{
    control::ControlError,
    error::{one_line, plain},
    fdb::FdbError,
    message::SetPortError,
    mirror::PortMirrorError,
};
use jsonrpsee_types::{ErrorCode, ErrorObjectOwned};

/// Gives the exceptions their constructors and, for the wire, their names in Python.
macro_rules! exceptions {
    ($($(#[$doc:meta])* $variant:ident $constructor:ident $name:literal)*) => {
        /// What kind of failure it is, as etherws 1.3 tells them apart.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Exception {
            $($(#[$doc])* $variant,)*
        }

        impl Exception {
            const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }

        impl Refusal {
            $($(#[$doc])*
            pub(crate) fn $constructor(text: impl Into<String>) -> Self {
                Self::new(Exception::$variant, text)
            })*
        }
    };
}

exceptions! {
    /// There is no such method.
    Attribute attribute "AttributeError"
    /// A stream has ended.
    Connection connection "ConnectionError"
    /// The switch answers with another status than 200.
    Http http "HTTPError"
    /// Something is missing, or not there.
    Key key "KeyError"
    /// The system refuses.
    Os os "OSError"
    /// Whoever asks may not.
    Permission permission "PermissionError"
    /// It cannot be done now.
    Runtime runtime "RuntimeError"
    /// It took too long.
    Timeout timeout "TimeoutError"
    /// A value of another type is wanted.
    Type wrong_type "TypeError"
    /// The switch cannot be reached.
    Url url "URLError"
    /// Another value is wanted.
    Value value "ValueError"
}

/// Why a request was not carried out. Shown as `Exception: text`, in the names of
/// Python's exceptions, as in etherws 1.3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    exception: Exception,
    text: String,
}

impl Refusal {
    /// `text` names thing, value and way out in one line.
    pub(crate) fn new(exception: Exception, text: impl Into<String>) -> Self {
        Self { exception, text: plain(text.into()) }
    }

    /// From a text that may begin with the name of an exception; a wrong value otherwise.
    pub(crate) fn read(text: &str) -> Self {
        let exception =
            text.split_once(": ").map(|(name, text)| (Exception::from_name(name), text));
        match exception {
            Some((Some(exception), text)) => Self::new(exception, text),
            _ => Self::value(text),
        }
    }

    /// What it says, without the name of the exception.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The switch has no such port.
    pub(crate) fn no_such_port(port: impl fmt::Display) -> Self {
        Self::key(format!("{port}: no such port; listport shows the ports"))
    }

    /// As an error from before or beside the switch, as 1.3's ctl shows those.
    pub(crate) fn internal(self) -> ErrorObjectOwned {
        self.with_code(ErrorCode::InternalError)
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
        write!(f, "{}: {}", self.exception.name(), self.text)
    }
}

impl std::error::Error for Refusal {}

impl From<ControlError> for Refusal {
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::PortMirror(
                PortMirrorError::NoSuchPort(_) | PortMirrorError::NoSuchMirror(_),
            ) => Self::key(one_line(&error)),
            ControlError::PortMirror(_) => Self::value(one_line(&error)),
            ControlError::Settings(SetPortError::NoSuchPort(port))
            | ControlError::NoSuchPort(port) => Self::no_such_port(port),
            ControlError::Fdb(FdbError::NoSuchPort(port)) => Self::no_such_port(port),
            ControlError::Fdb(FdbError::NoSuchEntry { .. }) => Self::key(one_line(&error)),
            ControlError::NoInterface { .. }
            | ControlError::InterfaceElsewhere { .. }
            | ControlError::NoPing { .. }
            | ControlError::FixedOptions { .. }
            | ControlError::Fdb(_)
            | ControlError::Settings(_) => Self::value(one_line(&error)),
            ControlError::Add(_) | ControlError::Interface(_) => Self::os(one_line(&error)),
            ControlError::Mirror(_) | ControlError::SwitchGone(_) => {
                Self::runtime(one_line(&error))
            }
        }
    }
}
