//! Child processes that end with the test, and what they have printed: shown when
//! the test fails. Nothing here waits without a limit.

use std::{
    ffi::{OsStr, OsString},
    io::{BufRead, BufReader, Read, Write},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread,
};

use nix::{
    sys::signal::{self, Signal},
    unistd::Pid,
};

use super::{wait_for, wait_within};

/// Variables of the environment that would lead a test astray.
const FOREIGN_VARIABLES: [&str; 11] = [
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "all_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "SSL_CERT_FILE",
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
];

/// Where a process runs: here, or in a network namespace.
#[derive(Debug, Clone, Default)]
pub(crate) struct Site {
    prefix: Vec<OsString>,
}

impl Site {
    /// The machine itself; loopback only, please.
    pub(crate) fn here() -> Self {
        Self::default()
    }

    /// Behind a program that runs another one, such as nsenter.
    pub(crate) fn behind<T: Into<OsString>>(prefix: impl IntoIterator<Item = T>) -> Self {
        Self { prefix: prefix.into_iter().map(Into::into).collect() }
    }

    /// The same place, behind one more program.
    pub(crate) fn then<T: Into<OsString>>(&self, more: impl IntoIterator<Item = T>) -> Self {
        let more = more.into_iter().map(Into::into);
        Self { prefix: self.prefix.iter().cloned().chain(more).collect() }
    }

    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut words = self.prefix.iter().map(OsString::as_os_str).chain([program.as_ref()]);
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words);
        for name in FOREIGN_VARIABLES {
            command.env_remove(name);
        }
        command
    }
}

/// The lines that a stream has given so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    /// The thread ends with the stream.
    fn collect(stream: impl Read + Send + 'static) -> (Self, thread::JoinHandle<()>) {
        let lines = Self::default();
        let kept = lines.clone();
        let reader = thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                kept.0.lock().unwrap().push(String::from_utf8_lossy(&line).into_owned());
            }
        });
        (lines, reader)
    }

    pub(crate) fn find<T>(&self, mut look: impl FnMut(&str) -> Option<T>) -> Option<T> {
        self.0.lock().unwrap().iter().find_map(|line| look(line))
    }

    pub(crate) fn contains(&self, text: &str) -> bool {
        self.find(|line| line.contains(text).then_some(())).is_some()
    }

    pub(crate) fn text(&self) -> String {
        self.0.lock().unwrap().join("\n")
    }

    /// Takes the oldest line, waiting for it.
    pub(crate) fn next(&self, what: &str) -> String {
        wait_for(what, || {
            let mut lines = self.0.lock().unwrap();
            (!lines.is_empty()).then(|| lines.remove(0))
        })
    }
}

/// A running process. It is killed when this goes.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    pub(crate) stdout: Lines,
    pub(crate) stderr: Lines,
    readers: [thread::JoinHandle<()>; 2],
}

impl Process {
    pub(crate) fn start(mut command: Command) -> Self {
        let name = name(&command);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let (stdout, out) = Lines::collect(child.stdout.take().unwrap());
        let (stderr, err) = Lines::collect(child.stderr.take().unwrap());
        Self { name, stdin: child.stdin.take(), child, stdout, stderr, readers: [out, err] }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Writes a line to the process's standard input.
    pub(crate) fn tell(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("standard input is open");
        writeln!(stdin, "{line}").unwrap();
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid().try_into().unwrap());
        signal::kill(pid, signal).unwrap();
    }

    /// Its status, once it has ended and all that it has said is in `stdout`
    /// and `stderr`.
    pub(crate) fn exited(&mut self) -> Option<ExitStatus> {
        let status = self.child.try_wait().unwrap();
        status.filter(|_| self.readers.iter().all(thread::JoinHandle::is_finished))
    }

    /// Waits until it has `exited`.
    pub(crate) fn wait_exit(&mut self) -> ExitStatus {
        let name = format!("the end of {}", self.name);
        wait_for(&name, || self.exited())
    }

    /// `kill -9`, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            eprintln!("--- {}", self.name);
            eprintln!("--- stdout\n{}\n--- stderr\n{}", self.stdout.text(), self.stderr.text());
        }
    }
}

/// Program and arguments, without what was changed in the environment.
fn name(command: &Command) -> String {
    let words = [command.get_program()].into_iter().chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

/// What a process that has ended left behind.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Output {
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self
    }

    /// Asserts that it ended with an error.
    pub(crate) fn failed(self) -> Self {
        assert!(self.code.is_some_and(|code| code != 0), "{self:#?}");
        self
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

/// Runs a process to its end.
pub(crate) fn run(command: Command) -> Output {
    run_with(command, b"")
}

/// Runs a process to its end with `input` on its standard input.
pub(crate) fn run_with(command: Command, input: &[u8]) -> Output {
    run_within(super::LIMIT, command, input)
}

/// Runs a process that may take its time.
pub(crate) fn run_within(limit: std::time::Duration, mut command: Command, input: &[u8]) -> Output {
    let name = name(&command);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    // A process that has no use for its input may be gone already.
    let _ = child.stdin.take().unwrap().write_all(input);
    let stdout = drain(child.stdout.take().unwrap());
    let stderr = drain(child.stderr.take().unwrap());
    let mut child = KillOnDrop(child);
    let what = format!("the end of {name}");
    let status = wait_within(limit, &what, || child.0.try_wait().unwrap());
    // A daemon that kept a stream open would keep us here.
    wait_within(limit, &what, || (stdout.is_finished() && stderr.is_finished()).then_some(()));
    Output { code: status.code(), stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
}

fn drain(mut stream: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut octets = Vec::new();
        let _ = stream.read_to_end(&mut octets);
        String::from_utf8_lossy(&octets).into_owned()
    })
}

struct KillOnDrop(Child);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a process uses of the system.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    /// Memory.
    pub(crate) resident_kib: u64,
    /// Open files, sockets and the like.
    pub(crate) descriptors: usize,
    pub(crate) threads: u64,
}

/// What the process `pid` uses now.
pub(crate) fn usage(pid: u32) -> Usage {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let number = |name: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        value.split_whitespace().next().unwrap().parse().unwrap()
    };
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    Usage { resident_kib: number("VmRSS:"), descriptors, threads: number("Threads:") }
}
