//! Options of DHCP and of DHCPv6, and the ports that their messages come and go by.

use super::get;

/// Port of DHCP's servers (RFC 2131, 4.1).
pub const SERVER: u16 = 67;

/// Port of its clients.
pub const CLIENT: u16 = 68;

/// Port of DHCPv6's servers (RFC 8415, 7.2).
pub const SERVER6: u16 = 547;

/// Port of its clients.
pub const CLIENT6: u16 = 546;

/// What DHCP's options begin with (RFC 2131, 3).
pub const COOKIE: [u8; 4] = [99, 130, 83, 99];

/// Padding, which has no length, and the end of options (RFC 2132, 3.1 and 3.2).
const PAD: u8 = 0;
const END: u8 = 255;

/// Code and value of each option of a message of DHCP from its [cookie](COOKIE) on, up to the first
/// one that is longer than what is there; none without the cookie.
pub fn options(octets: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut options = octets.strip_prefix(&COOKIE).unwrap_or_default();
    std::iter::from_fn(move || {
        while let [PAD, rest @ ..] = options {
            options = rest;
        }
        let [code, len, rest @ ..] = options else { return None };
        if *code == END {
            return None;
        }
        let (value, rest) = rest.split_at_checked(usize::from(*len))?;
        options = rest;
        Some((*code, value))
    })
}

/// Code and value of each option of a message of DHCPv6, or of one inside another (RFC 8415,
/// 21.1), up to the first one that is longer than what is there.
pub fn options6(mut options: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let (head, rest) = options.split_first_chunk::<4>()?;
        let (value, rest) = rest.split_at_checked(get(head, 2).into())?;
        options = rest;
        Some((get(head, 0), value))
    })
}
