//! Passwords from whoever started the program. They are never echoed.

use std::io::{self, IsTerminal as _};

use anyhow::{Context as _, Result, bail};

/// Asks for a password on the terminal, without echo; reads a line of standard input
/// where that is no terminal.
///
/// # Errors
///
/// Standard input has ended, or the terminal cannot be opened.
pub(crate) fn password(prompt: &str) -> Result<String> {
    if io::stdin().is_terminal() {
        return rpassword::prompt_password(prompt)
            .context("cannot prompt for a password on the terminal; give it on standard input");
    }
    first_line(&mut io::stdin().lock(), prompt)
}

/// The next line, without its end. Reads no further: another password may follow.
fn first_line(input: &mut impl io::BufRead, prompt: &str) -> Result<String> {
    let mut line = String::new();
    let read = input.read_line(&mut line).context("standard input cannot be read")?;
    if read == 0 {
        bail!("standard input has ended before \"{prompt}\": give a line with the password");
    }
    let password = line.strip_suffix('\n').unwrap_or(&line);
    Ok(password.strip_suffix('\r').unwrap_or(password).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_password_is_a_line_and_the_last_needs_no_end() {
        let mut input = " a:b \r\nsecond".as_bytes();
        assert_eq!(first_line(&mut input, "x").expect("first"), " a:b ");
        assert_eq!(first_line(&mut input, "x").expect("second"), "second");
        let error = first_line(&mut input, "Client Password: ").expect_err("ended");
        assert!(error.to_string().contains("Client Password: "));
    }
}
