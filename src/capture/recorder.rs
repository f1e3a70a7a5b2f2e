//! Writes what a mirror has copied as a pcapng file (draft-ietf-opsawg-pcapng): an
//! interface for each port, and with each packet its direction, the reason for which the
//! switch discarded it, and how many the capture has lost before it.
//!
//! Not on the frame's path: segments are cut and checksums finished here, on a thread
//! for such work.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    env::consts::ARCH,
    fs,
    time::{Duration, Instant},
};

use bytes::Bytes;
use etherws_actors::{
    fdb::PortNumber,
    message::PortInfo,
    mirror::{Batch, Direction, Mirrored},
};
use jiff::Timestamp;
use pcap_file::{
    DataLink, Endianness,
    pcapng::{
        Block, PcapNgBlock as _, PcapNgWriter,
        blocks::{
            enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption},
            interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption},
            interface_statistics::{InterfaceStatisticsBlock, InterfaceStatisticsOption},
            name_resolution::NameResolutionBlock,
            section_header::{SectionHeaderBlock, SectionHeaderOption},
        },
    },
};

/// Timestamps are in units of 10^-9 s.
const NANOSECONDS: u8 = 9;

/// Directions in a packet's flags.
const INBOUND: u32 = 1;
const OUTBOUND: u32 = 2;

/// A file that grows.
pub(crate) struct Recorder {
    writer: PcapNgWriter<Vec<u8>>,
    interfaces: BTreeMap<PortNumber, Interface>,
    snaplen: u32,
    /// Packets that may still be written.
    left: u64,
    clock: Clock,
}

/// A port in the file.
#[derive(Debug, Default)]
struct Interface {
    id: u32,
    captured: u64,
    lost: u64,
    /// Those of them that no packet has reported yet.
    unreported: u64,
    /// Whether the file's statistics are behind.
    changed: bool,
}

/// Turns monotonic time into wall-clock time, as it was when the capture began: setting the
/// clock meanwhile does not disorder the file.
#[derive(Debug, Clone, Copy)]
struct Clock {
    wall: Duration,
    at: Instant,
}

impl Clock {
    fn wall(self, at: Instant) -> Duration {
        match at.checked_duration_since(self.at) {
            Some(after) => self.wall + after,
            None => self.wall.saturating_sub(self.at - at),
        }
    }
}

impl Recorder {
    /// The beginning of a file of `count` packets at most, of each `snaplen` octets.
    pub(crate) fn new(snaplen: u32, count: Option<u64>) -> Self {
        let system = |file| fs::read_to_string(file).unwrap_or_default().trim().to_owned();
        let os = format!("Linux {}", system("/proc/sys/kernel/osrelease"));
        let section = SectionHeaderBlock {
            // Wireshark takes no other from a pipe.
            endianness: Endianness::Little,
            options: vec![
                SectionHeaderOption::Hardware(ARCH.into()),
                SectionHeaderOption::OS(os.into()),
                SectionHeaderOption::UserApplication(application().into()),
            ],
            ..SectionHeaderBlock::default()
        };
        let wall = u64::try_from(Timestamp::now().as_nanosecond()).unwrap_or_default();
        let clock = Clock { wall: Duration::from_nanos(wall), at: Instant::now() };
        Self {
            writer: PcapNgWriter::with_section_header(Vec::new(), section)
                .unwrap_or_else(|_| unreachable!("a Vec takes everything")),
            interfaces: BTreeMap::new(),
            snaplen,
            left: count.unwrap_or(u64::MAX),
            clock,
        }
    }

    /// Whether a port in `batch` is not in the file yet.
    pub(crate) fn lacks_port_of(&self, batch: &Batch) -> bool {
        let mut ports =
            batch.frames.iter().map(|frame| frame.port).chain(batch.lost.keys().copied());
        ports.any(|port| !self.interfaces.contains_key(&port))
    }

    /// Adds those of `ports` that are not in the file yet.
    pub(crate) fn add_ports<'a>(&mut self, ports: impl IntoIterator<Item = &'a PortInfo>) {
        for info in ports {
            if !self.interfaces.contains_key(&info.port) {
                let details: Vec<_> =
                    info.details.iter().map(|(name, value)| format!("{name} {value}")).collect();
                self.add(info.port, name_of(info), details.join(", "));
            }
        }
    }

    fn add(&mut self, port: PortNumber, name: String, description: String) {
        let mut options = vec![
            InterfaceDescriptionOption::IfName(name.into()),
            InterfaceDescriptionOption::IfTsResol(NANOSECONDS),
        ];
        if !description.is_empty() {
            options.insert(1, InterfaceDescriptionOption::IfDescription(description.into()));
        }
        let (linktype, snaplen) = (DataLink::ETHERNET, self.snaplen);
        self.write(InterfaceDescriptionBlock { linktype, snaplen, options }.into_block());
        let id = u32::try_from(self.interfaces.len()).unwrap_or(u32::MAX);
        self.interfaces.insert(port, Interface { id, ..Interface::default() });
    }

    /// Writes what a mirror has copied. A port that [was not added](Self::add_ports) is
    /// gone already, and has its number for a name.
    pub(crate) fn record(&mut self, batch: Batch) {
        for frame in batch.frames {
            self.record_one(frame);
        }
        for (port, lost) in batch.lost {
            let interface = self.interface(port);
            interface.lost += lost;
            interface.unreported += lost;
            interface.changed = true;
        }
    }

    fn record_one(&mut self, frame: Mirrored) {
        let timestamp = self.clock.wall(frame.time);
        let comment = frame.discard.map(|reason| format!("discarded: {}", reason.name()));
        let flags = match frame.direction {
            Direction::Rx => INBOUND,
            Direction::Tx => OUTBOUND,
        };
        let interface = self.interface(frame.port);
        interface.changed = true;
        interface.lost += frame.lost;
        let mut dropped = interface.unreported + frame.lost;
        interface.unreported = 0;
        let (id, port) = (interface.id, frame.port);
        let mut written = 0;
        frame.on_wire(|data, len| {
            if self.left == 0 {
                return;
            }
            self.left -= 1;
            written += 1;
            let mut options = vec![EnhancedPacketOption::Flags(flags)];
            if dropped > 0 {
                options.push(EnhancedPacketOption::DropCount(dropped));
                dropped = 0;
            }
            if let Some(comment) = &comment {
                options.push(EnhancedPacketOption::Comment(Cow::Borrowed(comment)));
            }
            let packet = EnhancedPacketBlock {
                interface_id: id,
                timestamp,
                original_len: u32::try_from(len).unwrap_or(u32::MAX),
                data: Cow::Borrowed(data),
                options,
            };
            self.write(packet.into_block());
        });
        self.interface(port).captured += written;
    }

    /// Writes statistics of each interface whose numbers have changed, or of all.
    pub(crate) fn record_statistics(&mut self, all: bool) {
        let now = self.clock.wall(Instant::now());
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let mut blocks = Vec::new();
        for interface in self.interfaces.values_mut().filter(|one| all || one.changed) {
            interface.changed = false;
            blocks.push(InterfaceStatisticsBlock {
                interface_id: interface.id,
                // The upper half comes first, which the package's writer does not know.
                timestamp: now.rotate_left(32),
                options: vec![
                    InterfaceStatisticsOption::IsbIfRecv(interface.captured + interface.lost),
                    InterfaceStatisticsOption::IsbIfDrop(interface.lost),
                ],
            });
        }
        for block in blocks {
            self.write(block.into_block());
        }
        if all && self.interfaces.is_empty() {
            // No statistics without ports: a block that says nothing.
            let nothing = NameResolutionBlock { records: Vec::new(), options: Vec::new() };
            self.write(nothing.into_block());
        }
    }

    /// Whether it has as many packets as it is to have.
    pub(crate) const fn is_full(&self) -> bool {
        self.left == 0
    }

    /// What was written since the last call.
    pub(crate) fn take(&mut self) -> Bytes {
        std::mem::take(self.writer.get_mut()).into()
    }

    fn interface(&mut self, port: PortNumber) -> &mut Interface {
        if !self.interfaces.contains_key(&port) {
            self.add(port, port.to_string(), String::new());
        }
        self.interfaces.entry(port).or_default()
    }

    fn write(&mut self, block: Block<'_>) {
        // A Vec takes everything, and each interface is written before its packets.
        let written = self.writer.write_block(&block);
        debug_assert!(written.is_ok(), "{written:?}");
    }
}

/// Who writes the file.
fn application() -> String {
    format!("etherws {}", env!("CARGO_PKG_VERSION"))
}

/// A port's name in the file: number, kind and target.
pub(crate) fn name_of(info: &PortInfo) -> String {
    let user = info.details.iter().find(|(name, _)| *name == "user");
    let user = user.map(|(_, user)| format!("{user}@")).unwrap_or_default();
    format!("{} {} {user}{}", info.port, info.kind, info.target)
}
