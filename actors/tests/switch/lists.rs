//! Lists of many ports: in pages, between which frames pass.

use std::{cell::Cell, rc::Rc};

use etherws_actors::{
    kinds::memory::MemoryHandle,
    message::{CountPorts, ListPorts, PortCounts},
};
use tokio::task::yield_now;

use super::{Lab, run};

const PORTS: usize = 200;

/// A page of ports is no longer than this.
const PAGE: usize = 64;

async fn crowd() -> (Lab, Vec<MemoryHandle>) {
    let lab = Lab::new();
    let mut handles = Vec::new();
    for _ in 0..PORTS {
        handles.push(lab.memory().await);
    }
    (lab, handles)
}

#[test]
fn pages_are_bounded_and_show_each_port_that_stays_once_and_in_order() {
    run(async {
        let (lab, _handles) = crowd().await;
        let (mut numbers, mut after) = (Vec::new(), None);
        loop {
            let page = lab.switch.send(ListPorts { after }).await.expect("the switch lives");
            assert!(page.ports.len() <= PAGE);
            numbers.extend(page.ports.iter().map(|port| port.info.port));
            after = page.next;
            let Some(last) = after else { break };
            // The next page begins behind it all the same.
            lab.control.del_port(last).await.expect("it is there");
        }
        assert!(numbers.iter().map(|number| number.get() as usize).eq(1..=PORTS));
        let counts = lab.switch.send(CountPorts).await.expect("the switch lives");
        let left = PORTS - (PORTS - 1) / PAGE;
        assert_eq!(counts, PortCounts { all: left, up: left, sessions: 0 });
    });
}

#[test]
fn between_two_pages_others_have_their_turn() {
    run(async {
        let (lab, _handles) = crowd().await;
        let passes = Rc::new(Cell::new(0));
        let counted = Rc::clone(&passes);
        let others = actix_rt::spawn(async move {
            loop {
                counted.set(counted.get() + 1);
                yield_now().await;
            }
        });
        yield_now().await;
        let before = passes.get();
        assert_eq!(lab.ports().await.len(), PORTS);
        assert!(passes.get() - before >= PORTS / PAGE, "{}", passes.get() - before);
        others.abort();
    });
}
