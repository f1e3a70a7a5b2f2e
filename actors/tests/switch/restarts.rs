//! Ports that are lost, panic or wait, by a clock that the test moves.

use super::*;

#[test]
fn a_lost_link_is_opened_again_under_the_same_number() {
    run(async {
        let lab = Lab::new();
        let _other = lab.memory().await;
        let acts = [Act::Send(frame(0xff, 9)), Act::Lose, Act::RefuseToOpen];
        let number = lab.add(Scripted::new(acts)).await;
        lab.settle().await;
        let info = lab.port(number.get()).await;
        assert_eq!(
            (info.state.name(), info.state.reason()),
            ("backoff", Some("the script loses it"))
        );
        assert_eq!(lab.fdb().await, [], "a port in restart keeps no address");
        tokio::time::sleep(Duration::from_secs(5)).await;
        let info = lab.port(number.get()).await;
        assert_eq!((info.state.name(), info.counters.rx_frames()), ("up", 1));
    });
}

#[test]
fn a_panic_in_a_port_restarts_that_port_alone() {
    run(async {
        let lab = Lab::new();
        let (a, mut b) = (lab.memory().await, lab.memory().await);
        let number = lab.add(Scripted::new([Act::Panic, Act::PanicInOpen])).await;
        lab.settle().await;
        let info = lab.port(number.get()).await;
        assert_eq!(info.state.reason(), Some("panicked: as scripted"));
        a.send(frame(0xff, 1)).await.expect("port 1");
        assert_eq!(b.recv().await, Some(frame(0xff, 1)));
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(lab.port(number.get()).await.state.name(), "up");
    });
}

#[test]
fn a_port_that_only_panics_is_given_up_and_can_be_deleted() {
    run(async {
        let lab = Lab::new();
        let number = lab.add(Scripted::new((0..100).map(|_| Act::Panic))).await;
        tokio::time::sleep(Duration::from_secs(300)).await;
        assert_eq!(lab.port(number.get()).await.state.name(), "failed");
        lab.delete(number.get()).await.expect("it is listed");
        assert!(lab.ports().await.is_empty());
    });
}

#[test]
fn deleting_ends_a_port_that_waits_to_be_opened_again() {
    run(async {
        let lab = Lab::new();
        let script = Scripted::new((0..100).map(|_| Act::Lose));
        let number = lab.add(script.clone()).await;
        lab.settle().await;
        lab.delete(number.get()).await.expect("it is listed");
        let left = script.0.borrow().len();
        tokio::time::sleep(Duration::from_secs(300)).await;
        assert_eq!(script.0.borrow().len(), left, "it was opened again");
    });
}
