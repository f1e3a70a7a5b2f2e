//! A tunnel's messages as a [`Framing`]: one frame a binary WebSocket message, in both roles.
//!
//! Between the link's halves and `codec`. Adds to it what is not pure, the masking keys of a
//! client, and what the two ends have agreed on: see [`Wire`].

#[cfg(feature = "schemars")]
use std::borrow::Cow;
use std::{io, ops::Range};

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use super::{
    codec::{Decoder, Event, MAX_MESSAGE_LEN, Opcode, ProtocolError, Role},
    framing::{Framing, Header, Item},
    typed::{self, MAX_PREFIX_LEN, Prefix},
};
use crate::core::{
    frame::{Frame, MAX_SUPER_FRAME_LEN, Offload},
    links::LinkMessage,
};

/// Octets of randomness that are drawn at once: a system's generator costs
/// microseconds a call, a thousandth of that a key.
const RANDOM_OCTETS: usize = 4096;

/// What a tunnel's messages are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum Wire {
    /// Finished frames and nothing else, as etherws 1.3 has them.
    #[default]
    Plain,
    /// Super-frames pass whole, by a subprotocol that both ends know.
    SuperFrames,
}

#[cfg(feature = "schemars")]
impl schemars::JsonSchema for Wire {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Wire".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let all = [Self::Plain, Self::SuperFrames].map(Self::name);
        schemars::json_schema!({"type": "string", "enum": all})
    }
}

impl Wire {
    /// The word for it in `showport`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::SuperFrames => "super-frames",
        }
    }

    /// The longest message, in octets.
    const fn limit(self) -> usize {
        match self {
            Self::Plain => MAX_MESSAGE_LEN,
            Self::SuperFrames => MAX_SUPER_FRAME_LEN + MAX_PREFIX_LEN,
        }
    }
}

/// One end of a connection, for reading or for writing.
#[derive(Debug)]
pub(super) struct Messages {
    decoder: Decoder,
    wire: Wire,
    /// A client's.
    masks: Option<Masks>,
}

/// What comes beside frames.
#[derive(Debug)]
pub(crate) enum Control {
    /// All but the binary messages.
    Event(Event),
    /// A binary message of a type that we do not know, and its length in octets.
    Unknown(usize),
    /// A frame whose offload fields do not fit it.
    BadOffload,
    /// What a link of several says; `None`: it is not one of its messages.
    Link(Option<LinkMessage>),
}

impl Messages {
    pub(super) fn new(role: Role, wire: Wire) -> Self {
        Self {
            decoder: Decoder::new(role, wire.limit()),
            wire,
            masks: (role == Role::Client).then(Masks::default),
        }
    }

    /// Octets of memory that a message takes whose end has not come.
    pub(super) fn held(&self) -> usize {
        self.decoder.held()
    }

    /// What goes before a message of `len` octets.
    pub(super) fn header_of(&mut self, opcode: Opcode, len: usize) -> io::Result<Header> {
        let mask = self.masks.as_mut().map(Masks::next).transpose()?;
        Ok(Header::new(opcode, len, mask))
    }

    /// What goes before the `len` octets of a frame, with what its message begins with.
    fn header_before(&mut self, prefix: &Prefix, len: usize) -> io::Result<Header> {
        let mut header = self.header_of(Opcode::Binary, prefix.len() + len)?;
        header.push_payload(prefix);
        Ok(header)
    }

    /// What the binary message at `place` is.
    fn item(&self, block: &mut [u8], place: Range<usize>) -> Item<Control> {
        if self.wire == Wire::Plain {
            return Item::Frame(place, Offload::NONE);
        }
        match typed::read(&mut block[place.clone()]) {
            Ok((prefix, offload)) => Item::Frame(place.start + prefix..place.end, offload),
            Err(control) => Item::Control(control),
        }
    }

    /// The same of one that came in fragments.
    fn gathered(&self, data: Bytes) -> Item<Control> {
        if self.wire == Wire::Plain {
            return Item::Gathered(data, Offload::NONE);
        }
        let mut data = BytesMut::from(data);
        match typed::read(&mut data) {
            Ok((prefix, offload)) => Item::Gathered(data.split_off(prefix).freeze(), offload),
            Err(control) => Item::Control(control),
        }
    }
}

impl Framing for Messages {
    type Control = Control;
    type Error = ProtocolError;

    fn decode(
        &mut self,
        block: &mut [u8],
        at: &mut usize,
    ) -> Result<Option<Item<Control>>, ProtocolError> {
        Ok(self.decoder.decode(block, at)?.map(|event| match event {
            Event::Binary(place) => self.item(block, place),
            Event::Fragmented(data) => self.gathered(data),
            event => Item::Control(Control::Event(event)),
        }))
    }

    fn header(&mut self, len: usize) -> io::Result<Header> {
        match self.wire {
            Wire::Plain => self.header_of(Opcode::Binary, len),
            Wire::SuperFrames => self.header_before(&Prefix::FINISHED, len),
        }
    }

    fn unfinished(&mut self, frame: &Frame) -> io::Result<Option<Header>> {
        if self.wire == Wire::Plain {
            return Ok(None);
        }
        let prefix = Prefix::of(frame);
        prefix.map(|prefix| self.header_before(&prefix, frame.len())).transpose()
    }
}

/// Masking keys that a peer's proxy cannot foresee (RFC 6455, 10.3): the kernel's
/// own randomness. A library's generator would gather entropy for 30 ms at its first
/// use, and all ports would wait.
#[derive(Debug, Default)]
struct Masks {
    pool: Vec<[u8; 4]>,
}

impl Masks {
    fn next(&mut self) -> io::Result<[u8; 4]> {
        if let Some(mask) = self.pool.pop() {
            return Ok(mask);
        }
        self.pool.resize(RANDOM_OCTETS / 4, [0; 4]);
        if let Err(error) = getrandom::fill(self.pool.as_flattened_mut()) {
            self.pool.clear();
            return Err(error.into());
        }
        self.pool.pop().ok_or_else(|| io::Error::other("the system did not provide random numbers"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_key_comes_twice_in_a_draw() {
        let mut masks = Masks::default();
        let keys: Vec<_> =
            (0..3 * RANDOM_OCTETS / 4).map(|_| masks.next().expect("random")).collect();
        let different: HashSet<_> = keys.iter().collect();
        // Of 3,072 keys of 32 bits two are alike once in a thousand times.
        assert!(different.len() + 3 >= keys.len());
    }
}
