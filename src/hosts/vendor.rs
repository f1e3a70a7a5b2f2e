//! The vendor of a MAC address: the holder of its prefix in the IEEE's public listing, or
//! the virtual machine or container software that uses it. Read-only data in the program,
//! of which only what is read costs memory; made by `vendors/make.py`.

use std::cmp::Ordering;

use etherws_actors::frame::MacAddr;

/// Blocks of 36, 28 and 24 bits (MA-S, MA-M, MA-L): a prefix and the place of its name,
/// by prefix.
const MA_S: &[u8] = include_bytes!("vendors/ma-s.bin");
const MA_M: &[u8] = include_bytes!("vendors/ma-m.bin");
const MA_L: &[u8] = include_bytes!("vendors/ma-l.bin");

/// A name a line.
const NAMES: &str = include_str!("vendors/names.txt");

/// Prefixes that say more than their holder does, or have none: most are locally
/// administered.
const WELL_KNOWN: &[(&[u8], &str)] = &[
    (&[0x00, 0x00, 0x5e, 0x00, 0x01], "VRRP"),
    (&[0x00, 0x00, 0x5e, 0x00, 0x02], "VRRP"),
    (&[0x00, 0x16, 0x3e], "Xen"),
    (&[0x02, 0x42], "Docker"),
    (&[0x08, 0x00, 0x27], "VirtualBox"),
    (&[0x0a, 0x58], "Kubernetes CNI"),
    (&[0x52, 0x54, 0x00], "QEMU"),
    // The TAP of such a machine, as libvirt names it.
    (&[0xfe, 0x54, 0x00], "QEMU"),
];

/// Shown for a locally administered address: set by an operator, a driver, or a phone that
/// changes it from time to time.
const LOCAL: &str = "(local)";

/// The vendor of `mac`, in up to 20 ASCII characters; `None` if none is listed.
pub(crate) fn vendor(mac: MacAddr) -> Option<&'static str> {
    let octets = mac.0;
    if let Some((_, name)) = WELL_KNOWN.iter().find(|(prefix, _)| octets.starts_with(prefix)) {
        return Some(name);
    }
    // The bit U/L (IEEE 802, 8.2.2).
    if octets[0] & 2 != 0 {
        return Some(LOCAL);
    }
    let [a, b, c, d, e, _] = octets;
    find::<5, 8>(MA_S, [a, b, c, d, e & 0xf0])
        .or_else(|| find::<4, 7>(MA_M, [a, b, c, d & 0xf0]))
        .or_else(|| find::<3, 6>(MA_L, [a, b, c]))
}

/// The name of `prefix` in a table of records of `R` octets: `P` of the prefix, and 3 of
/// the name's place.
fn find<const P: usize, const R: usize>(
    table: &'static [u8],
    prefix: [u8; P],
) -> Option<&'static str> {
    let (records, _) = table.as_chunks::<R>();
    let order = |record: &[u8; R]| -> Ordering { record[..P].cmp(&prefix) };
    let record = &records[records.binary_search_by(order).ok()?];
    let place = record[P..].iter().fold(0, |place, &octet| place << 8 | usize::from(octet));
    NAMES.get(place..)?.lines().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(mac: &str) -> Option<&'static str> {
        vendor(mac.parse().expect("a MAC address"))
    }

    #[test]
    fn the_longest_block_has_the_name() {
        assert_eq!(of("00:00:0c:12:34:56"), Some("Cisco"));
        assert_eq!(of("b8:27:eb:12:34:56"), Some("Raspberry Pi"));
        // One MA-L, split into MA-M or MA-S.
        assert_eq!(of("c8:5c:e2:7a:bc:de"), Some("Synergy"));
        assert_ne!(of("c8:5c:e2:8a:bc:de"), of("c8:5c:e2:7a:bc:de"));
        assert_eq!(of("70:b3:d5:00:0f:ff"), of("70:b3:d5:00:00:00"));
        assert_ne!(of("70:b3:d5:00:1f:ff"), of("70:b3:d5:00:00:00"));
        assert_eq!(of("00:00:00:00:00:00"), Some("Xerox"));
    }

    #[test]
    fn who_made_up_an_address_is_named_where_that_is_known() {
        assert_eq!(of("52:54:00:12:34:56"), Some("QEMU"));
        assert_eq!(of("02:42:ac:11:00:02"), Some("Docker"));
        assert_eq!(of("00:00:5e:00:01:07"), Some("VRRP"));
        assert_eq!(of("9a:1b:2c:3d:4e:5f"), Some("(local)"));
    }

    #[test]
    fn the_tables_are_sorted_and_every_name_is_there() {
        fn check<const P: usize, const R: usize>(table: &'static [u8]) {
            let (records, rest) = table.as_chunks::<R>();
            assert!(rest.is_empty());
            assert!(records.len() > 1000 && records.is_sorted_by(|a, b| a[..P] < b[..P]));
            for record in records {
                let prefix = std::array::from_fn(|at| record[at]);
                let name = find::<P, R>(table, prefix).expect("a name");
                assert!((1..=20).contains(&name.len()), "{name:?}");
                assert!(name.bytes().all(|octet| octet.is_ascii_graphic() || octet == b' '));
            }
        }
        check::<5, 8>(MA_S);
        check::<4, 7>(MA_M);
        check::<3, 6>(MA_L);
    }
}
