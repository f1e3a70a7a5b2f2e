//! The body of the fuzz target `logconf`: takes any octets and panics where a promise of
//! this crate does not hold. Built only for fuzzing and for tests; the test here feeds it
//! `fuzz/seeds/logconf`, where every input that ever failed is kept.

use std::str;

use crate::Config;

/// A configuration: understood, or refused in one line. Nothing is opened.
pub fn logconf(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    if let Err(error) = text.parse::<Config>() {
        assert_eq!(error.to_string().lines().count(), 1, "{error}");
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    #[test]
    fn logconf_keeps_its_promises_for_all_seeds() {
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds/logconf");
        let mut count = 0;
        for seed in fs::read_dir(&seeds).expect("a folder of seeds") {
            let path = seed.expect("a seed").path();
            println!("{}", path.display());
            logconf(&fs::read(path).expect("a readable seed"));
            count += 1;
        }
        assert!(count > 0, "{} has no seeds", seeds.display());
    }
}
