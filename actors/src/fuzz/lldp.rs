//! LLDPDUs: any octets are one or none; what is one can be shown, and written so that it is of the
//! same system and port.

use crate::core::{error::is_harmful, lldp::Pdu};

/// What stands behind a frame's header.
pub fn lldp(data: &[u8]) {
    let Some(pdu) = Pdu::read(data) else { return };
    for text in [pdu.chassis.to_string(), pdu.port.to_string()] {
        assert!(!text.contains(is_harmful), "{text:?}");
    }
    let names = pdu.vlans.iter().map(|(_, name)| name);
    for text in [&pdu.port_description, &pdu.system_name].into_iter().flatten().chain(names) {
        assert!(!text.contains(is_harmful), "{text:?}");
    }
    pdu.addresses.iter().for_each(|address| _ = address.to_string());
    let octets = pdu.write(1500);
    assert!(octets.len() <= 1500);
    let again = Pdu::read(&octets).expect("an LLDPDU");
    assert_eq!((&again.chassis, &again.port, again.ttl), (&pdu.chassis, &pdu.port, pdu.ttl));
}
