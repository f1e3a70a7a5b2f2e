//! `proxy-command`: a program whose standard input and output are the connection to the
//! server, for ways that nothing here speaks.
//!
//! It is started for each connection, and ends with it. Only the configuration file may
//! name one.

use std::{
    io,
    os::{fd::OwnedFd, unix::process::CommandExt as _},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use slog::{Logger, warn};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader},
    net::{UnixStream, unix::pipe},
};

use super::{stream::ConnectError, url::ServerUrl};
use crate::core::error::clean;

/// Lines that one run may write to the log, and octets of them: programs say why they end,
/// and some say more.
const MAX_LINES: usize = 20;

/// See [`MAX_LINES`].
const MAX_OCTETS: u64 = 16 * 1024;

/// The last line that the program has written to its standard error.
pub(super) type Said = Arc<Mutex<Option<String>>>;

/// A program at work: killed when this goes.
#[derive(Debug)]
pub struct Program {
    pub(super) stream: UnixStream,
    child: Option<Child>,
}

/// Starts it, with the server in the place of `%h` and `%p`.
pub(super) fn start(
    command: &[String],
    server: &ServerUrl,
    said: &Said,
    log: &Logger,
) -> Result<Program, ConnectError> {
    let mut words = command.iter().map(|word| filled_in(word, server));
    let program = words.next().unwrap_or_default();
    if !is_plain(&server.dialed_host()) {
        let text = "the host's name holds other characters than letters, digits and . - _ : %";
        let source = io::Error::new(io::ErrorKind::InvalidInput, text);
        return Err(ConnectError::Command { program, source });
    }
    let failed = |source| ConnectError::Command { program: program.clone(), source };
    let (near, far) = UnixStream::pair().map_err(failed)?;
    let far = far.into_std().map_err(failed)?;
    // Programs expect what blocks.
    far.set_nonblocking(false).map_err(failed)?;
    let far = OwnedFd::from(far);
    let mut child = Command::new(&program)
        .args(words)
        .stdin(Stdio::from(far.try_clone().map_err(failed)?))
        .stdout(Stdio::from(far))
        .stderr(Stdio::piped())
        // What a terminal sends to the switch is not for it.
        .process_group(0)
        .spawn()
        .map_err(failed)?;
    let stderr = child.stderr.take();
    let running = Program { stream: near, child: Some(child) };
    if let Some(stderr) = stderr {
        let stderr = pipe::Receiver::from_owned_fd(stderr.into()).map_err(failed)?;
        actix_rt::spawn(listen(stderr, program, Arc::clone(said), log.clone()));
    }
    Ok(running)
}

impl Drop for Program {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        // It may have ended by itself.
        let _ = child.kill();
        // At once, or when the kernel can: not for a thread that carries frames to wait for.
        thread::spawn(move || child.wait());
    }
}

/// Writes to the log what the program says.
async fn listen(stderr: impl AsyncRead + Unpin, program: String, said: Said, log: Logger) {
    let mut octets = BufReader::new(stderr);
    let mut lines = (&mut octets).take(MAX_OCTETS).split(b'\n');
    for _ in 0..MAX_LINES {
        let Ok(Some(line)) = lines.next_segment().await else { return };
        let line = clean(&String::from_utf8_lossy(&line));
        if !line.is_empty() {
            warn!(log, "proxy-command: {line}"; "program" => &program);
            *said.lock().unwrap_or_else(PoisonError::into_inner) = Some(line);
        }
    }
    drop(lines);
    // A pipe that nobody reads would stop it.
    let _ = tokio::io::copy(&mut octets, &mut tokio::io::sink()).await;
}

/// Whether a host can be given to a program, be it a shell: its URL may come from whoever may
/// change the port, and the program runs as the switch.
fn is_plain(host: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || ".-_:%".contains(c);
    !host.starts_with('-') && host.chars().all(is_plain)
}

/// The word with the server's host for `%h`, its port for `%p`, and `%` for `%%`.
fn filled_in(word: &str, server: &ServerUrl) -> String {
    let mut filled = String::new();
    let mut rest = word;
    while let Some((before, after)) = rest.split_once('%') {
        filled.push_str(before);
        let (value, length) = match after.as_bytes().first() {
            Some(b'h') => (server.dialed_host(), 1),
            Some(b'p') => (server.port().to_string(), 1),
            Some(b'%') => ("%".to_owned(), 1),
            _ => ("%".to_owned(), 0),
        };
        filled.push_str(&value);
        rest = &after[length..];
    }
    filled + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::url::Scheme;

    #[test]
    fn no_host_is_an_option_or_a_shells_command() {
        for host in ["hub.example.org", "192.0.2.1", "fe80::1%eth0", "a-b_c"] {
            assert!(is_plain(host), "{host}");
        }
        for host in ["-oProxyCommand=x", "$(id)", "a`id`", "x;touch", "a b", "a|b"] {
            assert!(!is_plain(host), "{host}");
        }
    }

    #[test]
    fn the_server_is_filled_in() {
        let server = ServerUrl::parse("wss://[fe80::1%25lo]:81/", Scheme::WebSocket).expect("URL");
        for (word, wanted) in [
            ("%h:%p", "fe80::1%lo:81"),
            ("-W", "-W"),
            ("100%%", "100%"),
            ("%x%", "%x%"),
            ("%%h", "%h"),
        ] {
            assert_eq!(filled_in(word, &server), wanted);
        }
    }
}
