//! What the tests stand on: the real binary as a child process, network namespaces,
//! foreign programs, and raw HTTP and WebSocket. Nothing here knows what a test is
//! about; nothing outlives its test, and nothing uses a port number fixed beforehand.

pub(crate) mod browser;
pub(crate) mod certs;
pub(crate) mod http;
pub(crate) mod lab;
pub(crate) mod peers;
pub(crate) mod process;
pub(crate) mod relay;
pub(crate) mod switch;
pub(crate) mod ws;

use std::{
    io::Write,
    net::{IpAddr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

/// Longer than any single step takes on a busy machine of two cores; a test that
/// waits this long has failed.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// Pause between two looks at a condition: short beside a process's start.
const POLL: Duration = Duration::from_millis(5);

/// Waits until `look` gives something. The one place where a test pauses.
pub(crate) fn wait_within<T>(
    limit: Duration,
    what: &str,
    mut look: impl FnMut() -> Option<T>,
) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < limit, "waited {limit:?} in vain for {what}");
        #[expect(clippy::disallowed_methods, reason = "a poll with a limit")]
        thread::sleep(POLL);
    }
}

/// [`wait_within`] the usual [`LIMIT`].
pub(crate) fn wait_for<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    wait_within(LIMIT, what, look)
}

/// Waits for a condition.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    wait_for(what, || holds().then_some(()));
}

/// A folder of its own for a test, gone with it.
#[derive(Debug)]
pub(crate) struct TempDir(PathBuf);

impl TempDir {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file and gives its absolute path.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, content).unwrap();
        self.at(name)
    }

    /// Absolute path of `name`.
    pub(crate) fn at(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        // A folder that stays behind harms nobody: `target/` is ours.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Says that a test was not run and why, and notes it for `make test`'s summary.
pub(crate) fn skipped(test: &str, reason: &str) {
    let line = format!("SKIPPED: {test}: {reason}\n");
    print!("{line}");
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("skipped");
    let mut file = std::fs::File::options().create(true).append(true).open(file).unwrap();
    file.write_all(line.as_bytes()).unwrap();
}

/// Takes what a test needs, or ends the test as skipped.
macro_rules! need {
    ($wanted:expr) => {
        match $wanted {
            Ok(wanted) => wanted,
            Err(reason) => {
                return crate::support::skipped(
                    concat!(module_path!(), " line ", line!()),
                    &reason.to_string(),
                );
            }
        }
    };
}
pub(crate) use need;

/// A port that is free on a loopback address of this process's own, where no other test asks for
/// one.
pub(crate) fn free_address() -> SocketAddr {
    let [.., high, middle, low] = std::process::id().to_be_bytes();
    // Process numbers have 22 bits. Below 127.128 are the addresses that tests write down.
    let own = [127, high | 0x80, middle, low];
    TcpListener::bind((IpAddr::from(own), 0)).unwrap().local_addr().unwrap()
}

/// Octets of hexadecimal digits.
pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digit = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digit).collect()
}

/// Hexadecimal digits of octets.
pub(crate) fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// A frame from MAC address `02:00:00:00:00:<from>` to `...:<to>`, or to everybody
/// if `to` is 255, that carries `payload`. Its EtherType is one for experiments
/// (IEEE 802, 9.2.3), which no network stack answers.
pub(crate) fn frame(to: u8, from: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = if to == 255 { vec![0xff; 6] } else { vec![2, 0, 0, 0, 0, to] };
    frame.extend([2, 0, 0, 0, 0, from, 0x88, 0xb5]);
    frame.extend(payload);
    frame
}
