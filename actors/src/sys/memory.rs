//! Memory that the allocator holds and nobody uses: after a peak it goes back to the system.
//! glibc keeps all that stands below one block in use, a gigabyte after a thousand sessions.
#![allow(unsafe_code)]

use std::time::Duration;

use tokio::{
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};

/// Time between two looks, so that a peak is over within a minute.
const INTERVAL: Duration = Duration::from_secs(20);

/// Octets that are worth it: less costs nobody anything, and giving it back takes
/// milliseconds in which others may wait for memory.
const WORTH: usize = 32 * 1024 * 1024;

/// Gives memory back when there is much that nobody uses, again and again. Looks on a thread
/// where no frame waits for it.
pub async fn give_back() {
    let mut interval = interval(INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        if spawn_blocking(look).await.is_err() {
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

/// Others give it back themselves.
#[cfg(not(target_env = "gnu"))]
fn look() {}

/// Octets that are resident and that nobody has asked for.
#[cfg(target_env = "gnu")]
fn idle() -> Option<usize> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let mut pages = statm.split(' ').skip(1).map(|pages| pages.parse::<usize>().ok());
    let (resident, shared) = (pages.next()??, pages.next()??);
    // SAFETY: neither takes a pointer.
    let (page, heap) = unsafe {
        let page = nix::libc::sysconf(nix::libc::_SC_PAGESIZE);
        (usize::try_from(page).ok()?, nix::libc::mallinfo2())
    };
    resident.checked_sub(shared)?.checked_mul(page)?.checked_sub(heap.uordblks + heap.hblkhd)
}

#[cfg(all(test, target_env = "gnu"))]
mod tests {
    use super::*;

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
