//! What `ctl` writes: answers to standard output, errors to standard error. The one place
//! where it does, so that nothing of others steers a terminal. Whoever
//! closes the pipe has seen enough; that is no error.

use std::{
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
};

use clap::ColorChoice;
use etherws_actors::error::one_line;
use jsonrpsee_types::ErrorObjectOwned;
use serde_json::Value;

use super::{
    style::{self, Look},
    table,
};
use crate::{api::call::Answer, refusal::Refusal};

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

    /// Prints an answer: its table to standard output, since the columns are those of 1.3, and
    /// what else a person is told to standard error.
    pub(crate) fn answer(&self, answer: &Answer) -> ExitCode {
        if self.json {
            return print(&to_json(&answer.json));
        }
        let status = print(&table::table(answer, self.stdout));
        for note in answer.tables.iter().flat_map(|table| &table.notes) {
            let note = self.stderr.paint(style::WARNING, style::clean(note));
            say(&format!("  {note}\n"));
        }
        status
    }

    /// Prints why there is no answer.
    pub(crate) fn error(&self, error: &ErrorObjectOwned) {
        say(&if self.json { to_json(error) } else { error_line(error, self.stderr) });
    }
}

/// Writes to standard output, all of it at once, and gives the exit status.
pub(crate) fn print(text: &str) -> ExitCode {
    ended(write(text))
}

/// Writes to standard output, all of it at once.
pub(crate) fn write(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    let text = if stdout.is_terminal() { style::harmless(text) } else { text.into() };
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// The exit status of a program that has written to standard output.
pub(crate) fn ended(written: io::Result<()>) -> ExitCode {
    match written {
        // Whoever read it has seen enough: `ctl listfdb | head`.
        Err(err) if err.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(err) => {
            say(&format!("etherws: standard output cannot be written: {}\n", one_line(&err)));
            ExitCode::FAILURE
        }
        Ok(()) => ExitCode::SUCCESS,
    }
}

/// Writes to standard error. Nobody is left to be told if that is closed.
pub(crate) fn say(text: &str) {
    let mut stderr = io::stderr().lock();
    let text = if stderr.is_terminal() { style::harmless(text) } else { text.into() };
    let _ = stderr.write_all(text.as_bytes());
}

pub(crate) fn to_json(value: &impl serde::Serialize) -> String {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    format!("{}\n", style::escape(&text))
}

/// JSON in one line, for streams.
pub(crate) fn to_json_line(value: &impl serde::Serialize) -> String {
    let text = serde_json::to_string(value).unwrap_or_default();
    format!("{}\n", style::escape(&text))
}

/// One line, or a text with a place in it. Code and name of the exception are for programs:
/// `--json` has them. What is
/// not one of our sentences is shown with both.
fn error_line(error: &ErrorObjectOwned, look: Look) -> String {
    let data = error_data(error);
    let refusal = Refusal::read(&data);
    let text = match refusal.text() {
        text if text.contains(' ') => text.to_owned(),
        _ => format!("{} ({}): {data}", error.message(), error.code()),
    };
    format!("{} {}\n", look.paint(style::BAD, "etherws:"), style::clean_lines(&text))
}

/// What an error says, in a sentence.
pub(crate) fn error_text(error: &ErrorObjectOwned) -> String {
    style::clean_lines(Refusal::read(&error_data(error)).text())
}

/// What an error says in its `data`.
fn error_data(error: &ErrorObjectOwned) -> String {
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
    fn an_error_is_a_sentence_whatever_its_data() {
        let error = |data| ErrorObjectOwned::owned(-32602, "Invalid params", data);
        for (data, shown) in [
            (Some(Value::from("KeyError: 2: no such port")), "etherws: 2: no such port\n"),
            // Of a 1.3 switch.
            (Some(Value::from("KeyError: 2")), "etherws: Invalid params (-32602): KeyError: 2\n"),
            (
                Some(Value::from("OSError: a\u{1b}[2J b\u{202e}")),
                "etherws: a\u{fffd}[2J b\u{fffd}\n",
            ),
            (None, "etherws: Invalid params (-32602): \n"),
        ] {
            assert_eq!(error_line(&error(data), Look::PLAIN), shown);
        }
    }

    #[test]
    fn a_closed_pipe_is_no_failure_and_a_full_disk_is() {
        let of = |kind: io::ErrorKind| format!("{:?}", ended(Err(kind.into())));
        assert_eq!(of(io::ErrorKind::BrokenPipe), format!("{:?}", ExitCode::SUCCESS));
        assert_eq!(of(io::ErrorKind::StorageFull), format!("{:?}", ExitCode::FAILURE));
    }
}
