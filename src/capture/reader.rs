//! Reads a pcapng stream as it comes: whole blocks, so that what is written is a valid file
//! wherever the stream ends; the packets; and how many there are.

use std::{collections::BTreeMap, io, time::Duration};

use bytes::{Bytes, BytesMut};
use etherws_actors::mirror::Direction;
use pcap_file::{
    PcapError,
    pcapng::{
        Block, PcapNgParser,
        blocks::{
            enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption},
            interface_description::InterfaceDescriptionOption,
            interface_statistics::InterfaceStatisticsOption,
        },
    },
};

/// Longest block: four times the longest packet that is captured.
const MAX_BLOCK: usize = 1024 * 1024;

/// A packet of the stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Packet<'a> {
    /// Since 1970.
    pub(crate) time: Duration,
    /// Name of its interface: the port.
    pub(crate) interface: &'a str,
    pub(crate) direction: Option<Direction>,
    /// Its first octets.
    pub(crate) data: &'a [u8],
    /// Its length on the wire.
    pub(crate) len: u32,
    pub(crate) comment: Option<&'a str>,
}

/// Reads a stream.
#[derive(Default)]
pub(crate) struct Reader {
    parser: Option<PcapNgParser>,
    buffer: BytesMut,
    captured: u64,
    lost: BTreeMap<u32, Lost>,
}

/// Lost packets of an interface, which a file tells in two ways. Either may be ahead of the
/// other: a loss stands in the next packet, and in statistics that may come before that.
#[derive(Debug, Default)]
struct Lost {
    /// The sum of what packets say.
    of_packets: u64,
    /// What the last statistics say.
    of_statistics: u64,
}

impl Reader {
    /// Takes what has arrived, calls `each` with its packets, and returns whole blocks.
    ///
    /// # Errors
    /// It is not a capture: [`io::ErrorKind::InvalidData`].
    pub(crate) fn feed(
        &mut self,
        octets: &[u8],
        mut each: impl FnMut(&Packet<'_>),
    ) -> io::Result<Bytes> {
        self.buffer.extend_from_slice(octets);
        let mut rest = &self.buffer[..];
        loop {
            let read = match &mut self.parser {
                None => PcapNgParser::new(rest).map(|(rest, parser)| {
                    self.parser = Some(parser);
                    (rest, None)
                }),
                Some(parser) => parser.next_block(rest).map(|(rest, block)| (rest, Some(block))),
            };
            match read {
                Ok((after, block)) => {
                    rest = after;
                    match block {
                        Some(Block::EnhancedPacket(packet)) => {
                            self.captured += 1;
                            if let Some(dropped) = dropped(&packet) {
                                let lost = self.lost.entry(packet.interface_id).or_default();
                                lost.of_packets += dropped;
                            }
                            each(&read_packet(self.parser.as_ref(), &packet));
                        }
                        Some(Block::InterfaceStatistics(statistics)) => {
                            for option in &statistics.options {
                                if let InterfaceStatisticsOption::IsbIfDrop(lost) = option {
                                    let known =
                                        self.lost.entry(statistics.interface_id).or_default();
                                    known.of_statistics = *lost;
                                }
                            }
                        }
                        _ => {}
                    }
                }
                Err(PcapError::IncompleteBuffer) if rest.len() <= MAX_BLOCK => break,
                Err(error) => {
                    let text = format!("the switch did not send pcapng: {error}");
                    return Err(io::Error::new(io::ErrorKind::InvalidData, text));
                }
            }
        }
        let whole = self.buffer.len() - rest.len();
        Ok(self.buffer.split_to(whole).freeze())
    }

    /// Packets that came.
    pub(crate) const fn captured(&self) -> u64 {
        self.captured
    }

    /// Packets that the switch could not hand over in time.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.values().map(|lost| lost.of_packets.max(lost.of_statistics)).sum()
    }
}

fn dropped(packet: &EnhancedPacketBlock<'_>) -> Option<u64> {
    packet.options.iter().find_map(|option| match option {
        EnhancedPacketOption::DropCount(count) => Some(*count),
        _ => None,
    })
}

fn read_packet<'a>(
    parser: Option<&'a PcapNgParser>,
    packet: &'a EnhancedPacketBlock<'_>,
) -> Packet<'a> {
    let id = usize::try_from(packet.interface_id).unwrap_or(usize::MAX);
    let interface = parser.and_then(|parser| parser.interfaces().get(id));
    let name = interface.into_iter().flat_map(|one| &one.options).find_map(|option| match option {
        InterfaceDescriptionOption::IfName(name) => Some(&**name),
        _ => None,
    });
    let mut read = Packet {
        time: packet.timestamp,
        interface: name.unwrap_or("?"),
        direction: None,
        data: &packet.data,
        len: packet.original_len,
        comment: None,
    };
    for option in &packet.options {
        match option {
            EnhancedPacketOption::Flags(flags) => {
                read.direction = match flags & 3 {
                    1 => Some(Direction::Rx),
                    2 => Some(Direction::Tx),
                    _ => None,
                };
            }
            EnhancedPacketOption::Comment(comment) => read.comment = Some(comment),
            _ => {}
        }
    }
    read
}

#[cfg(test)]
mod tests {
    use std::{borrow::Cow, time::Duration};

    use pcap_file::{
        DataLink,
        pcapng::{
            PcapNgBlock as _, PcapNgWriter,
            blocks::{
                interface_description::InterfaceDescriptionBlock,
                interface_statistics::InterfaceStatisticsBlock,
            },
        },
    };

    use super::*;

    #[test]
    fn a_loss_that_statistics_and_a_packet_tell_is_counted_once() {
        let mut writer = PcapNgWriter::new(Vec::new()).unwrap();
        let (linktype, options) = (DataLink::ETHERNET, Vec::new());
        let interface = InterfaceDescriptionBlock { linktype, snaplen: 0, options };
        let statistics = InterfaceStatisticsBlock {
            interface_id: 0,
            timestamp: 0,
            options: vec![InterfaceStatisticsOption::IsbIfDrop(5)],
        };
        let packet = EnhancedPacketBlock {
            interface_id: 0,
            timestamp: Duration::ZERO,
            original_len: 4,
            data: Cow::Borrowed(&[0; 4]),
            options: vec![EnhancedPacketOption::DropCount(5)],
        };
        let later = EnhancedPacketBlock {
            options: vec![EnhancedPacketOption::DropCount(1)],
            ..packet.clone()
        };
        for block in [
            interface.into_block(),
            statistics.into_block(),
            packet.into_block(),
            later.into_block(),
        ] {
            writer.write_block(&block).unwrap();
        }
        let mut reader = Reader::default();
        reader.feed(writer.get_ref(), |_| {}).unwrap();
        assert_eq!((reader.captured(), reader.lost()), (2, 6));
    }
}
