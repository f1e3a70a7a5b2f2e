//! The MAC address that a device of ours has by itself: the same after each restart, and
//! another one on each machine, so that neighbours need not learn anew who it is.

use std::fs;

use sha2::{Digest, Sha256};

use crate::{core::frame::MacAddr, netlink};

/// What tells this use of a machine's id from others (machine-id(5): it must not be seen).
const PURPOSE: &[u8] = b"etherws device\0";

/// The highest first octet of a locally administered address (IEEE 802, 8.4): a bridge has
/// the lowest of its members' addresses, and is not to change it for our device.
const FIRST_OCTET: u8 = 0xfe;

/// What tells this machine from others.
#[derive(Debug)]
pub(super) struct Machine {
    id: Vec<u8>,
    /// Machines that were made from one image have one id, and their cards differ.
    card: Vec<u8>,
}

impl Machine {
    /// `None` where nothing tells it from others.
    pub(super) async fn find() -> Option<Self> {
        let id = fs::read("/etc/machine-id").unwrap_or_default().trim_ascii().to_vec();
        let card = match netlink::hardware_address().await {
            Some(address) => address,
            // A network namespace with nothing else in it.
            None => {
                let namespace = fs::read_link("/proc/thread-self/ns/net").ok()?;
                namespace.into_os_string().into_encoded_bytes()
            }
        };
        Some(Self { id, card })
    }

    /// The address of the device `name`.
    pub(super) fn device(&self, name: &str) -> MacAddr {
        let mut digest = Sha256::new();
        digest.update(PURPOSE);
        // Each with its length: none can be taken for a part of another.
        for part in [&self.id, &self.card, name.as_bytes()] {
            digest.update(part.len().to_be_bytes());
            digest.update(part);
        }
        let digest = digest.finalize();
        let mut mac = MacAddr([FIRST_OCTET; 6]);
        mac.0[1..].copy_from_slice(&digest[..5]);
        mac
    }
}

/// Another address each time; the kernel's choice where there is no randomness.
pub(super) fn random() -> Option<MacAddr> {
    let mut mac = MacAddr([FIRST_OCTET; 6]);
    getrandom::fill(&mut mac.0[1..]).ok()?;
    Some(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(id: &[u8], card: &[u8], name: &str) -> MacAddr {
        Machine { id: id.to_vec(), card: card.to_vec() }.device(name)
    }

    #[test]
    fn an_address_stays_and_differs_with_machine_card_and_name() {
        let card = [2, 0, 0, 0, 0, 1];
        let one = device(b"id", &card, "ewp0");
        // That of all versions: neighbours know it.
        assert_eq!(one.to_string(), "fe:32:32:99:19:e0");
        let others = [
            device(b"other", &card, "ewp0"),
            device(b"id", &[2, 0, 0, 0, 0, 2], "ewp0"),
            device(b"id", &card, "ewp1"),
            device(b"", b"", ""),
        ];
        assert!(others.iter().all(|other| *other != one && other.0[0] == 0xfe));
        assert_ne!(random(), random());
    }
}
