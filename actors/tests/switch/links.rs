//! Ports of several links, whose other end is the test.

use std::collections::BTreeSet;

use etherws_actors::{
    counters::Incident,
    links::{LinkId, LinkMessage, Place},
};
use tokio::sync::mpsc;

use super::*;

/// What passes a link.
#[derive(Debug, PartialEq)]
enum Item {
    Frame(Frame),
    Message(LinkMessage),
}

/// A link of a session whose client has several.
struct OneOfSeveral {
    place: Place,
    id: LinkId,
    holder: Holder,
    ends: Option<Ends>,
}

struct Ends {
    to_test: mpsc::UnboundedSender<Item>,
    from_test: mpsc::UnboundedReceiver<Item>,
}

/// The test's end.
struct Peer {
    to_switch: mpsc::UnboundedSender<Item>,
    from_switch: mpsc::UnboundedReceiver<Item>,
}

impl Medium for OneOfSeveral {
    type Link = Ends;

    fn kind(&self) -> &'static str {
        "server"
    }

    fn target(&self) -> String {
        format!("peer {}", self.place.number)
    }

    fn restarts(&self) -> bool {
        false
    }

    fn holder(&self) -> Option<Holder> {
        Some(self.holder.clone())
    }

    fn place(&self) -> Place {
        self.place
    }

    fn link_id(&self) -> LinkId {
        self.id
    }

    async fn open(&mut self) -> Result<Ends, PortError> {
        self.ends.take().ok_or_else(|| "opened twice".into())
    }
}

impl Link for Ends {
    async fn run(self, io: PortIo) -> Result<(), PortError> {
        let (PortIo { mut ingress, mut egress, mut stop, .. }, Self { to_test, mut from_test }) =
            (io, self);
        let rx = async {
            while let Some(item) = from_test.recv().await {
                match item {
                    Item::Frame(frame) => ingress.send(vec![frame]).await?,
                    Item::Message(message) => ingress.say(message).await?,
                }
            }
            Ok(())
        };
        let tx = async {
            let mut batch = Vec::new();
            loop {
                egress.recv(&mut batch).await;
                let frames = batch.drain(..).map(Item::Frame);
                let message = egress.message().map(Item::Message);
                for item in frames.chain(message) {
                    let _ = to_test.send(item);
                }
            }
        };
        tokio::select! {
            end = rx => end,
            () = tx => Ok(()),
            _ = stop.wait() => Ok(()),
        }
    }
}

impl Peer {
    fn send(&self, item: Item) {
        self.to_switch.send(item).expect("the link reads");
    }

    fn sends(&self, frames: impl IntoIterator<Item = Frame>) {
        frames.into_iter().for_each(|frame| self.send(Item::Frame(frame)));
    }

    /// All that has come since the last call.
    fn take(&mut self) -> Vec<Item> {
        std::iter::from_fn(|| self.from_switch.try_recv().ok()).collect()
    }

    /// Sources of the frames that have come, in order.
    fn sources(&mut self) -> Vec<u8> {
        let source = |item| match item {
            Item::Frame(frame) => Some(frame.data()[11]),
            Item::Message(_) => None,
        };
        self.take().into_iter().filter_map(source).collect()
    }
}

struct Several {
    lab: Lab,
    holder: Holder,
    of: u8,
    failover: bool,
}

impl Several {
    fn new(of: u8, failover: bool) -> Self {
        let instance = Some(Instance::random().expect("random numbers"));
        let holder = Holder { identity: "a".into(), user: None, instance };
        Self { lab: Lab::new(), holder, of, failover }
    }

    async fn link(&self, number: u8, id: u32) -> (PortNumber, Peer) {
        let (to_test, from_switch) = mpsc::unbounded_channel();
        let (to_switch, from_test) = mpsc::unbounded_channel();
        let place = Place { number, of: self.of, failover: self.failover };
        let (holder, ends) = (self.holder.clone(), Some(Ends { to_test, from_test }));
        let port = self.lab.add(OneOfSeveral { place, id: LinkId(id), holder, ends }).await;
        self.lab.settle().await;
        (port, Peer { to_switch, from_switch })
    }
}

const FLOWS: std::ops::Range<u8> = 10..42;

/// A frame of each flow, from its station to the one behind the links.
fn flows() -> impl Iterator<Item = Frame> {
    FLOWS.map(|station| frame(1, station))
}

#[test]
fn several_links_are_one_port_and_each_flow_goes_by_one_of_them() {
    run(async {
        let several = Several::new(2, false);
        let lab = &several.lab;
        let mut behind = lab.memory().await;
        let (first, mut a) = several.link(0, 1).await;
        let (second, mut b) = several.link(1, 2).await;
        assert_eq!(first, second, "the second link is of the first one's port");
        a.sends([frame(0xff, 1)]);
        b.sends([frame(0xff, 2)]);
        lab.settle().await;
        assert_eq!(std::iter::from_fn(|| behind.try_recv()).count(), 2);
        assert!(lab.fdb().await.iter().all(|line| line.entry.port == first));
        let mut of_a = Vec::new();
        for _ in 0..2 {
            for frame in flows() {
                behind.send(frame).await.expect("port 1");
            }
            lab.settle().await;
            let (by_a, by_b) = (a.sources(), b.sources());
            let all: BTreeSet<_> = by_a.iter().chain(&by_b).copied().collect();
            assert!(all.into_iter().eq(FLOWS) && by_a.len() + by_b.len() == FLOWS.len());
            assert!(!by_a.is_empty() && !by_b.is_empty(), "{by_a:?} {by_b:?}");
            assert!(of_a.is_empty() || of_a == by_a, "a flow has moved");
            of_a = by_a;
        }
        let info = lab.port(first.get()).await;
        let shown: Vec<_> =
            info.links.iter().map(|link| (link.number, &*link.target, link.state.name())).collect();
        assert_eq!(shown, [(0, "peer 0", "up"), (1, "peer 1", "up")]);
        assert_eq!(info.links.iter().map(|link| link.octets_rx).sum::<u64>(), 120);
        assert_eq!(info.links[0].octets_tx, 2 * 60 * of_a.len() as u64);
    });
}

#[test]
fn a_link_that_is_lost_gives_its_flows_to_others_while_the_port_stays_up() {
    run(async {
        let several = Several::new(2, false);
        let lab = &several.lab;
        let behind = lab.memory().await;
        let (port, mut a) = several.link(0, 1).await;
        let (_, b) = several.link(1, 2).await;
        a.sends([frame(0xff, 1)]);
        tokio::time::sleep(Duration::from_secs(10)).await;
        a.take();
        drop(b);
        lab.settle().await;
        for frame in flows() {
            behind.send(frame).await.expect("port 1");
        }
        lab.settle().await;
        let items = a.take();
        assert_eq!(items[0], Item::Message(LinkMessage::Gone(LinkId(2))), "before all of them");
        assert_eq!(items.len(), 1 + FLOWS.len());
        let info = lab.port(port.get()).await;
        assert_eq!((info.state.name(), info.links.len()), ("up", 1));
        assert_eq!(lab.fdb().await.len(), 1 + FLOWS.len(), "what was learned stays");
        drop(a);
        lab.settle().await;
        assert_eq!(lab.ports().await.len(), 1, "with its last link it is gone");
    });
}

#[test]
fn a_link_that_comes_begins_behind_what_was_sent_by_others() {
    run(async {
        let several = Several::new(2, false);
        let behind = several.lab.memory().await;
        let (_, mut a) = several.link(0, 1).await;
        a.sends([frame(0xff, 1)]);
        for frame in flows() {
            behind.send(frame).await.expect("port 1");
        }
        several.lab.settle().await;
        let (_, mut b) = several.link(1, 2).await;
        for frame in flows() {
            behind.send(frame).await.expect("port 1");
        }
        several.lab.settle().await;
        let marker = Item::Message(LinkMessage::Marker(1));
        assert_eq!(a.take().iter().position(|item| *item == marker), Some(FLOWS.len()));
        let after = Item::Message(LinkMessage::After(LinkId(1), 1));
        let by_b = b.take();
        assert_eq!((&by_b[0], by_b.len() > 1), (&after, true));
    });
}

#[test]
fn what_comes_by_a_new_link_counts_after_what_was_sent_before_by_others() {
    run(async {
        let several = Several::new(3, false);
        let lab = &several.lab;
        let mut behind = lab.memory().await;
        let (_, a) = several.link(0, 1).await;
        let (_, b) = several.link(1, 2).await;
        b.send(Item::Message(LinkMessage::After(LinkId(1), 7)));
        b.sends([frame(0xff, 2)]);
        lab.settle().await;
        a.sends([frame(0xff, 1)]);
        lab.settle().await;
        assert_eq!(behind.try_recv(), Some(frame(0xff, 1)));
        assert_eq!(behind.try_recv(), None);
        a.send(Item::Message(LinkMessage::Marker(7)));
        lab.settle().await;
        assert_eq!(behind.try_recv(), Some(frame(0xff, 2)));

        // A marker that never comes holds nothing for ever.
        b.send(Item::Message(LinkMessage::After(LinkId(1), 8)));
        b.sends([frame(0xff, 3)]);
        lab.settle().await;
        assert_eq!(behind.try_recv(), None);
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(behind.try_recv(), Some(frame(0xff, 3)));
        assert_eq!(lab.port(2).await.counters.incidents(Incident::MarkerTimeout), 1);

        // Nothing counts of a link that the peer has given up, and it ends.
        a.send(Item::Message(LinkMessage::Gone(LinkId(2))));
        lab.settle().await;
        assert!(b.to_switch.is_closed());
        assert_eq!(lab.port(2).await.links.len(), 1);
    });
}

#[test]
fn the_same_link_again_takes_the_place_of_that_link_alone() {
    run(async {
        let several = Several::new(2, false);
        let lab = &several.lab;
        lab.memory().await;
        let (port, a) = several.link(0, 1).await;
        let (_, b) = several.link(1, 2).await;
        let (again, c) = several.link(1, 3).await;
        assert_eq!((again, lab.port(port.get()).await.links.len()), (port, 2));
        assert!(b.to_switch.is_closed());
        assert!(!a.to_switch.is_closed() && !c.to_switch.is_closed());
        // One that says something else of their number is another port's.
        let other = Several { of: 3, ..several };
        let (other_port, _d) = other.link(0, 4).await;
        assert_ne!(other_port, port);
        assert!(a.to_switch.is_closed(), "its client has begun anew");
    });
}

#[test]
fn with_failover_one_link_carries_all_and_another_stands_by() {
    run(async {
        let several = Several::new(2, true);
        let lab = &several.lab;
        let behind = lab.memory().await;
        let (port, a) = several.link(0, 1).await;
        let (_, mut b) = several.link(1, 2).await;
        a.sends([frame(0xff, 1)]);
        lab.settle().await;
        let stand_by = async || {
            let links = lab.port(port.get()).await.links;
            links.iter().map(|link| link.stands_by).collect::<Vec<_>>()
        };
        for frame in flows() {
            behind.send(frame).await.expect("port 1");
        }
        lab.settle().await;
        assert_eq!((b.sources(), stand_by().await), (vec![], vec![false, true]));
        drop(a);
        lab.settle().await;
        for frame in flows() {
            behind.send(frame).await.expect("port 1");
        }
        lab.settle().await;
        assert_eq!((b.sources().len(), stand_by().await), (FLOWS.len(), vec![false]));
    });
}
