//! Reads a filter: a recursive descent over its words, bounded in length and depth.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
    ops::Range,
};

use super::{
    ETHERTYPE_IPV4, ETHERTYPE_IPV6, End, IpNextHeaderProtocol, Net, Term, Test, Vid, What,
    words::{self, Layer},
};
use crate::core::packet::has_ports;

/// Longest filter in octets: each frame is asked all of it, and a thousand is more than anybody
/// types.
const MAX_LEN: usize = 1024;

/// Most parentheses around something.
const MAX_DEPTH: usize = 32;

/// Least EtherType; what is less is a length (IEEE 802.3, 3.2.6).
const MIN_ETHERTYPE: u16 = 0x0600;

type Terms = Box<[Term]>;

/// Why a text is no filter, and where: the text stands in a line of its own, with a caret under
/// the place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct FilterError {
    expected: String,
    text: String,
    /// In characters.
    at: Range<usize>,
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Invalid filter: {}", self.expected)?;
        if self.text.is_empty() {
            return Ok(());
        }
        let carets = "^".repeat(self.at.len().max(1));
        write!(f, "\n{}\n{}{carets}", self.text, " ".repeat(self.at.start))
    }
}

/// What stands before a value.
#[derive(Debug, Clone, Copy)]
struct Qualifiers {
    layer: Option<Layer>,
    end: Option<End>,
    kind: Kind,
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Host,
    Net,
    Port,
    PortRange,
    Proto,
}

const KINDS: [(&str, Kind); 5] = [
    ("host", Kind::Host),
    ("net", Kind::Net),
    ("port", Kind::Port),
    ("portrange", Kind::PortRange),
    ("proto", Kind::Proto),
];

/// All other words that a question may begin with.
const OTHERS: [&str; 7] = ["src", "dst", "vlan", "broadcast", "multicast", "less", "greater"];

/// Whether a filter may begin so.
pub(super) fn may_begin(text: &str) -> bool {
    let Some(word) = split(text).next().map(|at| &text[at]) else { return false };
    let is_kind = KINDS.iter().any(|(name, _)| *name == word);
    is_kind
        || OTHERS.contains(&word)
        || ["not", "!", "("].contains(&word)
        || words::layer(word).is_some()
        || word.parse::<IpAddr>().is_ok()
}

pub(super) fn parse(text: &str) -> Result<Terms, FilterError> {
    if text.len() > MAX_LEN {
        let expected = format!("it has {} octets; give at most {MAX_LEN}", text.len());
        return Err(FilterError { expected, text: String::new(), at: 0..0 });
    }
    let last = Qualifiers { layer: None, end: None, kind: Kind::Host };
    let mut parser = Parser { text, words: split(text).collect(), next: 0, depth: 0, last };
    let terms = parser.terms()?;
    match parser.peek() {
        "" => Ok(terms),
        _ => Err(parser.expected("and, or, or the end of the filter")),
    }
}

/// Where the words are: runs without blanks, parentheses and `!`, `&&` and `||`.
fn split(text: &str) -> impl Iterator<Item = Range<usize>> {
    let (whole, mut rest) = (text.len(), text);
    std::iter::from_fn(move || {
        rest = rest.trim_start();
        let is_end = |c: char| c.is_whitespace() || "()!&|".contains(c);
        let first = rest.chars().next()?;
        let len = match first {
            '(' | ')' | '!' => 1,
            '&' | '|' => rest.find(|c| c != first).unwrap_or(rest.len()).min(2),
            _ => rest.find(is_end).unwrap_or(rest.len()),
        };
        let at = whole - rest.len();
        rest = &rest[len..];
        Some(at..at + len)
    })
}

struct Parser<'a> {
    text: &'a str,
    words: Vec<Range<usize>>,
    /// The word at hand.
    next: usize,
    depth: usize,
    /// What a value has that stands alone: as tcpdump, that of the one before.
    last: Qualifiers,
}

impl<'a> Parser<'a> {
    fn word(&self, at: usize) -> &'a str {
        self.words.get(at).map_or("", |word| &self.text[word.clone()])
    }

    /// The word at hand; empty at the end.
    fn peek(&self) -> &'a str {
        self.word(self.next)
    }

    /// Takes the word at hand if it is one of these.
    fn take(&mut self, words: &[&str]) -> bool {
        let is_one = words.contains(&self.peek());
        self.next += usize::from(is_one);
        is_one
    }

    /// What was expected instead of the word at hand.
    fn expected(&self, what: &str) -> FilterError {
        self.error(format!("expected {what}"))
    }

    /// What is wrong with the word at hand.
    fn error(&self, text: impl Into<String>) -> FilterError {
        let end = self.text.trim_end().len();
        let at = self.words.get(self.next).cloned().unwrap_or(end..end);
        let chars = |at: usize| self.text[..at].chars().count();
        let plain = self.text.trim_end().chars().map(|c| if c.is_control() { ' ' } else { c });
        FilterError {
            expected: text.into(),
            text: plain.collect(),
            at: chars(at.start)..chars(at.end),
        }
    }

    fn terms(&mut self) -> Result<Terms, FilterError> {
        let mut terms = vec![self.term(false)?];
        loop {
            let is_or = if self.take(&["or", "||"]) {
                true
            } else if self.take(&["and", "&&"]) {
                false
            } else {
                return Ok(terms.into());
            };
            terms.push(self.term(is_or)?);
        }
    }

    fn term(&mut self, is_or: bool) -> Result<Term, FilterError> {
        let mut is_not = false;
        while self.take(&["not", "!"]) {
            is_not = !is_not;
        }
        let what = if self.peek() == "(" { self.group()? } else { self.question()? };
        Ok(Term { is_or, is_not, what })
    }

    fn group(&mut self) -> Result<What, FilterError> {
        if self.depth == MAX_DEPTH {
            return Err(self.error(format!("more than {MAX_DEPTH} parentheses around this")));
        }
        self.next += 1;
        self.depth += 1;
        let terms = self.terms()?;
        self.depth -= 1;
        if !self.take(&[")"]) {
            return Err(self.expected("and, or, or )"));
        }
        Ok(What::Group(terms))
    }

    fn question(&mut self) -> Result<What, FilterError> {
        match self.peek() {
            "" | ")" | "and" | "&&" | "or" | "||" => {
                return Err(self.expected("a question, such as tcp port 80"));
            }
            "vlan" => return self.vlan().map(What::Is),
            "less" | "greater" => return self.length().map(What::Is),
            _ => {}
        }
        let begin = self.next;
        let layer = words::layer(self.peek());
        self.next += usize::from(layer.is_some());
        if let Some(test) = self.group_address(layer)? {
            return Ok(What::Is(test));
        }
        let end = self.end()?;
        let kind = KINDS.iter().find(|(name, _)| *name == self.peek()).map(|(_, kind)| *kind);
        self.next += usize::from(kind.is_some());
        let given = match (layer, end, kind) {
            (Some(Layer::Ether), None, None) => {
                return Err(self.expected("host, src, dst, proto, broadcast or multicast"));
            }
            (Some(Layer::Packet(ethertype)), None, None) => {
                return Ok(What::Is(Test::EtherType(ethertype)));
            }
            (Some(Layer::Carried(ethertype, protocol)), None, None) => {
                return Ok(What::Is(Test::Protocol(ethertype, protocol)));
            }
            (None, None, None) => self.last,
            _ => {
                let given = Qualifiers { layer, end, kind: kind.unwrap_or(Kind::Host) };
                self.check(given, begin)?;
                self.last = given;
                given
            }
        };
        if self.next > begin && self.peek() == "(" {
            return self.group();
        }
        self.value(given).map(What::Is)
    }

    /// Whether `given`, which began there, goes together.
    fn check(&mut self, given: Qualifiers, begin: usize) -> Result<(), FilterError> {
        use Layer::{Carried, Ether, Packet};
        let Qualifiers { layer, end, kind } = given;
        let is_ip = |ethertype| matches!(ethertype, ETHERTYPE_IPV4 | ETHERTYPE_IPV6);
        let advice = match (kind, layer) {
            (Kind::Proto, _) if end.is_some() => "proto has neither src nor dst",
            (Kind::Host, None | Some(Ether | Packet(_)))
            | (Kind::Net, None | Some(Packet(_)))
            | (Kind::Port | Kind::PortRange | Kind::Proto, None)
            | (Kind::Proto, Some(Ether)) => return Ok(()),
            (Kind::Proto, Some(Packet(ethertype))) if is_ip(ethertype) => return Ok(()),
            (Kind::Port | Kind::PortRange, Some(Carried(_, protocol))) if has_ports(protocol) => {
                return Ok(());
            }
            (Kind::Host, _) => "this has no hosts; join it by and to host",
            (Kind::Net, _) => "this has no networks; join it by and to net",
            (Kind::Port | Kind::PortRange, _) => "only tcp, udp and sctp have ports",
            (Kind::Proto, _) => "only ether, ip and ip6 have proto",
        };
        self.next = begin;
        Err(self.error(advice))
    }

    /// `broadcast` or `multicast`, if that is next.
    fn group_address(&mut self, layer: Option<Layer>) -> Result<Option<Test>, FilterError> {
        let test = match (self.peek(), layer) {
            ("broadcast", None | Some(Layer::Ether)) => Test::Broadcast,
            ("multicast", None | Some(Layer::Ether)) => Test::Multicast,
            ("multicast", Some(Layer::Packet(ethertype @ (ETHERTYPE_IPV4 | ETHERTYPE_IPV6)))) => {
                Test::IpMulticast(ethertype)
            }
            ("broadcast" | "multicast", _) => {
                return Err(
                    self.error("give ether before it, or nothing; multicast has ip and ip6")
                );
            }
            _ => return Ok(None),
        };
        self.next += 1;
        Ok(Some(test))
    }

    /// `src`, `dst`, or both of them joined.
    fn end(&mut self) -> Result<Option<End>, FilterError> {
        let first = match self.peek() {
            "src" => End::Source,
            "dst" => End::Destination,
            _ => return Ok(None),
        };
        self.next += 1;
        let joined = match self.peek() {
            "or" | "||" => End::Either,
            "and" | "&&" => End::Both,
            _ => return Ok(Some(first)),
        };
        let other = if first == End::Source { "dst" } else { "src" };
        self.next += 1;
        if !self.take(&[other]) {
            return Err(self.expected(other));
        }
        Ok(Some(joined))
    }

    fn vlan(&mut self) -> Result<Test, FilterError> {
        self.next += 1;
        let word = self.peek();
        if !word.starts_with(|c: char| c.is_ascii_digit()) {
            return Ok(Test::Vlan(None));
        }
        let vid = number(word).and_then(Vid::new);
        let vid = vid.ok_or_else(|| self.expected("the number of a VLAN, 0 to 4094"))?;
        self.next += 1;
        Ok(Test::Vlan(Some(vid)))
    }

    fn length(&mut self) -> Result<Test, FilterError> {
        let is_less = self.take(&["less"]);
        self.next += usize::from(!is_less);
        let len = number(self.peek()).ok_or_else(|| self.expected("a number of octets"))?;
        self.next += 1;
        let len = usize::from(len);
        Ok(Test::Len(if is_less { 0..=len } else { len..=usize::MAX }))
    }

    fn value(&mut self, given: Qualifiers) -> Result<Test, FilterError> {
        let end = given.end.unwrap_or(End::Either);
        // A backslash keeps a word from being one of the language's own.
        let word = self.peek();
        let word = word.strip_prefix('\\').unwrap_or(word);
        let ethertype = match given.layer {
            Some(Layer::Packet(ethertype)) => Some(ethertype),
            _ => None,
        };
        let protocol = match given.layer {
            Some(Layer::Carried(_, protocol)) => Some(protocol),
            _ => None,
        };
        let test = match given.kind {
            Kind::Host if given.layer == Some(Layer::Ether) => {
                let mac = word.parse().ok();
                Test::Mac(
                    end,
                    mac.ok_or_else(|| self.expected("a MAC address: 02:00:00:00:00:01"))?,
                )
            }
            Kind::Host => {
                let address: IpAddr = word.parse().map_err(|_| self.no_address(word))?;
                let len = if address.is_ipv4() { 32 } else { 128 };
                Test::Net(ethertype, end, Net { address, len })
            }
            Kind::Net => Test::Net(ethertype, end, self.network(word)?),
            Kind::Port => {
                let port = words::port(word);
                let port =
                    port.ok_or_else(|| self.expected("a port: 0 to 65535, http, domain .."))?;
                Test::Port(protocol, end, port..=port)
            }
            Kind::PortRange => {
                let range = word.split_once('-').map(|(a, b)| (words::port(a), words::port(b)));
                match range {
                    Some((Some(first), Some(last))) if first <= last => {
                        Test::Port(protocol, end, first..=last)
                    }
                    _ => return Err(self.expected("two ports, the lower one first: 5000-5010")),
                }
            }
            Kind::Proto if given.layer == Some(Layer::Ether) => {
                let named = match words::layer(word) {
                    Some(Layer::Packet(ethertype)) => Some(ethertype),
                    _ => number(word).filter(|ethertype| *ethertype >= MIN_ETHERTYPE),
                };
                let expected = || self.expected("an EtherType: ip, ip6, arp, rarp, or from 0x0600");
                Test::EtherType(named.ok_or_else(expected)?)
            }
            Kind::Proto => {
                let named = match words::layer(word) {
                    Some(Layer::Carried(_, protocol)) => Some(protocol),
                    _ => number(word).and_then(|n| u8::try_from(n).ok()).map(IpNextHeaderProtocol),
                };
                let expected = || self.expected("a protocol of IP: tcp, udp .., or 0 to 255");
                Test::Protocol(ethertype, named.ok_or_else(expected)?)
            }
        };
        self.next += 1;
        Ok(test)
    }

    fn no_address(&self, word: &str) -> FilterError {
        if word.parse::<super::MacAddr>().is_ok() {
            self.error("a MAC address wants ether before it: ether host, ether src, ether dst")
        } else if word.contains('/') {
            self.error("a network wants net before it, and not host")
        } else if word.contains(['[', '=', '<', '>']) {
            self.error("octets of a frame cannot be compared; less and greater ask for its length")
        } else if word.starts_with(|c: char| c.is_ascii_digit()) || word.is_empty() {
            self.expected("an IP address")
        } else {
            self.expected(
                "an IP address, or a word such as host, net, port; names are not looked up",
            )
        }
    }

    /// `192.0.2.0/24`, `2001:db8::/32`, or the first octets of an IPv4 network, `192.0.2`.
    fn network(&self, word: &str) -> Result<Net, FilterError> {
        let (address, len) = match word.split_once('/') {
            Some((address, len)) => (address, Some(len)),
            None => (word, None),
        };
        let parts = address.split('.').count();
        let padded = format!("{address}{}", ".0".repeat(4_usize.saturating_sub(parts)));
        let padded = if address.contains(':') { address } else { &padded };
        let address: Option<IpAddr> = padded.parse().ok();
        let most = address.map_or(32, |address| if address.is_ipv4() { 32 } else { 128 });
        let len = match len {
            Some(len) => len.parse().ok().filter(|len| *len <= most),
            None if most == 32 && parts < 4 => u8::try_from(8 * parts).ok(),
            // tcpdump takes it for a host.
            None => None,
        };
        let (Some(address), Some(len)) = (address, len) else {
            return Err(self.expected("a network, such as 192.0.2.0/24, 192.0.2 or 2001:db8::/32"));
        };
        let net: IpAddr = match address {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(u32::from(32 - len)).unwrap_or(0);
                Ipv4Addr::from_bits(v4.to_bits() & mask).into()
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(u32::from(128 - len)).unwrap_or(0);
                std::net::Ipv6Addr::from_bits(v6.to_bits() & mask).into()
            }
        };
        if net != address {
            return Err(self.error(format!("there are bits behind the network; give {net}/{len}")));
        }
        Ok(Net { address, len })
    }
}

/// A number, decimal or with `0x`.
fn number(word: &str) -> Option<u16> {
    match word.strip_prefix("0x") {
        Some(digits) => u16::from_str_radix(digits, 16).ok(),
        None => word.parse().ok(),
    }
}
