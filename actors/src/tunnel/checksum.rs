//! The Internet checksum (RFC 1071).
//!
//! Under `segment`, which writes checksums, and `coalesce`, which verifies them: the
//! one loop over each octet on the frame's path. Knows nothing of headers.

/// Sum of `data` as 16-bit words in network order, with an odd last octet padded by
/// zero; at most 16 bits, so that sums can be added without a thought of overflow.
///
/// Words of 64 bits are added as two halves of 32, which compilers make vector code
/// of; and as the sum is the same in either byte order, but for swapped octets in
/// the result (RFC 1071, 2), no word is swapped. 2^32 words would overflow.
pub(super) fn sum(data: &[u8]) -> u64 {
    let (words, rest) = data.as_chunks::<8>();
    let (mut low, mut high) = (0, 0);
    for word in words {
        let word = u64::from_ne_bytes(*word);
        low += word & 0xffff_ffff;
        high += word >> 32;
    }
    let (half, rest) = rest.as_chunks::<4>();
    for word in half {
        low += u64::from(u32::from_ne_bytes(*word));
    }
    if !rest.is_empty() {
        let mut word = [0; 4];
        word[..rest.len()].copy_from_slice(rest);
        high += u64::from(u32::from_ne_bytes(word));
    }
    u64::from(u16::from_be(fold(low + high)))
}

/// A sum in 16 bits.
#[expect(clippy::cast_possible_truncation, reason = "the carries are added until none is left")]
pub(super) fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn sums_are_those_of_word_after_word(data in vec(any::<u8>(), 0..200), at in 0..8_usize) {
            let data = &data[at.min(data.len())..];
            let words = data.chunks(2).map(|w| u16::from_be_bytes([w[0], *w.get(1).unwrap_or(&0)]));
            prop_assert_eq!(sum(data), u64::from(fold(words.map(u64::from).sum())));
        }
    }

    #[test]
    fn the_longest_frame_does_not_overflow() {
        assert_eq!(sum(&[0xff; 0x1_0000]), 0xffff);
        assert_eq!(sum(&[]), 0);
        assert_eq!(sum(&[0x12]), 0x1200);
    }
}
