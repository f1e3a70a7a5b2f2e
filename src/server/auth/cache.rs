//! Passwords that were right a moment ago, as keyed digests: a thousand clients that
//! come back at once do not cost a bcrypt each. Knows no password: without the key,
//! which never leaves the process, a digest says nothing.

use std::collections::{HashSet, VecDeque};

use anyhow::{Result, anyhow};
use aws_lc_rs::{
    hmac::{self, HMAC_SHA256, Key},
    rand,
};

/// Proofs that are remembered: two for each of a thousand client ports, in 200 KiB.
const ENTRIES: usize = 2048;

/// Says that a user has shown a password that fits an entry of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Proof([u8; 32]);

/// Proofs that were verified; the oldest goes when it is full.
pub(super) struct Cache {
    key: Key,
    proofs: HashSet<Proof>,
    oldest_first: VecDeque<Proof>,
}

impl Cache {
    /// # Errors
    /// The system has no random numbers.
    pub(super) fn new() -> Result<Self> {
        let mut secret = [0; 32];
        rand::fill(&mut secret).map_err(|_| anyhow!("the system provides no random numbers"))?;
        let key = Key::new(HMAC_SHA256, &secret);
        Ok(Self { key, proofs: HashSet::new(), oldest_first: VecDeque::new() })
    }

    /// Of a name, a password and the hash in the file: another hash, as after a
    /// change of the password, makes another proof. `more` is what else the client has shown,
    /// if that is to be part of it.
    pub(super) fn proof(&self, name: &str, password: &[u8], hash: &str, more: &[u8]) -> Proof {
        let mut context = hmac::Context::with_key(&self.key);
        for part in [name.as_bytes(), password, hash.as_bytes(), more] {
            // Lengths keep the parts apart.
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut proof = [0; 32];
        proof.copy_from_slice(context.sign().as_ref());
        Proof(proof)
    }

    pub(super) fn contains(&self, proof: &Proof) -> bool {
        self.proofs.contains(proof)
    }

    pub(super) fn insert(&mut self, proof: Proof) {
        if !self.proofs.insert(proof) {
            return;
        }
        self.oldest_first.push_back(proof);
        if self.oldest_first.len() > ENTRIES
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.proofs.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_of_all_its_parts() {
        let cache = Cache::new().unwrap();
        let proof = cache.proof("ab", b"c", "hash", b"");
        assert_eq!(cache.proof("ab", b"c", "hash", b""), proof);
        for (name, password, hash) in
            [("a", b"bc".as_slice(), "hash"), ("ab", b"ch", "ash"), ("ab", b"d", "hash")]
        {
            assert_ne!(cache.proof(name, password, hash, b""), proof);
        }
        assert_ne!(cache.proof("ab", b"c", "hash", b"more"), proof);
        assert_ne!(Cache::new().unwrap().proof("ab", b"c", "hash", b""), proof, "keys differ");
    }

    #[test]
    fn the_oldest_goes_when_it_is_full() {
        let mut cache = Cache::new().unwrap();
        let proofs: Vec<_> =
            (0..=ENTRIES).map(|n| cache.proof(&n.to_string(), b"", "", b"")).collect();
        for proof in proofs.iter().chain(&proofs) {
            cache.insert(*proof);
        }
        assert_eq!(cache.proofs.len(), ENTRIES);
        assert_eq!(cache.oldest_first.len(), ENTRIES);
        assert!(cache.contains(&proofs[ENTRIES - 1]));
        assert!(!cache.contains(&Cache::new().unwrap().proof("x", b"", "", b"")));
    }
}
