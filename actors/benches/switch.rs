//! The Switch as a whole, with its actors, between ports of memory: what VLANs, settings and many
//! ports cost a frame. `path` measures the parts by themselves.

use std::{collections::BTreeMap, sync::Arc};

use actix_rt::{System, SystemRunner};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use etherws_actors::{
    SwitchHandle,
    batch::BATCH_FRAMES,
    frame::Frame,
    kinds::{Memory, memory::MemoryHandle},
    settings::{PortSettings, Profile, Profiles},
    switch::SwitchOptions,
};

/// Full frames at an MTU of 1500.
const FRAME: usize = 1514;

/// Frames that are on their way at once are fewer than those that a port's queue holds.
const ROOM: usize = 2 * BATCH_FRAMES;

const EVERYBODY: [u8; 6] = [0xff; 6];

/// Floods are not to be cut here.
const NO_STORMS: &str =
    "storm-broadcast=off storm-multicast=off storm-unicast=off storm-octets=off";

fn mac(station: usize) -> [u8; 6] {
    let [.., a, b, c, d] = station.to_be_bytes();
    [2, 0, a, b, c, d]
}

fn frame(dst: [u8; 6], src: usize) -> Frame {
    let mut data = [dst, mac(src)].concat();
    data.resize(FRAME, 0);
    Frame::new(data.into())
}

fn settings(text: &str) -> PortSettings {
    let mut settings = PortSettings::default();
    for (name, value) in text.split(' ').filter_map(|pair| pair.split_once('=')) {
        settings.set(name, value).expect("a good value");
    }
    settings
}

/// A switch, and the other ends of its ports. The station of each is known.
struct Bench {
    system: SystemRunner,
    ports: Vec<MemoryHandle>,
    _switch: SwitchHandle,
}

impl Bench {
    /// With `count` ports, whose own settings are `own`; a profile has those that are `shared`.
    fn new(count: usize, own: &str, shared: &str) -> Self {
        let system = System::new();
        let profile = Profile { settings: settings(shared), ..Profile::default() };
        let profiles = BTreeMap::from([("bench".parse().expect("a name"), profile)]);
        let options = SwitchOptions {
            profiles: Arc::new(Profiles::new(&profiles).expect("a good one")),
            ports: settings(NO_STORMS),
            ..SwitchOptions::default()
        };
        let own = settings(own);
        let (switch, ports) = system.block_on(async {
            let (switch, mut ports) = (SwitchHandle::start(options), Vec::new());
            for _ in 0..count {
                let (port, handle) = Memory::pair("bench", ROOM);
                let number = switch.add(port.leaf()).await.expect("a port");
                let set = switch.control().set_port(number, own.clone(), Vec::new());
                set.await.expect("good settings");
                ports.push(handle);
            }
            (switch, ports)
        });
        let bench = Self { system, ports, _switch: switch };
        for at in 0..count {
            // To its own port: it is learned, and goes no further.
            bench.send(at, &frame(mac(at), at));
        }
        bench
    }

    fn send(&self, at: usize, frame: &Frame) {
        self.system.block_on(self.ports[at].send(frame.clone())).expect("its port is up");
    }

    /// A batch from the first station to the last.
    fn relay(&mut self, frame: &Frame) {
        let Self { system, ports, .. } = self;
        let [first, .., last] = ports.as_mut_slice() else { return };
        system.block_on(async {
            for _ in 0..BATCH_FRAMES {
                first.send(frame.clone()).await.expect("its port is up");
            }
            for _ in 0..BATCH_FRAMES {
                last.recv().await.expect("its port is up");
            }
        });
    }

    /// The same to all others.
    fn flood(&mut self, frame: &Frame) {
        let Self { system, ports, .. } = self;
        let Some((first, others)) = ports.split_first_mut() else { return };
        system.block_on(async {
            for _ in 0..BATCH_FRAMES {
                first.send(frame.clone()).await.expect("its port is up");
            }
            for other in others {
                for _ in 0..BATCH_FRAMES {
                    other.recv().await.expect("its port is up");
                }
            }
        });
    }
}

fn known(c: &mut Criterion) {
    let mut group = c.benchmark_group("switch, a frame to a known address");
    group.throughput(Throughput::Elements(BATCH_FRAMES as u64));
    for (name, count, own, shared) in [
        ("2 ports", 2, "", ""),
        ("2 access ports of a VLAN", 2, "tag=10", ""),
        ("2 trunks", 2, "vlan-mode=native-untagged tag=10 trunks=20,30-39", ""),
        ("2 ports with a profile", 2, "profile=bench", "trust=client max-macs=16"),
        ("1000 ports", 1000, "", ""),
        ("1000 access ports of a VLAN", 1000, "tag=10", ""),
    ] {
        let mut bench = Bench::new(count, own, shared);
        let frame = frame(mac(count - 1), 0);
        group.bench_function(name, |b| b.iter(|| bench.relay(&frame)));
    }
    group.finish();
}

fn flood(c: &mut Criterion) {
    let mut group = c.benchmark_group("switch, a broadcast to each of its receivers");
    group.sample_size(10);
    for (name, count, own) in [
        ("10 ports", 10, ""),
        ("1000 ports", 1000, ""),
        ("1000 access ports of a VLAN", 1000, "tag=10"),
    ] {
        group.throughput(Throughput::Elements((BATCH_FRAMES * (count - 1)) as u64));
        let mut bench = Bench::new(count, own, "");
        let frame = frame(EVERYBODY, 0);
        group.bench_function(name, |b| b.iter(|| bench.flood(&frame)));
    }
    group.finish();
}

criterion_group!(benches, known, flood);
criterion_main!(benches);
