//! The MAC address that a device of ours has by itself: the same after each restart, and
//! another one on each machine, so that its neighbours need not learn anew who it is.

use std::fs;

use sha2::{Digest, Sha256};

use crate::{core::frame::MacAddr, netlink};

/// What tells this use of a machine's id from others (machine-id(5): it must not be seen).
const PURPOSE: &[u8] = b"etherws device\0";

/// The highest first octet of a locally administered address (IEEE 802, 8.4): a bridge has
/// the lowest of its members' addresses, and is not to change it for our device.
const FIRST_OCTET: u8 = 0xfe;

/// The address of the device `name`; `None` where nothing tells this machine from others.
pub(super) async fn stable(name: &str) -> Option<MacAddr> {
    let id = fs::read("/etc/machine-id").unwrap_or_default();
    // Machines that were made from one image have one id, and their cards differ.
    let place = match netlink::hardware_address().await {
        Some(address) => address,
        // A network of its own, with nothing else in it.
        None => fs::read_link("/proc/thread-self/ns/net").ok()?.into_os_string().into_encoded_bytes(),
    };
    Some(derive(id.trim_ascii(), &place, name))
}

fn derive(machine: &[u8], place: &[u8], name: &str) -> MacAddr {
    let mut digest = Sha256::new();
    digest.update(PURPOSE);
    // Each with its length: none can be taken for a part of another.
    for part in [machine, place, name.as_bytes()] {
        digest.update(part.len().to_be_bytes());
        digest.update(part);
    }
    let digest = digest.finalize();
    let mut mac = MacAddr([FIRST_OCTET; 6]);
    mac.0[1..].copy_from_slice(&digest[..5]);
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_stays_and_differs_with_machine_card_and_name() {
        let one = derive(b"id", &[2, 0, 0, 0, 0, 1], "ewp0");
        assert_eq!(one, MacAddr([0xfe, 0, 0, 0, 0, 0]), "of all versions");
        assert_eq!(one, derive(b"id", &[2, 0, 0, 0, 0, 1], "ewp0"));
        let others = [
            derive(b"other", &[2, 0, 0, 0, 0, 1], "ewp0"),
            derive(b"id", &[2, 0, 0, 0, 0, 2], "ewp0"),
            derive(b"id", &[2, 0, 0, 0, 0, 1], "ewp1"),
            derive(b"", b"", ""),
        ];
        assert!(others.iter().all(|other| *other != one && other.0[0] == 0xfe));
    }
}
