//! The MAC address that a device of ours has by itself: the same after each restart, and
//! another one on each machine, so that neighbours need not learn anew who it is.

use std::{fs, sync::Arc};

use actix_rt::task::spawn_blocking;
use sha2::{Digest, Sha256};

use super::Store;
use crate::{core::frame::MacAddr, netlink};

/// What tells this use of a machine's id from others (machine-id(5): it must not be seen).
const PURPOSE: &[u8] = b"etherws device\0";

/// Where a [`Store`] has the card that addresses are made of.
const SECTION: &str = "machine";
const CARD: &str = "card";

/// What tells this machine from others.
#[derive(Debug)]
pub(super) struct Machine {
    id: Vec<u8>,
    /// Machines that were made from one image have one id, and their cards differ.
    card: Vec<u8>,
}

impl Machine {
    /// `None` where nothing tells it from others. `store` keeps which card was taken, for as
    /// long as this machine has it: one more card changes no address.
    pub(super) async fn find(store: Option<Arc<dyn Store>>) -> Option<Self> {
        let id = fs::read("/etc/machine-id").unwrap_or_default().trim_ascii().to_vec();
        let cards = netlink::hardware_addresses().await.unwrap_or_default();
        let card = match chosen(cards, store).await {
            Some(card) => card,
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
        let mut octets = [0; 5];
        octets.copy_from_slice(&digest[..5]);
        MacAddr::local(octets)
    }
}

/// The card that was taken before, if it is still there, or else the first.
async fn chosen(cards: Vec<Vec<u8>>, store: Option<Arc<dyn Store>>) -> Option<Vec<u8>> {
    let first = cards.first()?.clone();
    let Some(store) = store else { return Some(first) };
    let text = |card: &[u8]| card.iter().map(|octet| format!("{octet:02x}")).collect::<String>();
    let known = store.get(SECTION, CARD);
    let kept = cards.into_iter().find(|card| known.as_ref().is_some_and(|it| *it == text(card)));
    if let Some(card) = kept {
        return Some(card);
    }
    let value = text(&first).into();
    // What fails is in the store's log.
    let _ = spawn_blocking(move || store.set(SECTION, CARD, value)).await;
    Some(first)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use serde_json::Value;

    use super::*;

    fn device(id: &[u8], card: &[u8], name: &str) -> MacAddr {
        Machine { id: id.to_vec(), card: card.to_vec() }.device(name)
    }

    #[derive(Debug, Default)]
    struct Kept(Mutex<Option<Value>>);

    impl Store for Kept {
        fn get(&self, _: &str, _: &str) -> Option<Value> {
            self.0.lock().unwrap().clone()
        }

        fn set(&self, _: &str, _: &str, value: Value) {
            *self.0.lock().unwrap() = Some(value);
        }
    }

    #[test]
    fn a_card_that_was_taken_stays_while_it_is_there() {
        actix_rt::System::new().block_on(async {
            let store = Arc::new(Kept::default());
            let take = |cards: &[u8]| {
                let cards = cards.iter().map(|last| vec![2, 0, 0, 0, 0, *last]).collect();
                let store: Arc<dyn Store> = store.clone();
                async move { chosen(cards, Some(store)).await.map(|card| card[5]) }
            };
            assert_eq!(take(&[7]).await, Some(7));
            assert_eq!(take(&[3, 7]).await, Some(7), "one more card");
            assert_eq!(take(&[9]).await, Some(9), "a copy of the machine has other cards");
            assert_eq!(take(&[7, 9]).await, Some(9));
            assert_eq!(take(&[]).await, None);
        });
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
    }
}
