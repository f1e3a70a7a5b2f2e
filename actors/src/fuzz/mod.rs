//! Bodies of the fuzz targets in `fuzz/`: each takes any octets and panics where a
//! promise of the frame's path does not hold. Built for fuzzing and for tests alone;
//! the tests here feed them `fuzz/seeds`, where every input that ever failed is kept.

mod coalesce;
mod codec;
mod filter;
mod lldp;
mod message;
mod protocols;
mod relay;
mod segment;

pub use self::{
    coalesce::coalesce, codec::codec, filter::filter, lldp::lldp, message::message,
    protocols::protocols, relay::relay, segment::segment,
};

/// Fields read off the front of a fuzzer's octets. What is missing is zero, so that
/// no input is too short.
#[derive(Debug, Clone, Copy)]
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn u8(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or_default()
    }

    fn u16(&mut self) -> u16 {
        u16::from_be_bytes([self.u8(), self.u8()])
    }

    const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    /// Gives a target each of its seeds.
    fn replay(target: &str, body: fn(&[u8])) {
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds").join(target);
        let mut count = 0;
        for seed in fs::read_dir(&seeds).expect("a folder of seeds") {
            let path = seed.expect("a seed").path();
            println!("{}", path.display());
            body(&fs::read(path).expect("a readable seed"));
            count += 1;
        }
        assert!(count > 0, "{} has no seeds", seeds.display());
    }

    #[test]
    fn codec_keeps_its_promises_for_all_seeds() {
        replay("codec", codec);
    }

    #[test]
    fn filters_keep_their_promises_for_all_seeds() {
        replay("filter", filter);
    }

    #[test]
    fn lldpdus_keep_their_promises_for_all_seeds() {
        replay("lldp", lldp);
    }

    #[test]
    fn messages_keep_their_promises_for_all_seeds() {
        replay("message", message);
    }

    #[test]
    fn protocols_keep_their_promises_for_all_seeds() {
        replay("protocols", protocols);
    }

    #[test]
    fn relay_keeps_its_promises_for_all_seeds() {
        replay("relay", relay);
    }

    #[test]
    fn segmentation_keeps_its_promises_for_all_seeds() {
        replay("segment", segment);
    }

    #[test]
    fn coalescing_keeps_its_promises_for_all_seeds() {
        replay("coalesce", coalesce);
    }
}
