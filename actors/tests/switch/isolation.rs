//! Isolated ports in a whole switch, against a naive model of who reaches whom.

use etherws_actors::settings::Label;
use proptest::{prelude::*, test_runner::Config};

use super::*;

/// Ports of the tests, by their numbers from 1.
const PORTS: u8 = 5;

/// What a port is: not isolated, isolated, or in one of two groups.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    Promiscuous,
    Isolated,
    Group(bool),
}

impl Place {
    fn settings(self) -> PortSettings {
        let group = match self {
            Self::Group(one) => Some(if one { "one" } else { "two" }),
            Self::Promiscuous | Self::Isolated => None,
        };
        PortSettings {
            isolated: Some(self != Self::Promiscuous),
            isolation_group: group.map(|group| group.parse::<Label>().expect("a name")),
            ..PortSettings::default()
        }
    }

    fn reaches(self, other: Self) -> bool {
        self == Self::Promiscuous
            || other == Self::Promiscuous
            || (self == other && self != Self::Isolated)
    }
}

fn place() -> impl Strategy<Value = Place> {
    prop_oneof![
        Just(Place::Promiscuous),
        Just(Place::Isolated),
        any::<bool>().prop_map(Place::Group)
    ]
}

#[derive(Debug, Clone)]
enum Step {
    /// A port sends a frame: to all, to the station of a port, or to LLDP's group.
    Send(u8, u8),
    Set(u8, Place),
    /// The last port is lost, and comes back to announcements.
    Return,
}

fn step() -> impl Strategy<Value = Step> {
    let to = prop_oneof![Just(0xff), Just(0xfe), 1..=PORTS];
    prop_oneof![
        8 => (1..=PORTS, to).prop_map(|(from, to)| Step::Send(from, to)),
        2 => (1..=PORTS, place()).prop_map(|(port, place)| Step::Set(port, place)),
        1 => Just(Step::Return),
    ]
}

/// From the station of a port.
fn sent(from: u8, to: u8) -> Frame {
    let mut data = frame(to, from).data().to_vec();
    if to == 0xfe {
        data[..6].copy_from_slice(&[1, 0x80, 0xc2, 0, 0, 14]);
    }
    Frame::new(Bytes::from(data))
}

/// A session that comes again, and is told what is behind the others.
async fn session(lab: &Lab, settings: PortSettings) -> (u32, MemoryHandle) {
    let (port, handle) = Memory::pair("again", 1024);
    let holder =
        Holder { identity: "again".into(), user: None, instance: Instance::parse(&"7".repeat(32)) };
    let number = supervisor::add_with(&lab.switch, Held(port, holder), settings, &log()).await;
    (number.expect("memory ports open").get(), handle)
}

async fn follow(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let lab = Lab::new();
    let mut handles = Vec::new();
    for _ in 1..PORTS {
        handles.push(lab.memory().await);
    }
    let (mut last, handle) = session(&lab, PortSettings::default()).await;
    handles.push(handle);
    let mut places = [Place::Promiscuous; PORTS as usize];
    let at = |port: u8| usize::from(port) - 1;
    for step in steps {
        let (mut from, mut to) = (0, 0);
        match step {
            Step::Send(port, dst) => {
                (from, to) = (port, dst);
                handles[at(port)].send(sent(port, dst)).await.expect("it is up");
            }
            Step::Set(which, place) => {
                places[at(which)] = place;
                let number = if which == PORTS { last } else { which.into() };
                let settings = place.settings();
                let clear = vec!["isolated", "isolation-group"];
                lab.control.set_port(port(number), settings, clear).await.expect("a port");
            }
            Step::Return => {
                let place = places[at(PORTS)];
                (last, handles[at(PORTS)]) = session(&lab, place.settings()).await;
            }
        }
        lab.settle().await;
        for port in 1..=PORTS {
            let received = std::iter::from_fn(|| handles[at(port)].try_recv());
            let sources: Vec<_> = received.map(|frame| frame.data()[11]).collect();
            // Whatever it is: flooded, forwarded, or told of.
            for &source in &sources {
                let reaches = places[at(source)].reaches(places[at(port)]);
                prop_assert!(reaches, "{source} reached {port}: {places:?}");
            }
            let is_for_all = to >= 0xfe && port != from;
            if from != 0 && (is_for_all || port == to && port != from) {
                let reaches = places[at(from)].reaches(places[at(port)]);
                prop_assert_eq!(sources.contains(&from), reaches, "{} to {}", from, port);
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(Config { cases: 64, ..Config::default() })]
    #[test]
    fn no_frame_of_an_isolated_port_leaves_by_another_outside_its_group(
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let mut outcome = Ok(());
        actix_rt::System::new().block_on(async {
            tokio::time::pause();
            outcome = follow(steps).await;
        });
        outcome?;
    }
}

#[test]
fn a_frame_for_the_station_of_another_isolated_port_is_counted_there() {
    run(async {
        let lab = Lab::new();
        let (mut a, b) = (lab.memory().await, lab.memory().await);
        b.send(frame(0xff, 2)).await.expect("port 2");
        assert!(a.recv().await.is_some());
        for number in [1, 2] {
            let settings = Place::Isolated.settings();
            lab.control.set_port(port(number), settings, Vec::new()).await.expect("a port");
        }
        a.send(frame(2, 1)).await.expect("port 1");
        lab.settle().await;
        assert_eq!(lab.port(2).await.counters.discards(Discard::Isolated), 1);
        assert_eq!(lab.port(1).await.counters.discards(Discard::Isolated), 0);
    });
}

#[test]
fn a_loop_detect_frame_of_an_isolated_port_goes_where_its_other_frames_go() {
    run(async {
        let lab = Lab::new();
        let (a, mut b, mut c) = (lab.memory().await, lab.memory().await, lab.memory().await);
        for number in [1, 2] {
            let loop_guard = Some(false);
            let settings = PortSettings { loop_guard, ..Place::Isolated.settings() };
            lab.control.set_port(port(number), settings, Vec::new()).await.expect("a port");
        }
        // Another switch greets at once.
        let elsewhere = Lab::with(SwitchOptions::default());
        let probe = elsewhere.memory().await.recv().await.expect("a greeting");
        lab.settle().await;
        while b.try_recv().is_some() || c.try_recv().is_some() {}
        a.send(probe.clone()).await.expect("port 1");
        lab.settle().await;
        assert_eq!(std::iter::from_fn(|| c.try_recv()).filter(|frame| *frame == probe).count(), 1);
        assert_eq!(std::iter::from_fn(|| b.try_recv()).filter(|frame| *frame == probe).count(), 0);
    });
}
