//! How much memory there is for this process, and what the allocator holds and nobody uses:
//! after a peak it goes back to the system. glibc keeps all that stands below one block in
//! use, a gigabyte after a thousand sessions.
#![allow(unsafe_code)]

use std::{fs, path::Path, time::Duration};

use nix::sys::resource::{Resource, getrlimit};
use tokio::task::spawn_blocking;

use crate::tick;

/// Time between two looks, so that a peak is over within a minute.
const INTERVAL: Duration = Duration::from_secs(20);

/// Octets that are worth it: less costs nobody anything, and giving it back takes
/// milliseconds in which others may wait for memory.
#[cfg(target_env = "gnu")]
const WORTH: usize = 32 * 1024 * 1024;

/// Octets of memory that this process can have: what the machine has, or less where its
/// cgroup, one above that, or a limit of its address space says so. `None`: nobody says.
#[must_use]
pub fn available() -> Option<usize> {
    let machine = fs::read_to_string("/proc/meminfo").ok();
    let machine = machine.as_deref().and_then(|text| {
        let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        total.trim().strip_suffix(" kB")?.parse::<usize>().ok()?.checked_mul(1024)
    });
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = [Resource::RLIMIT_AS, Resource::RLIMIT_DATA].into_iter().filter_map(|limit| {
        let (soft, _) = getrlimit(limit).ok()?;
        (soft != nix::libc::RLIM_INFINITY).then(|| usize::try_from(soft).unwrap_or(usize::MAX))
    });
    machine.into_iter().chain(of_groups(Path::new("/sys/fs/cgroup"), &groups)).chain(limits).min()
}

/// The limits of the groups that `/proc/self/cgroup` names and of those above them, in version
/// 2 and 1.
fn of_groups(root: &Path, groups: &str) -> Vec<usize> {
    let mut limits = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let (root, file) = match controllers {
            "" => (root.to_owned(), "memory.max"),
            of if of.split(',').any(|one| one == "memory") => {
                (root.join("memory"), "memory.limit_in_bytes")
            }
            _ => continue,
        };
        // "max" is none, and in a container the path may be that outside of it.
        let group = root.join(path.trim_start_matches('/'));
        let above = group.ancestors().take_while(|path| path.starts_with(&root));
        let read =
            |path: &Path| fs::read_to_string(path.join(file)).ok()?.trim().parse::<usize>().ok();
        limits.extend(above.filter_map(read));
    }
    limits
}

/// Gives memory back when there is much that nobody uses, again and again. Looks on a thread
/// where no frame waits for it.
pub async fn give_back() {
    let mut ticks = tick::every(INTERVAL);
    loop {
        ticks.tick().await;
        // Of a small program there is not that much to give back: no thread is woken.
        if may_have_peaked() && spawn_blocking(look).await.is_err() {
            return;
        }
    }
}

#[cfg(target_env = "gnu")]
fn look() {
    if idle().is_some_and(|idle| idle > WORTH) {
        // SAFETY: it takes no pointer, and moves nothing that is in use.
        unsafe { nix::libc::malloc_trim(0) };
    }
}

#[cfg(target_env = "gnu")]
fn may_have_peaked() -> bool {
    resident().is_some_and(|octets| octets > WORTH)
}

/// Others give it back themselves.
#[cfg(not(target_env = "gnu"))]
fn look() {}

#[cfg(not(target_env = "gnu"))]
const fn may_have_peaked() -> bool {
    false
}

/// Octets that are resident, without those of files.
#[cfg(target_env = "gnu")]
fn resident() -> Option<usize> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let mut pages = statm.split(' ').skip(1).map(|pages| pages.parse::<usize>().ok());
    let (resident, shared) = (pages.next()??, pages.next()??);
    // SAFETY: it takes no pointer.
    let page = unsafe { nix::libc::sysconf(nix::libc::_SC_PAGESIZE) };
    resident.checked_sub(shared)?.checked_mul(usize::try_from(page).ok()?)
}

/// Octets of these that nobody has asked for.
#[cfg(target_env = "gnu")]
fn idle() -> Option<usize> {
    // SAFETY: it takes no pointer.
    let heap = unsafe { nix::libc::mallinfo2() };
    resident()?.checked_sub(heap.uordblks + heap.hblkhd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_limit_of_a_group_and_those_above_it_counts() {
        let machine = available().expect("Linux says");
        assert!(machine > 1024 * 1024, "{machine}");
        let root = std::env::temp_dir().join(format!("etherws-cgroup-{}", std::process::id()));
        let group = root.join("system.slice/etherws.service");
        for (path, limit) in [(root.join("memory/docker"), "7000"), (group.clone(), "max\n")] {
            fs::create_dir_all(&path).expect("a folder");
            fs::write(path.join("memory.max"), limit).expect("a file");
        }
        fs::write(root.join("system.slice/memory.max"), "5000\n").expect("a file");
        fs::write(root.join("memory/docker/memory.limit_in_bytes"), "6000\n").expect("a file");
        let of = |groups| of_groups(&root, groups);
        assert_eq!(of("0::/system.slice/etherws.service\n"), [5000]);
        assert_eq!(of("12:cpu,memory:/docker/cut/off\n3:pids:/system.slice\n"), [6000]);
        assert_eq!(of("0::/\nodd"), [0; 0]);
        fs::remove_dir_all(root).expect("it is ours");
    }

    #[cfg(target_env = "gnu")]
    #[test]
    fn what_a_peak_took_is_given_back_although_its_last_block_is_in_use() {
        let mut peak: Vec<_> = (0..100_000).map(|_| vec![1_u8; 1000]).collect();
        let last = peak.pop();
        drop(peak);
        let before = idle().expect("Linux says");
        assert!(before > WORTH, "{before} octets");
        look();
        let after = idle().expect("Linux says");
        assert!(after < WORTH / 2, "{after} octets of {before}");
        assert!(last.is_some());
    }
}
