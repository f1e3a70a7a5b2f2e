//! WebSocket's messages as a [`Framing`]: one frame a binary message, in both roles.
//!
//! Between the link's halves and `codec`. Adds to it what is not pure: the masking keys of
//! a client.

use std::io;

use super::{
    codec::{Decoder, Event, MAX_MESSAGE_LEN, Opcode, ProtocolError, Role},
    framing::{Framing, Header, Item},
};

/// Octets of randomness that are drawn at once: a system's generator costs
/// microseconds a call, a thousandth of that a key.
const RANDOM_OCTETS: usize = 4096;

/// One end of a connection, for reading or for writing.
#[derive(Debug)]
pub(super) struct Messages {
    decoder: Decoder,
    /// A client's.
    masks: Option<Masks>,
}

impl Messages {
    pub(super) fn new(role: Role) -> Self {
        Self {
            decoder: Decoder::new(role, MAX_MESSAGE_LEN),
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
}

impl Framing for Messages {
    /// All but the binary messages.
    type Control = Event;
    type Error = ProtocolError;

    fn decode(
        &mut self,
        block: &mut [u8],
        at: &mut usize,
    ) -> Result<Option<Item<Event>>, ProtocolError> {
        Ok(self.decoder.decode(block, at)?.map(|event| match event {
            Event::Binary(place) => Item::Frame(place),
            Event::Fragmented(data) => Item::Gathered(data),
            control => Item::Control(control),
        }))
    }

    fn header(&mut self, len: usize) -> io::Result<Header> {
        self.header_of(Opcode::Binary, len)
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
