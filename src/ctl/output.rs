//! What `ctl` writes: answers to standard output, errors to standard error. Whoever
//! closes the pipe has seen enough; that is no error.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::ColorChoice;
use jsonrpsee_types::ErrorObjectOwned;
use serde_json::Value;

use super::{
    style::{self, Look},
    table,
};
use crate::api::entry::Entries;

/// Both streams, and how to write to them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    /// Whether JSON is wanted instead of tables and texts.
    pub(crate) json: bool,
    /// Look of standard output.
    pub(crate) stdout: Look,
    /// Look of standard error.
    pub(crate) stderr: Look,
}

impl Output {
    pub(crate) fn new(json: bool, color: ColorChoice) -> Self {
        Self { json, stdout: Look::stdout(color), stderr: Look::stderr(color) }
    }

    /// Prints an answer.
    pub(crate) fn entries(&self, entries: &Entries) -> ExitCode {
        if self.json {
            return print(&to_json(entries));
        }
        let status = print(&table::table(entries, self.stdout));
        self.explain(entries);
        status
    }

    /// Says on standard error why ports are not up: the table's columns are those of 1.3.
    fn explain(&self, entries: &Entries) {
        let Entries::Ports(ports) = entries else { return };
        for port in ports {
            if let Some(error) = &port.error {
                let text = format!("Port {}: {}", port.port, self.stderr.safe(error));
                say(&format!("  {}\n", self.stderr.paint(style::WARNING, text)));
            }
        }
    }

    /// Prints why there is no answer.
    pub(crate) fn error(&self, error: &ErrorObjectOwned) {
        say(&if self.json { to_json(error) } else { error_lines(error, self.stderr) });
    }
}

/// Writes to standard output, all of it at once, and gives the exit status.
pub(crate) fn print(text: &str) -> ExitCode {
    ended(write(text))
}

/// Writes to standard output, all of it at once.
pub(crate) fn write(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// The exit status of a program that has written to standard output.
pub(crate) fn ended(written: io::Result<()>) -> ExitCode {
    match written {
        // Whoever read it has seen enough: `ctl listfdb | head`.
        Err(err) if err.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(err) => {
            say(&format!("etherws: standard output cannot be written: {err}\n"));
            ExitCode::FAILURE
        }
        Ok(()) => ExitCode::SUCCESS,
    }
}

/// Writes to standard error. Nobody is left to be told if that is closed.
pub(crate) fn say(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

pub(crate) fn to_json(value: &impl serde::Serialize) -> String {
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text
}

/// JSON in one line, for streams.
pub(crate) fn to_json_line(value: &impl serde::Serialize) -> String {
    let mut text = serde_json::to_string(value).unwrap_or_default();
    text.push('\n');
    text
}

/// Two lines, as 1.3 prints them.
fn error_lines(error: &ErrorObjectOwned, look: Look) -> String {
    let head = format!("{} ({})", error.message(), error.code());
    let data = error_text(error);
    format!("  {}\n    {}\n", look.paint(style::BAD, head), look.safe(&data))
}

/// What an error says in its `data`.
pub(crate) fn error_text(error: &ErrorObjectOwned) -> String {
    match error.data().map(|data| serde_json::from_str(data.get())) {
        Some(Ok(Value::String(text))) => text,
        Some(Ok(other)) => other.to_string(),
        Some(Err(_)) | None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_two_lines_whatever_its_data() {
        let error = |data| ErrorObjectOwned::owned(-32602, "Invalid params", data);
        assert_eq!(
            error_lines(&error(Some(Value::from("KeyError: 2"))), Look::PLAIN),
            "  Invalid params (-32602)\n    KeyError: 2\n"
        );
        assert_eq!(error_lines(&error(None), Look::PLAIN), "  Invalid params (-32602)\n    \n");
    }

    #[test]
    fn a_closed_pipe_is_no_failure_and_a_full_disk_is() {
        let of = |kind: io::ErrorKind| format!("{:?}", ended(Err(kind.into())));
        assert_eq!(of(io::ErrorKind::BrokenPipe), format!("{:?}", ExitCode::SUCCESS));
        assert_eq!(of(io::ErrorKind::StorageFull), format!("{:?}", ExitCode::FAILURE));
    }
}
