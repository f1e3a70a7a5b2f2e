//! Checks of the machine: /dev/net/tun, the privileges of this process, its limit of open
//! files, and the clock.

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

/// The first port that needs no privilege, unless the system says otherwise.
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

/// A file of /proc, trimmed.
pub(super) fn read(path: impl AsRef<Path>) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// Whether TAP devices can be created. Opening it creates none.
fn tun(path: &Path) -> Finding {
    let name = path.display();
    match OpenOptions::new().read(true).write(true).open(path) {
        Ok(_) => Finding::ok("tun", format!("{name} can be opened: tap ports are possible")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Finding::fail(
            "tun",
            format!("{name} is missing: tap ports are not possible"),
            format!("load the module with modprobe tun; in a container, add --device {name}"),
        ),
        Err(error) if error.raw_os_error() == Some(Errno::ENODEV as i32) => Finding::fail(
            "tun",
            format!("{name} exists, but the kernel has no driver for it"),
            "load the module with modprobe tun; after a kernel upgrade, reboot",
        ),
        Err(error) => Finding::fail(
            "tun",
            format!("{name} cannot be opened: {error}"),
            "restore its mode with chmod 666; in a container or a service, allow the device \
             (--device, DeviceAllow=, no PrivateDevices=)",
        ),
    }
}

/// What the ports of a switch need that is started as this process was.
fn capabilities(held: &HashSet<Capability>) -> Finding {
    let needed = [
        (Capability::CAP_NET_ADMIN, "tap ports and setif"),
        (Capability::CAP_NET_RAW, "netdev ports"),
    ];
    let lacking: Vec<_> =
        needed.iter().filter(|(capability, _)| !held.contains(capability)).collect();
    if lacking.is_empty() {
        return Finding::ok("capabilities", "this user may open tap and netdev ports");
    }
    let text = lacking.iter().map(|(capability, what)| format!("{capability} for {what}"));
    Finding::warn(
        "capabilities",
        format!("a switch started by this user lacks {}", text.collect::<Vec<_>>().join(", ")),
        "start it as root (--user then drops privileges), as a service, or in a network \
         namespace of its own: unshare -Urn",
    )
}

fn low_port(port: u16, held: &HashSet<Capability>) -> Finding {
    let check = "low-ports";
    if held.contains(&Capability::CAP_NET_BIND_SERVICE) {
        return Finding::ok(check, format!("this user may listen on port {port}"));
    }
    Finding::warn(
        check,
        format!("a switch started by this user cannot listen on port {port}"),
        "it needs CAP_NET_BIND_SERVICE: start it as root or as a service, or use another --port",
    )
}

/// `None` outside of one: all users are mapped.
fn user_namespace(uid_map: &str) -> Option<Finding> {
    let map: Vec<_> = uid_map.split_whitespace().collect();
    let all = map.is_empty() || map == ["0", "0", "4294967295"];
    (!all).then(|| {
        let text =
            "this is a user namespace: only devices in its own network namespace can be ports";
        Finding::ok("user-namespace", text)
    })
}

/// `hard` is the hard limit of open files, which the program raises its own to.
fn descriptors(hard: nix::Result<u64>) -> Finding {
    let check = "descriptors";
    let wanted = DEFAULT_MAX_SESSIONS as u64 + OTHER_DESCRIPTORS;
    match hard {
        Ok(hard) if hard >= wanted => {
            Finding::ok(check, format!("the limit of open files is {hard}"))
        }
        Ok(hard) => Finding::warn(
            check,
            format!("the limit of open files is {hard}; {wanted} are needed for all sessions"),
            "raise it with ulimit -Hn or LimitNOFILE= of the service, or lower --max-sessions",
        ),
        Err(error) => Finding::warn(
            check,
            format!("cannot read the limit of open files: {error}"),
            "see ulimit -Hn",
        ),
    }
}

fn clock(synchronized: io::Result<bool>) -> Finding {
    let check = "clock";
    let advice = "certificates depend on the clock: start systemd-timesyncd, chrony or ntpd";
    match synchronized {
        Ok(true) => Finding::ok(check, "the clock is synchronized"),
        Ok(false) => Finding::warn(check, "the clock is not synchronized", advice),
        Err(error) => {
            Finding::warn(check, format!("cannot read the state of the clock: {error}"), advice)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Level, *};

    #[test]
    fn a_device_that_is_missing_or_not_a_device_is_a_fault_with_advice() {
        let missing = tun(Path::new("/no/such/tun"));
        assert_eq!(missing.level, Level::Fail);
        assert!(missing.advice.expect("advice").contains("modprobe tun"));
        assert_eq!(tun(Path::new("/")).level, Level::Fail);
        assert_eq!(tun(Path::new("/dev/null")).level, Level::Ok);
    }

    #[test]
    fn each_missing_capability_is_named_with_its_use() {
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
    fn a_user_namespace_is_recognized_by_its_map() {
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
