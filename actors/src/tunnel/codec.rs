//! WebSocket framing (RFC 6455, 5) for both roles: octets to messages and back.
//!
//! Stands between a tunnel's stream and its frames. Pure: it neither reads, writes
//! nor waits. It must never set memory aside for a length that a peer announces,
//! and never trust one.

use std::{fmt, mem, ops::Range};

use bytes::{Bytes, BytesMut};

pub use super::framing::{Header, MAX_HEADER_LEN};
use crate::core::frame::MAX_FRAME_LEN;

/// Longest message that is taken unless told otherwise, in octets: the longest
/// frame that the switch carries.
pub const MAX_MESSAGE_LEN: usize = MAX_FRAME_LEN;

/// Longest payload of a control frame (RFC 6455, 5.5).
pub const MAX_CONTROL_LEN: usize = 125;

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;

const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;

/// Which end of the connection this is. A client masks what it sends, a server
/// does not, and each insists on that of the other (RFC 6455, 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// We opened the connection.
    Client,
    /// The peer opened it.
    Server,
}

/// Why a connection is closed (RFC 6455, 7.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CloseCode(u16);

impl CloseCode {
    /// The purpose is fulfilled: 1000.
    pub const NORMAL: Self = Self(1000);
    /// The program ends: 1001.
    pub const GOING_AWAY: Self = Self(1001);
    /// The peer broke the protocol: 1002.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// A text is no UTF-8: 1007.
    pub const INVALID_DATA: Self = Self(1007);
    /// The peer may stay no longer: 1008.
    pub const POLICY: Self = Self(1008);
    /// A message is too long: 1009.
    pub const TOO_BIG: Self = Self(1009);
    /// There is too much to do: 1013.
    pub const TRY_AGAIN_LATER: Self = Self(1013);

    /// `None` for a number that must not be sent: those that stand for the absence
    /// of a code, those not assigned below 3000, and those out of range.
    #[must_use]
    pub const fn new(code: u16) -> Option<Self> {
        match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Some(Self(code)),
            _ => None,
        }
    }

    /// What the number stands for (IANA's registry of close codes); empty if for nothing
    /// that everybody knows.
    const fn meaning(self) -> &'static str {
        match self.0 {
            1000 => " (normal closure)",
            1001 => " (going away)",
            1002 => " (protocol error)",
            1003 => " (unsupported data)",
            1007 => " (invalid data)",
            1008 => " (policy violation)",
            1009 => " (message too big)",
            1010 => " (extension wanted)",
            1011 => " (internal error)",
            1012 => " (service restart)",
            1013 => " (try again later)",
            1014 => " (bad gateway)",
            _ => "",
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.0, self.meaning())
    }
}

/// What a peer has sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A binary message, and where in the block it stands.
    Binary(Range<usize>),
    /// A binary message that came in fragments.
    Fragmented(Bytes),
    /// A fragment that does not end its message, and its length in octets.
    Fragment(usize),
    /// A text message, of which only the length in octets is known. It is ignored,
    /// so it is not checked to be UTF-8 either.
    Text(usize),
    /// To be answered by a pong with the same payload.
    Ping(Bytes),
    /// The answer to a ping, or to none.
    Pong(Bytes),
    /// The peer's last frame, with its code and its reason if it gave any.
    Close(Option<CloseCode>, Box<str>),
}

/// The peer broke the protocol or a limit; there is no next message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// Reserved bits without an extension (RFC 6455, 5.2).
    #[error("a frame has reserved bits set; no extension was agreed on")]
    ReservedBits,
    /// An opcode that stands for nothing (RFC 6455, 5.2).
    #[error("a frame has the reserved opcode {0:#x}")]
    ReservedOpcode(u8),
    /// A client must mask (RFC 6455, 5.1).
    #[error("a frame from the client is not masked")]
    NotMasked,
    /// A server must not mask (RFC 6455, 5.1).
    #[error("a frame from the server is masked")]
    Masked,
    /// A length in more octets than it needs, or of more than 63 bits
    /// (RFC 6455, 5.2).
    #[error("a frame's length {0} is not in its shortest form, or above 2^63")]
    Length(u64),
    /// A control frame of more than 125 octets or in fragments (RFC 6455, 5.5).
    #[error("a control frame is longer than 125 octets or in fragments")]
    Control,
    /// A continuation of nothing (RFC 6455, 5.4).
    #[error("a frame continues a message that has not begun")]
    NothingToContinue,
    /// A new message inside a fragmented one (RFC 6455, 5.4).
    #[error("a message begins before the fragmented one before it has ended")]
    Interleaved,
    /// A close frame with half a code (RFC 6455, 5.5.1).
    #[error("a close frame has a payload of one octet")]
    ClosePayload,
    /// A code that must not be sent (RFC 6455, 7.4).
    #[error("a close frame has the invalid code {0}")]
    CloseCode(u16),
    /// The text behind a close code is no UTF-8 (RFC 6455, 8.1).
    #[error("the reason in a close frame is not valid UTF-8")]
    CloseReason,
    /// Longer than the limit (RFC 6455, 10.4).
    #[error("a message of at least {len} octets is longer than the limit of {limit}")]
    TooBig {
        /// What is known of its length.
        len: u64,
        /// The longest that is taken.
        limit: usize,
    },
}

impl ProtocolError {
    /// What to close the connection with.
    #[must_use]
    pub const fn close_code(&self) -> CloseCode {
        match self {
            Self::TooBig { .. } => CloseCode::TOO_BIG,
            Self::CloseReason => CloseCode::INVALID_DATA,
            _ => CloseCode::PROTOCOL_ERROR,
        }
    }
}

/// A frame's header, checked as far as it can be alone.
#[derive(Debug, Clone, Copy)]
struct FrameHeader {
    fin: bool,
    opcode: u8,
    mask: Option<[u8; 4]>,
    len: u64,
}

impl FrameHeader {
    /// The header at the start of `octets` and its length; `None` until all of it is
    /// there.
    fn read(octets: &[u8], role: Role) -> Result<Option<(Self, usize)>, ProtocolError> {
        let &[first, second, ref rest @ ..] = octets else { return Ok(None) };
        let (fin, opcode) = (first & FIN != 0, first & 0x0f);
        let (masked, short) = (second & MASKED != 0, second & !MASKED);
        if first & RESERVED != 0 {
            return Err(ProtocolError::ReservedBits);
        }
        match opcode {
            CONTINUATION | TEXT | BINARY => {}
            CLOSE | PING | PONG if fin && usize::from(short) <= MAX_CONTROL_LEN => {}
            CLOSE | PING | PONG => return Err(ProtocolError::Control),
            _ => return Err(ProtocolError::ReservedOpcode(opcode)),
        }
        match (role, masked) {
            (Role::Server, false) => return Err(ProtocolError::NotMasked),
            (Role::Client, true) => return Err(ProtocolError::Masked),
            _ => {}
        }
        // The shortest form is the only one: 126 stands for two octets of length,
        // 127 for eight.
        let (extended, least) = match short {
            126 => (2, 126),
            127 => (8, 1 << 16),
            _ => (0, 0),
        };
        let keys = if masked { 4 } else { 0 };
        let Some(fields) = rest.get(..extended) else { return Ok(None) };
        let len = if extended == 0 {
            u64::from(short)
        } else {
            fields.iter().fold(0, |len, &octet| len << 8 | u64::from(octet))
        };
        if len < least || len >> 63 != 0 {
            return Err(ProtocolError::Length(len));
        }
        let Some(key) = rest.get(extended..extended + keys) else { return Ok(None) };
        let mask = key.try_into().ok(); // an empty slice is no key
        Ok(Some((Self { fin, opcode, mask, len }, 2 + extended + keys)))
    }
}

/// A message of which fragments are still to come.
#[derive(Debug, Default)]
struct Fragments {
    text: bool,
    len: usize,
    /// Empty for text.
    data: BytesMut,
}

/// Takes a peer's messages from a read buffer.
#[derive(Debug)]
pub struct Decoder {
    role: Role,
    limit: usize,
    header: Option<FrameHeader>,
    fragments: Option<Fragments>,
}

impl Decoder {
    /// For our `role`; messages of more than `limit` octets are refused.
    #[must_use]
    pub const fn new(role: Role, limit: usize) -> Self {
        Self { role, limit, header: None, fragments: None }
    }

    /// Octets of memory that a message takes whose end has not come.
    pub(super) fn held(&self) -> usize {
        self.fragments.as_ref().map_or(0, |fragments| fragments.data.capacity())
    }

    /// The next event of `block` from `at` on, which moves behind what is decoded;
    /// `None` when more must be read. What stands before `at` is not needed again.
    ///
    /// # Errors
    /// The peer broke the protocol: the decoder must not be used again.
    pub fn decode(
        &mut self,
        block: &mut [u8],
        at: &mut usize,
    ) -> Result<Option<Event>, ProtocolError> {
        let header = match self.header {
            Some(header) => header,
            None => {
                let Some((header, len)) = FrameHeader::read(&block[*at..], self.role)? else {
                    return Ok(None);
                };
                *at += len;
                self.check(header)?;
                *self.header.insert(header)
            }
        };
        // `check` has bounded the length.
        let len = usize::try_from(header.len).unwrap_or(usize::MAX);
        let Some(payload) = block[*at..].get_mut(..len) else { return Ok(None) };
        self.header = None;
        if let Some(mask) = header.mask {
            unmask(payload, mask);
        }
        let place = *at..*at + len;
        *at = place.end;
        self.take(header, payload, place).map(Some)
    }

    /// Judges a data frame by its header, before its payload has come.
    fn check(&self, header: FrameHeader) -> Result<(), ProtocolError> {
        let before = match (&self.fragments, header.opcode) {
            (None, CONTINUATION) => return Err(ProtocolError::NothingToContinue),
            (Some(_), TEXT | BINARY) => return Err(ProtocolError::Interleaved),
            (Some(fragments), CONTINUATION) => fragments.len as u64,
            _ => 0,
        };
        let len = before.saturating_add(header.len);
        if len > self.limit as u64 && header.opcode & 0x8 == 0 {
            return Err(ProtocolError::TooBig { len, limit: self.limit });
        }
        Ok(())
    }

    fn take(
        &mut self,
        header: FrameHeader,
        payload: &[u8],
        place: Range<usize>,
    ) -> Result<Event, ProtocolError> {
        let fragments = match header.opcode {
            PING => return Ok(Event::Ping(Bytes::copy_from_slice(payload))),
            PONG => return Ok(Event::Pong(Bytes::copy_from_slice(payload))),
            CLOSE => return close(payload),
            BINARY if header.fin => return Ok(Event::Binary(place)),
            TEXT if header.fin => return Ok(Event::Text(payload.len())),
            opcode => self.fragments.get_or_insert_with(|| Fragments {
                text: opcode == TEXT,
                len: 0,
                data: BytesMut::new(),
            }),
        };
        fragments.len += payload.len();
        if !fragments.text {
            fragments.data.extend_from_slice(payload);
        }
        if !header.fin {
            return Ok(Event::Fragment(payload.len()));
        }
        let Fragments { text, len, data } = mem::take(fragments);
        self.fragments = None;
        Ok(if text { Event::Text(len) } else { Event::Fragmented(data.freeze()) })
    }
}

fn close(payload: &[u8]) -> Result<Event, ProtocolError> {
    match payload {
        [] => Ok(Event::Close(None, "".into())),
        [_] => Err(ProtocolError::ClosePayload),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            let known = CloseCode::new(code).ok_or(ProtocolError::CloseCode(code))?;
            let reason = std::str::from_utf8(reason).map_err(|_| ProtocolError::CloseReason)?;
            Ok(Event::Close(Some(known), reason.into()))
        }
    }
}

/// What a frame that we send is. Messages are never cut into fragments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    /// A binary message.
    Binary = BINARY,
    /// The end.
    Close = CLOSE,
    /// Asks whether the peer is alive.
    Ping = PING,
    /// The answer to a ping.
    Pong = PONG,
}

impl Header {
    /// The header before a payload of `len` octets, which is masked if there is a
    /// key.
    #[must_use]
    pub fn new(opcode: Opcode, len: usize, mask: Option<[u8; 4]>) -> Self {
        let mut header = Self::empty(mask);
        let bit = if mask.is_some() { MASKED } else { 0 };
        header.push(&[FIN | opcode as u8]);
        match (u8::try_from(len), u16::try_from(len)) {
            (Ok(len @ ..126), _) => header.push(&[bit | len]),
            (_, Ok(len)) => {
                header.push(&[bit | 126]);
                header.push(&len.to_be_bytes());
            }
            _ => {
                header.push(&[bit | 127]);
                header.push(&(len as u64).to_be_bytes());
            }
        }
        if let Some(mask) = mask {
            header.push(&mask);
        }
        header
    }
}

/// XORs `data` with a masking key (RFC 6455, 5.3).
pub fn unmask(data: &mut [u8], mask: [u8; 4]) {
    let wide = widen(mask);
    let (words, rest) = data.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (octet, key) in rest.iter_mut().zip(wide.to_ne_bytes()) {
        *octet ^= key;
    }
}

/// Copies `from` to `to`, which is as long, and masks it on the way: a frame that
/// others hold too cannot be masked where it is.
pub fn mask_copy(to: &mut [u8], from: &[u8], mask: [u8; 4]) {
    let wide = widen(mask);
    let (to_words, to_rest) = to.as_chunks_mut::<8>();
    let (from_words, from_rest) = from.as_chunks::<8>();
    for (to, from) in to_words.iter_mut().zip(from_words) {
        *to = (u64::from_ne_bytes(*from) ^ wide).to_ne_bytes();
    }
    for ((to, from), key) in to_rest.iter_mut().zip(from_rest).zip(wide.to_ne_bytes()) {
        *to = from ^ key;
    }
}

const fn widen(mask: [u8; 4]) -> u64 {
    let [a, b, c, d] = mask;
    u64::from_ne_bytes([a, b, c, d, a, b, c, d])
}

#[cfg(test)]
pub(super) mod tests;
