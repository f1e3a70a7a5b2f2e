//! The Internet checksum (RFC 1071), as segmentation and coalescing need it: over
//! every payload octet that a tunnel carries. And SCTP's CRC32c.
//!
//! Pure. Sums are kept in host words of 64 bits; nothing here knows a header.

/// The ones' complement sum of `data` as 16-bit words in network order, an odd
/// octet padded with zero. Sums of parts add up to the sum of the whole where
/// each part but the last has an even length.
///
/// Adds 32 bits at a time into 64, which needs 16 GiB to overflow, and in the
/// host's byte order: a ones' complement sum may be swapped once, at its end
/// (RFC 1071, 2 B). The compiler makes vector instructions of it.
pub(crate) fn sum(data: &[u8]) -> u64 {
    let (words, rest) = data.as_chunks::<4>();
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    let words = words.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum::<u64>();
    let total = words + u64::from(u32::from_ne_bytes(last));
    u64::from(u16::from_be(fold(total)))
}

/// A sum in 16 bits. Zero only if all that was summed is.
#[expect(clippy::cast_possible_truncation, reason = "the carries are added until none is left")]
pub(crate) const fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// The remainders of CRC32c for each octet, lowest bit first.
const CRC: [u32; 256] = {
    let (mut table, mut octet) = ([0; 256], 0_u32);
    while octet < 256 {
        let (mut crc, mut bit) = (octet, 0);
        while bit < 8 {
            // The polynomial of RFC 9260, appendix A, mirrored.
            crc = crc >> 1 ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
            bit += 1;
        }
        table[octet as usize] = crc;
        octet += 1;
    }
    table
};

/// The CRC32c of these parts, one behind the other (RFC 9260, 6.8).
pub(crate) fn crc32c<const N: usize>(parts: [&[u8]; N]) -> u32 {
    let octets = parts.into_iter().flatten();
    !octets.fold(u32::MAX, |crc, octet| crc >> 8 ^ CRC[usize::from(crc.to_le_bytes()[0] ^ octet)])
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn slow(data: &[u8]) -> u16 {
        let word = |pair: &[u8]| u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0));
        fold(data.chunks(2).map(word).sum())
    }

    #[test]
    fn the_example_of_rfc_1071_is_summed() {
        assert_eq!(sum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), 0xddf2);
        assert_eq!(sum(&[]), 0);
        assert_eq!(sum(&[0xff; 65_535]), 0xff00);
    }

    #[test]
    fn the_examples_of_rfc_3720_have_their_crc() {
        let counted: Vec<u8> = (0..32).collect();
        for (octets, crc) in [
            (&[0; 32][..], 0x8a91_36aa),
            (&[0xff; 32], 0x62a8_ab43),
            (&counted, 0x46dd_794e),
            (b"123456789", 0xe306_9283),
        ] {
            assert_eq!(crc32c([octets]), crc, "{octets:?}");
            assert_eq!(crc32c([&octets[..5], &octets[5..]]), crc);
        }
    }

    proptest! {
        #[test]
        fn the_sum_is_that_of_sixteen_bit_words(data in vec(any::<u8>(), 0..3000)) {
            prop_assert_eq!(fold(sum(&data)), slow(&data));
        }

        #[test]
        fn sums_of_parts_add_up(data in vec(any::<u8>(), 0..300), at in 0..150_usize) {
            let (head, rest) = data.split_at((2 * at).min(data.len() & !1));
            prop_assert_eq!(fold(sum(head) + sum(rest)), slow(&data));
        }
    }
}
