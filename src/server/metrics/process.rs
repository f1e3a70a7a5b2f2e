//! What the process takes of its machine, by the names that Prometheus' own clients give
//! it. Read from the kernel when somebody asks.

use std::{fs, time::Duration};

use jiff::Timestamp;
use nix::sys::{
    resource::{Resource, UsageWho, getrlimit, getrusage},
    time::TimeVal,
};

/// The process at one moment; what the kernel does not tell is missing.
#[derive(Debug)]
pub(super) struct Process {
    /// Time of the processor, in user and system mode.
    pub(super) cpu: Option<Duration>,
    /// Octets of memory that are resident.
    pub(super) resident: Option<u64>,
    /// File descriptors in use.
    pub(super) descriptors: Option<u64>,
    /// File descriptors that there may be.
    pub(super) max_descriptors: Option<u64>,
    /// When the program began to serve.
    pub(super) started: Timestamp,
}

impl Process {
    pub(super) fn measure(started: Timestamp) -> Self {
        let cpu = getrusage(UsageWho::RUSAGE_SELF).ok();
        Self {
            cpu: cpu.map(|usage| duration(usage.user_time()) + duration(usage.system_time())),
            resident: fs::read_to_string("/proc/self/status").ok().as_deref().and_then(resident),
            descriptors: fs::read_dir("/proc/self/fd").ok().map(|list| list.count() as u64),
            max_descriptors: getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(soft, _)| soft),
            started,
        }
    }
}

fn duration(time: TimeVal) -> Duration {
    let [seconds, micros] = [time.tv_sec(), time.tv_usec()].map(u64::try_from);
    Duration::from_secs(seconds.unwrap_or(0)) + Duration::from_micros(micros.unwrap_or(0))
}

/// Octets, from the line `VmRSS:    1234 kB`.
fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_all_of_a_process() {
        let process = Process::measure(Timestamp::now());
        assert!(process.cpu.is_some_and(|cpu| !cpu.is_zero()));
        assert!(process.resident.is_some_and(|octets| octets > 100_000));
        assert!(process.descriptors < process.max_descriptors && process.descriptors > Some(3));
    }
}
