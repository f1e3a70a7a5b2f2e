//! The PROXY protocol, versions 1 and 2 (HAProxy's `proxy-protocol.txt`): a header before the
//! first octet of a connection, TLS or not, in which a proxy says where its client comes from.
//! Only on listeners that require it, and there it must come. Reads no octet behind it.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use proxy_header::{Error, ParseConfig, ProxyHeader};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    time::timeout,
};

use crate::options::Proxies;

/// Time for the header, which a proxy sends in one piece: three round trips to the other side
/// of the Earth take one second.
const LIMIT: Duration = Duration::from_secs(3);

/// The shortest header of all: `PROXY UNKNOWN` and the end of its line.
const SHORTEST: usize = 15;

/// Head of a header of version 2, behind which its length is known.
const HEAD_V2: usize = 16;

/// Longest header: addresses, and what else a proxy tells, which is skipped.
const LONGEST: usize = 1024;

/// Reads the header of a connection from `from`, and gives where its client comes from;
/// `None` where it does not say: for connections of the proxy's own (`LOCAL`, `UNKNOWN`).
///
/// # Errors
/// It is not from a trusted proxy, if some are named; it is not valid, or does not come.
pub(super) async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    from: IpAddr,
    proxies: &Proxies,
) -> Result<Option<SocketAddr>, &'static str> {
    if !proxies.trusted.is_empty() && !proxies.trusts(from) {
        return Err("The connection does not come from a trusted proxy");
    }
    let header = timeout(LIMIT, header(stream)).await;
    header.unwrap_or(Err("No PROXY header came within 3 s"))
}

async fn header(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<SocketAddr>, &'static str> {
    const INVALID: &str = "The connection does not begin with a valid PROXY header";
    let mut octets = Vec::with_capacity(128);
    let mut missing = SHORTEST;
    loop {
        let have = octets.len();
        if have + missing > LONGEST {
            return Err(INVALID);
        }
        octets.resize(have + missing, 0);
        stream.read_exact(&mut octets[have..]).await.map_err(|_| INVALID)?;
        match ProxyHeader::parse(&octets, ParseConfig::default()) {
            Ok((header, _)) => {
                let address = header.proxied_address().map(|proxied| proxied.source);
                return Ok(
                    address.map(|from| SocketAddr::new(from.ip().to_canonical(), from.port()))
                );
            }
            Err(Error::BufferTooShort) => {}
            Err(_) => return Err(INVALID),
        }
        missing = match (octets[0], octets.get(HEAD_V2 - 2..HEAD_V2)) {
            // A line, whose end is not known.
            (b'P', _) => 1,
            (_, Some(&[high, low])) => {
                let length = usize::from(u16::from_be_bytes([high, low]));
                (HEAD_V2 + length)
                    .checked_sub(octets.len())
                    .filter(|&more| more > 0)
                    .ok_or(INVALID)?
            }
            (_, _) => HEAD_V2 - octets.len(),
        };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What comes of `octets`, and how many of them are left.
    fn read(octets: &[u8]) -> (Result<Option<SocketAddr>, &'static str>, usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut stream = octets;
        let read = runtime.block_on(header(&mut stream));
        (read, stream.len())
    }

    fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[0x20 | command, family], &length, body].concat()
    }

    /// 203.0.113.5:4711 to 10.0.0.1:80.
    const V4: [u8; 12] = [203, 0, 113, 5, 10, 0, 0, 1, 0x12, 0x67, 0, 80];

    #[test]
    fn a_header_is_read_and_nothing_behind_it() {
        let address = |text: &str| Ok(Some(text.parse().unwrap()));
        let v6 = [&[0x20, 1, 0x0d, 0xb8][..], &[0; 11], &[1], &[0; 16], &[0x12, 0x67, 0, 80]];
        let tlv = [&V4[..], &[0x04, 0, 3, 1, 2, 3], &[0xe0, 0x02, 0], &[0; 512]].concat();
        for (header, wanted) in [
            (b"PROXY TCP4 203.0.113.5 10.0.0.1 4711 80\r\n".to_vec(), address("203.0.113.5:4711")),
            (b"PROXY TCP6 2001:db8::1 ::1 4711 80\r\n".to_vec(), address("[2001:db8::1]:4711")),
            (b"PROXY UNKNOWN\r\n".to_vec(), Ok(None)),
            (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(), Ok(None)),
            (v2(1, 0x11, &V4), address("203.0.113.5:4711")),
            (v2(1, 0x11, &tlv), address("203.0.113.5:4711")),
            (v2(1, 0x21, &v6.concat()), address("[2001:db8::1]:4711")),
            (v2(0, 0x00, b""), Ok(None)),
            (v2(0, 0x11, &V4), Ok(None)),
            (v2(1, 0x00, b""), Ok(None)),
        ] {
            let whole = [&header[..], b"GET / HTTP/1.1\r\n"].concat();
            assert_eq!(read(&whole), (wanted, 16), "{header:x?}");
            for end in 0..header.len() {
                assert!(read(&header[..end]).0.is_err(), "cut at {end}: {header:x?}");
            }
        }
    }

    #[test]
    fn what_is_no_header_is_refused() {
        for wrong in [
            b"GET / HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(),
            b"PROXY TCP4 203.0.113.5 10.0.0.1 4711 80\n\n".to_vec(),
            b"PROXY TCP4 203.0.113.256 10.0.0.1 4711 80\r\n".to_vec(),
            b"PROXY TCP4 2001:db8::1 ::1 4711 80\r\n".to_vec(),
            b"PROXY TCP4 203.0.113.5 10.0.0.1 4711 65536\r\n".to_vec(),
            b"PROXY UDP4 203.0.113.5 10.0.0.1 4711 80\r\n".to_vec(),
            [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 2000]].concat(),
            b"proxy TCP4 203.0.113.5 10.0.0.1 4711 80\r\n".to_vec(),
            v2(2, 0x11, &V4),
            v2(1, 0x11, &V4[..11]),
            v2(1, 0x11, &[0; 2000]),
            v2(1, 0x11, &[0; 65_535]),
            [&[0x16, 3, 1], &[0; 60][..]].concat(),
        ] {
            assert!(read(&wrong).0.is_err(), "{wrong:x?}");
        }
    }

    #[test]
    fn only_trusted_proxies_may_send_one() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let from = |proxies: &Proxies, last| {
            let mut stream = &b"PROXY TCP4 203.0.113.5 10.0.0.1 4711 80\r\n"[..];
            runtime.block_on(super::read(&mut stream, [10, 0, 0, last].into(), proxies)).is_ok()
        };
        let any = Proxies { protocol: true, ..Proxies::default() };
        let one = Proxies { trusted: vec!["10.0.0.1/32".parse().unwrap()], ..any.clone() };
        assert!(from(&any, 2) && from(&one, 1) && !from(&one, 2));
    }

    proptest! {
        #[test]
        fn nothing_panics(body in prop::collection::vec(any::<u8>(), 0..80), command: u8, kind: u8) {
            let _ = read(&v2(command, kind, &body));
            let _ = read(&[b"PROXY TCP4 ".as_slice(), &body].concat());
            let _ = read(&body);
        }
    }
}
