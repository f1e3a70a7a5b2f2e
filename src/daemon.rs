//! Without `--foreground` the command becomes a daemon: it starts its own binary
//! again in a session of its own, and ends when that one serves.
//!
//! Started again instead of forked: a fork wants a process without threads, and
//! `unsafe`. This comes first in `main`, before logging and the runtime, because
//! both processes run everything up to here.

use std::{
    env,
    ffi::OsStr,
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    net::Shutdown,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::net::UnixStream,
        unix::process::{CommandExt as _, ExitStatusExt as _},
    },
    process::{self, Child, Command, ExitCode, ExitStatus, Stdio},
};

use anyhow::Context as _;
use nix::{
    sys::stat::{Mode, umask},
    unistd::{chdir, dup2_stderr, dup2_stdin, dup2_stdout, getppid, setsid},
};

/// Tells the second process that it is the daemon: the id of the first one. It only counts
/// if that is the parent: a process that the daemon starts may inherit it.
const MARKER: &str = "ETHERWS_DAEMON_OF";

/// What the daemon writes when it serves. Any octet would do; the end of the pipe
/// without one says that the daemon has ended first.
const READY: u8 = b'R';

/// Files of the daemon are not for others to write. The original takes 0.
const UMASK: Mode = Mode::from_bits_truncate(0o022);

/// Which of the two processes this is.
#[derive(Debug)]
pub(crate) enum Role {
    /// The command: the daemon serves, or has failed and said why; end with this.
    Parent(ExitCode),
    /// The daemon: serve, then announce it. With what the command has handed over.
    Child(Ready, String),
}

/// Reports that the daemon serves. Dropped before, it reports that the daemon failed.
#[derive(Debug)]
pub(crate) struct Ready {
    /// In place of standard error and output afterwards.
    null: File,
    socket: UnixStream,
}

/// Starts the daemon and waits until it serves; in the daemon, leaves the caller's
/// session. The daemon keeps standard output, standard error and the working
/// directory until [`Ready::announce`], so that its errors are seen and relative
/// paths mean what the user meant.
///
/// `handover` is only called in the command, which has the terminal; its result reaches the
/// daemon through a private socket.
///
/// # Errors
/// The daemon cannot be started. Its own failures are in the exit code.
pub(crate) fn detach(handover: impl FnOnce() -> anyhow::Result<String>) -> anyhow::Result<Role> {
    let parent = getppid().to_string();
    if env::var_os(MARKER).is_some_and(|value| value == OsStr::new(&parent)) {
        let (ready, handed) = child().context("cannot become a daemon")?;
        return Ok(Role::Child(ready, handed));
    }
    let handover = handover()?;
    let binary = env::current_exe()
        .context("cannot find this program's own file to start the daemon; try --foreground")?;
    let mut args = env::args_os();
    let mut daemon = Command::new(&binary);
    if let Some(name) = args.next() {
        daemon.arg0(name);
    }
    daemon.args(args);
    parent_of(daemon, &handover)
        .with_context(|| format!("cannot start {} as a daemon; try --foreground", binary.display()))
        .map(Role::Parent)
}

/// Starts the daemon and gives the exit code once it serves or has ended.
fn parent_of(mut daemon: Command, handover: &str) -> io::Result<ExitCode> {
    let (mut ours, theirs) = UnixStream::pair()?;
    // The socket goes over as standard input, which a daemon has no other use for:
    // all other descriptors of ours are closed on exec.
    let mut child = daemon
        .env(MARKER, process::id().to_string())
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .spawn()?;
    // It holds our copy of the socket's other end, which would never let it end.
    drop(daemon);

    // A daemon that has ended already reads nothing; its failure is reported below.
    let _ = ours.write_all(handover.as_bytes()).and_then(|()| ours.shutdown(Shutdown::Write));
    let mut octet = [0];
    match ours.read_exact(&mut octet) {
        Ok(()) if octet == [READY] => Ok(ExitCode::SUCCESS),
        _ => failed(&mut child),
    }
}

/// The exit code for a daemon that ended before it served. It has written why.
fn failed(child: &mut Child) -> io::Result<ExitCode> {
    let status = child.wait()?;
    if status.success() || status.code().is_none() {
        // Standard error may be closed: that is no reason to panic.
        let _ = writeln!(io::stderr(), "etherws: the daemon ended before it was ready: {status}");
    }
    Ok(ExitCode::from(code_of(status)))
}

/// Never 0: a daemon that ended is a failure.
fn code_of(status: ExitStatus) -> u8 {
    // 128 + signal, as shells have it.
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).filter(|&code| code != 0).unwrap_or(1)
}

/// Leaves the caller's session and takes the socket from standard input.
fn child() -> anyhow::Result<(Ready, String)> {
    let null = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")
        .context("cannot open /dev/null")?;
    let mut socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut handed = String::new();
    socket.read_to_string(&mut handed)?;
    dup2_stdin(&null)?;
    setsid()?;
    umask(UMASK);
    Ok((Ready { null, socket }, handed))
}

impl Ready {
    /// Lets go of standard output, standard error and the working directory, and
    /// tells the command that this daemon serves. Files opened later need
    /// absolute paths.
    ///
    /// # Errors
    /// The command was interrupted and no longer waits: end as well.
    pub(crate) fn announce(self) -> anyhow::Result<()> {
        chdir("/").context("cannot change to the directory /")?;
        // Before the announcement, so that who reads the command's output sees
        // its end when the command ends.
        dup2_stdout(&self.null)?;
        dup2_stderr(&self.null)?;
        announce(&self.socket)
    }
}

fn announce(mut socket: &UnixStream) -> anyhow::Result<()> {
    socket.write_all(&[READY]).context("the command that started this daemon is gone")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use nix::unistd::{getsid, mkfifo};

    use super::*;

    /// The pipe into which the daemon of the test below writes what has become of it.
    const REPORT: &str = "ETHERWS_TEST_DAEMON_REPORT";

    fn shell(script: &str) -> ExitCode {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        parent_of(command, "").unwrap()
    }

    #[test]
    fn daemon_serves_in_a_session_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let report = dir.path().join("report");
        // This test binary again, for the one test that is a daemon.
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--ignored", "--exact", "daemon::tests::the_daemon_itself"]);
        command.env(REPORT, &report).stdout(Stdio::piped());
        mkfifo(&report, Mode::S_IRWXU).unwrap();
        assert_eq!(parent_of(command, "handed over").unwrap(), ExitCode::SUCCESS);

        let expected = "leads its session: true\nworks in: /\nfiles of mode: 644\n\
            0: /dev/null\n1: /dev/null\n2: /dev/null\n";
        assert_eq!(fs::read_to_string(report).unwrap(), expected);
    }

    #[test]
    #[ignore = "only as the daemon of the test above"]
    fn the_daemon_itself() {
        use std::{fmt::Write as _, os::unix::fs::PermissionsExt as _};
        let Some(report) = env::var_os(REPORT) else { return };
        let Role::Child(ready, handed) = detach(|| panic!("asked in the daemon")).unwrap() else {
            panic!("not told that it is one")
        };
        assert_eq!(handed, "handed over");
        ready.announce().unwrap();

        let leads = getsid(None).unwrap().as_raw().unsigned_abs() == process::id();
        let part = report.to_str().unwrap().to_owned() + ".part";
        fs::write(&part, "").unwrap();
        let mode = fs::metadata(&part).unwrap().permissions().mode() & 0o777;
        let cwd = env::current_dir().unwrap();
        let mut text = format!(
            "leads its session: {leads}\nworks in: {}\nfiles of mode: {mode:o}\n",
            cwd.display()
        );
        for fd in 0..3 {
            let target = fs::read_link(format!("/proc/self/fd/{fd}")).unwrap();
            writeln!(text, "{fd}: {}", target.display()).unwrap();
        }
        fs::write(report, text).unwrap();
    }

    #[test]
    fn parent_ends_well_at_the_announcement_not_at_the_daemons_end() {
        assert_eq!(shell("printf R >&0; exec 0>&-; exit 3"), ExitCode::SUCCESS);
    }

    #[test]
    fn parent_gives_on_the_status_of_a_daemon_that_failed() {
        assert_eq!(shell("exit 7"), ExitCode::from(7));
        assert_eq!(shell("kill -9 $$"), ExitCode::from(128 + 9));
        assert_eq!(shell("exit 0"), ExitCode::from(1), "a daemon that ended is none");
        assert_eq!(shell("printf x >&0"), ExitCode::from(1), "not what a daemon says");
    }

    #[test]
    fn daemon_is_told_whose_it_is() {
        let script = format!("test \"${MARKER}\" = $PPID && printf R >&0");
        assert_eq!(shell(&script), ExitCode::SUCCESS);
    }

    #[test]
    fn missing_binary_is_an_error() {
        assert!(parent_of(Command::new("/nonexistent/etherws"), "").is_err());
    }

    #[test]
    fn announcement_to_nobody_is_an_error_before_anything_is_served() {
        let (command, daemon) = UnixStream::pair().unwrap();
        drop(command);
        let error = announce(&daemon).unwrap_err();
        assert!(error.to_string().contains("is gone"), "{error}");
    }
}
