//! Checks of the machine: the device that TAP devices come from, what this process may
//! do, how many files it may open, and its clock.

use std::{
    collections::HashSet,
    fs::{self, OpenOptions},
    io,
    path::Path,
};

use caps::{CapSet, Capability};
use etherws_actors::sys::inspect;
use nix::{
    errno::Errno,
    sys::resource::{Resource, getrlimit},
};

use super::{Finding, Subject};
use crate::options::DEFAULT_MAX_SESSIONS;

/// Where TAP devices come from.
const TUN: &str = "/dev/net/tun";

/// Descriptors besides those of sessions: listeners, control, devices, log files.
const OTHER_DESCRIPTORS: u64 = 128;

/// The port that everybody may listen on, unless the system says otherwise.
const FIRST_FREE_PORT: u16 = 1024;

pub(super) fn look(subject: &Subject) -> Vec<Finding> {
    let held = caps::read(None, CapSet::Effective).unwrap_or_default();
    let free = read("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    let free = free.and_then(|text| text.parse().ok()).unwrap_or(FIRST_FREE_PORT);
    let uid_map = read("/proc/self/uid_map").unwrap_or_default();
    let low = subject.listen.iter().copied().filter(|port| *port < free && *port > 0).min();
    let mut findings = vec![tun(Path::new(TUN))];
    findings.push(capabilities(&held));
    findings.extend(low.map(|port| low_port(port, &held)));
    findings.extend(user_namespace(&uid_map));
    findings.push(descriptors(getrlimit(Resource::RLIMIT_NOFILE).map(|(_, hard)| hard)));
    findings.push(clock(inspect::clock_is_synchronized()));
    findings
}

/// A file of /proc, without its last line's end.
pub(super) fn read(path: impl AsRef<Path>) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// Whether TAP devices can be made. Opening it makes none yet.
fn tun(path: &Path) -> Finding {
    let name = path.display();
    match OpenOptions::new().read(true).write(true).open(path) {
        Ok(_) => Finding::ok("tun", format!("{name} can be opened: tap ports can be made")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Finding::fail(
            "tun",
            format!("{name} is missing: there can be no tap ports"),
            format!("load the module: modprobe tun; in a container: run it with --device {name}"),
        ),
        Err(error) if error.raw_os_error() == Some(Errno::ENODEV as i32) => Finding::fail(
            "tun",
            format!("{name} is there, but the kernel has no driver for it"),
            "load the module: modprobe tun; after an upgrade of the kernel: reboot",
        ),
        Err(error) => Finding::fail(
            "tun",
            format!("{name} cannot be opened: {error}"),
            "give it back its mode: chmod 666; in a container or a service: allow the device \
             (--device, DeviceAllow=, no PrivateDevices=)",
        ),
    }
}

/// What ports need, of a switch that is started as we are.
fn capabilities(held: &HashSet<Capability>) -> Finding {
    let needed = [
        (Capability::CAP_NET_ADMIN, "tap ports and setif"),
        (Capability::CAP_NET_RAW, "netdev ports"),
    ];
    let lacking: Vec<_> =
        needed.iter().filter(|(capability, _)| !held.contains(capability)).collect();
    if lacking.is_empty() {
        return Finding::ok("capabilities", "this user may make tap and netdev ports");
    }
    let text = lacking.iter().map(|(capability, what)| format!("{capability} for {what}"));
    Finding::warn(
        "capabilities",
        format!("a switch that this user starts lacks {}", text.collect::<Vec<_>>().join(", ")),
        "start it as root (--user lets it give the rest up), as a service, or in a network of \
         its own: unshare -Urn",
    )
}

fn low_port(port: u16, held: &HashSet<Capability>) -> Finding {
    let check = "low-ports";
    if held.contains(&Capability::CAP_NET_BIND_SERVICE) {
        return Finding::ok(check, format!("this user may listen on port {port}"));
    }
    Finding::warn(
        check,
        format!("a switch that this user starts may not listen on port {port}"),
        "it needs CAP_NET_BIND_SERVICE: start it as root or as a service, or use another --port",
    )
}

/// `None` outside of any: all users are there.
fn user_namespace(uid_map: &str) -> Option<Finding> {
    let map: Vec<_> = uid_map.split_whitespace().collect();
    let all = map.is_empty() || map == ["0", "0", "4294967295"];
    (!all).then(|| {
        let text = "this is a user namespace: only devices of its own network can be ports";
        Finding::ok("user-namespace", text)
    })
}

/// `hard` is how many files may be open at most: the program uses all of them.
fn descriptors(hard: nix::Result<u64>) -> Finding {
    let check = "descriptors";
    let wanted = DEFAULT_MAX_SESSIONS as u64 + OTHER_DESCRIPTORS;
    match hard {
        Ok(hard) if hard >= wanted => {
            Finding::ok(check, format!("{hard} files may be open at once"))
        }
        Ok(hard) => Finding::warn(
            check,
            format!("{hard} files may be open at once, {wanted} are needed for all sessions"),
            "raise it: ulimit -Hn, or LimitNOFILE= of the service; or lower --maxsessions",
        ),
        Err(error) => {
            Finding::warn(check, format!("no limit of open files: {error}"), "see ulimit -Hn")
        }
    }
}

fn clock(synchronized: io::Result<bool>) -> Finding {
    let check = "clock";
    let advice = "certificates are valid by the clock: start systemd-timesyncd, chrony or ntpd";
    match synchronized {
        Ok(true) => Finding::ok(check, "the clock is synchronized"),
        Ok(false) => Finding::warn(check, "nothing keeps the clock right", advice),
        Err(error) => {
            Finding::warn(check, format!("the clock's state is not known: {error}"), advice)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Level, *};

    #[test]
    fn a_device_that_is_missing_or_no_device_is_a_fault_with_a_way_out() {
        let missing = tun(Path::new("/no/such/tun"));
        assert_eq!(missing.level, Level::Fail);
        assert!(missing.advice.expect("a way out").contains("modprobe tun"));
        assert_eq!(tun(Path::new("/")).level, Level::Fail);
        assert_eq!(tun(Path::new("/dev/null")).level, Level::Ok);
    }

    #[test]
    fn each_lacking_capability_is_named_with_what_it_is_for() {
        let all = HashSet::from([Capability::CAP_NET_ADMIN, Capability::CAP_NET_RAW]);
        assert_eq!(capabilities(&all).level, Level::Ok);
        let raw = HashSet::from([Capability::CAP_NET_RAW]);
        let finding = capabilities(&raw);
        assert_eq!(finding.level, Level::Warn);
        assert!(finding.text.contains("CAP_NET_ADMIN") && !finding.text.contains("NET_RAW"));
        assert_eq!(low_port(80, &raw).level, Level::Warn);
        let bind = HashSet::from([Capability::CAP_NET_BIND_SERVICE]);
        assert_eq!(low_port(80, &bind).level, Level::Ok);
    }

    #[test]
    fn a_user_namespace_is_known_by_its_map() {
        assert_eq!(user_namespace("         0          0 4294967295"), None);
        assert_eq!(user_namespace(""), None);
        assert!(user_namespace("0 1000 1").is_some());
    }

    #[test]
    fn few_descriptors_and_a_free_running_clock_are_warnings() {
        assert_eq!(descriptors(Ok(1024)).level, Level::Warn);
        assert_eq!(descriptors(Ok(1_048_576)).level, Level::Ok);
        assert_eq!(clock(Ok(true)).level, Level::Ok);
        assert_eq!(clock(Ok(false)).level, Level::Warn);
        assert_eq!(clock(Err(Errno::EPERM.into())).level, Level::Warn);
    }
}
