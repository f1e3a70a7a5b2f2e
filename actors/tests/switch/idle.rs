//! How often a switch wakes that has nothing to do, as the runtime counts it on the virtual clock.

use etherws_actors::{guard::storm::StormLimit, mirror::Filter, tick::TICK};
use tokio::{runtime::Handle, time::sleep};

use super::*;

const TICKS: u32 = 600;

/// Wake-ups for who counts: the runtime sorts so long a wait anew three times.
const OWN: u64 = 4;

/// How often the thread wakes in this many ticks.
pub(super) async fn wakeups() -> u64 {
    let parks = || Handle::current().metrics().worker_park_count(0);
    tick::every(TICK).tick().await;
    let before = parks();
    sleep(TICK * TICKS).await;
    // For each the runtime parks twice, since it finds a mark that it has left itself.
    (parks() - before) / 2
}

#[test]
fn what_has_nothing_to_do_has_no_timer() {
    run(async {
        let lab = Lab::new();
        let (a, _b) = (lab.memory().await, lab.memory().await);
        let _mirror = lab.control.mirror(Filter::default(), 64).await;
        let woken = wakeups().await;
        assert!(woken <= OWN, "{woken}");
        a.send(frame(0xff, 1)).await.expect("port 1");
        // Once or twice a minute, until the address has aged.
        let woken = wakeups().await;
        assert!((5..=12 + OWN).contains(&woken), "{woken}");
        let woken = wakeups().await;
        assert!(woken <= OWN, "{woken}");
    });
}

#[test]
fn all_that_looks_now_and_then_looks_at_the_same_moment() {
    run(async {
        let lab = Lab::with(SwitchOptions::default());
        lab.add(Interface).await;
        let (a, _b) = (lab.memory().await, lab.memory().await);
        lab.settle().await;
        // What is not at ticks would be a tenth more, or more.
        let once = u64::from(TICKS - 10)..=u64::from(TICKS + 20);
        let woken = wakeups().await;
        assert!(once.contains(&woken), "{woken}");
        let storm = StormLimit::Rate { rate: 1, burst: 1 };
        let settings = PortSettings { storm_broadcast: Some(storm), ..PortSettings::default() };
        lab.control.set_port(port(2), settings, Vec::new()).await.expect("port is there");
        for _ in 0..3 {
            a.send(frame(0xff, 2)).await.expect("port 2");
        }
        lab.settle().await;
        let woken = wakeups().await;
        assert!(once.contains(&woken), "{woken}");
    });
}
