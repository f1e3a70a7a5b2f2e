//! Errors on one line.

use std::error::Error;

/// The error and its sources, joined by colons. Every error of this crate names
/// itself without repeating its source, so nothing stands twice.
#[must_use]
pub fn one_line(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
