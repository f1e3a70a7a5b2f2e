use proptest::prelude::*;

use super::*;

fn text(max: usize) -> impl Strategy<Value = String> {
    let fits = move |text: &String| text.len() <= max && !text.contains(is_harmful);
    "\\PC{0,60}".prop_filter("short", fits)
}

fn id(types: &'static [IdType]) -> impl Strategy<Value = Id> {
    (prop::sample::select(types), prop::collection::vec(any::<u8>(), 1..=MAX_TEXT))
        .prop_map(|(kind, octets)| Id { kind, octets: octets.into() })
}

fn address() -> impl Strategy<Value = ManagementAddress> {
    let octets = prop::collection::vec(any::<u8>(), 2..=MAX_ADDRESS);
    (octets, any::<(u8, u32)>())
        .prop_map(|(octets, interface)| ManagementAddress { octets: octets.into(), interface })
}

fn pdu() -> impl Strategy<Value = Pdu> {
    let ids = (id(&CHASSIS_TYPES), id(&PORT_TYPES), any::<u16>());
    let texts = prop::array::uniform3(prop::option::of(text(MAX_TEXT)));
    let lists = (
        prop::collection::vec(address(), 0..=MAX_ADDRESSES),
        prop::collection::vec((any::<u16>(), text(MAX_VLAN_NAME)), 0..=MAX_VLANS),
    );
    let numbers = any::<(Option<(u16, u16)>, Option<u16>, Option<u16>)>();
    (ids, texts, lists, numbers).prop_map(|((chassis, port, ttl), texts, lists, numbers)| {
        let [port_description, system_name, system_description] = texts;
        let (addresses, vlans) = lists;
        let (capabilities, pvid, max_frame) = numbers;
        let capabilities = capabilities.map(|(system, enabled)| Capabilities { system, enabled });
        Pdu {
            port_description,
            system_name,
            system_description,
            capabilities,
            addresses,
            pvid,
            vlans,
            max_frame,
            ..Pdu::new(chassis, port, ttl)
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read(pdu in pdu(), padding in 0usize..50) {
        let mut octets = pdu.write(usize::MAX);
        octets.resize(octets.len() + padding, 0);
        prop_assert_eq!(Pdu::read(&octets), Some(pdu));
    }

    #[test]
    fn what_finds_no_room_is_left_out_and_the_rest_is_read(pdu in pdu(), room in 524usize..1500) {
        let octets = pdu.write(room);
        prop_assert!(octets.len() <= room);
        let read = Pdu::read(&octets).expect("what must be there is");
        prop_assert_eq!((&read.chassis, &read.port, read.ttl), (&pdu.chassis, &pdu.port, pdu.ttl));
    }

    /// Of octets that begin as one: else nothing gets behind the first TLV.
    #[test]
    fn no_octets_make_the_reader_panic(pdu in pdu(), cut in 0usize..3000, noise: Vec<u8>, at in 0usize..3000) {
        let mut octets = pdu.write(usize::MAX);
        octets.truncate(cut);
        octets.extend(&noise);
        if let Some(octet) = octets.get_mut(at) {
            *octet = octet.wrapping_add(1);
        }
        for octets in [&octets, &noise] {
            if let Some(read) = Pdu::read(octets) {
                prop_assert!(read.addresses.len() <= MAX_ADDRESSES && read.vlans.len() <= MAX_VLANS);
                for text in [&read.port_description, &read.system_name, &read.system_description] {
                    let text = text.as_deref().unwrap_or_default();
                    prop_assert!(text.len() <= 3 * MAX_TEXT && !text.contains(is_harmful));
                }
                for text in [read.chassis.to_string(), read.port.to_string()] {
                    prop_assert!(!text.is_empty() && !text.contains(is_harmful));
                }
                read.addresses.iter().for_each(|address| _ = address.to_string());
            }
        }
    }
}

fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    let mut to = Writer { octets: Vec::new(), room: usize::MAX };
    to.put(kind, value);
    to.octets
}

fn of(tlvs: &[(u8, &[u8])]) -> Option<Pdu> {
    Pdu::read(&tlvs.iter().flat_map(|(kind, value)| tlv(*kind, value)).collect::<Vec<_>>())
}

const HEAD: [(u8, &[u8]); 3] =
    [(CHASSIS_ID, &[4, 2, 0, 0, 0, 0, 1]), (PORT_ID, b"\x05eth0"), (TTL, &[0, 120])];

#[test]
fn an_lldpdu_begins_with_three_tlvs_in_order_and_has_each_once() {
    let [chassis, port, ttl] = HEAD;
    let head = of(&HEAD).expect("no end is needed");
    let shown = (head.chassis.to_string(), head.port.to_string(), head.ttl);
    assert_eq!(shown, ("02:00:00:00:00:01".to_owned(), "eth0".to_owned(), 120));
    for wrong in [
        &[][..],
        &[chassis, port],
        &[port, chassis, ttl],
        &[chassis, ttl, port],
        &[chassis, port, ttl, chassis],
        &[chassis, port, ttl, (PORT_DESCRIPTION, b"a"), ttl],
        &[(CHASSIS_ID, &[4]), port, ttl],
        &[(CHASSIS_ID, &[7; 257]), port, ttl],
        &[chassis, (PORT_ID, b""), ttl],
        &[chassis, port, (TTL, &[1])],
    ] {
        assert_eq!(of(wrong), None, "{wrong:?}");
    }
    let mut cut = [chassis, port, ttl, (SYSTEM_NAME, b"name")]
        .iter()
        .flat_map(|(kind, value)| tlv(*kind, value))
        .collect::<Vec<_>>();
    cut.pop();
    assert_eq!(Pdu::read(&cut), None, "a TLV that goes on behind the end");
}

#[test]
fn what_is_unknown_or_wrong_is_skipped_and_texts_are_text() {
    let [chassis, port, ttl] = HEAD;
    let pdu = of(&[
        chassis,
        port,
        (TTL, &[0, 9, 77]),
        (99, b"of the future"),
        (SPECIFIC, b"\x00\x12"),
        (SPECIFIC, b"\x00\x12\xbb\x01of MED"),
        (SYSTEM_NAME, b"sw\x1b[2J\xff1\0\0"),
        (SYSTEM_NAME, b"another"),
        (CAPABILITIES, &[0]),
        (MANAGEMENT_ADDRESS, &[5, 1, 192, 0, 2]),
        (MANAGEMENT_ADDRESS, &[5, 1, 192, 0, 2, 9, 2, 0, 0, 0, 3, 0]),
        (MANAGEMENT_ADDRESS, &[7, 6, 2, 0, 0, 0, 0, 9, 1, 0, 0, 0, 0, 0]),
        (SPECIFIC, &[0x00, 0x80, 0xc2, 3, 0, 7, 9, b'a']),
        (SPECIFIC, &[0x00, 0x80, 0xc2, 3, 0, 7, 1, b'a', b'b']),
    ])
    .expect("it is well-formed");
    assert_eq!(pdu.ttl, 9);
    assert_eq!(pdu.system_name.as_deref(), Some("sw\u{fffd}[2J\u{fffd}1"));
    assert_eq!(pdu.capabilities, None);
    let addresses: Vec<_> = pdu.addresses.iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["192.0.2.9", "02:00:00:00:00:09"]);
    assert_eq!(pdu.vlans, [(7, "a".to_owned())]);
    let reserved = of(&[(CHASSIS_ID, &[9, 1, 0xff]), (PORT_ID, &[7, 10, 1]), ttl]);
    let reserved = reserved.expect("an id all the same");
    assert_eq!((reserved.chassis.kind, reserved.port.kind), (IdType::Reserved, IdType::Local));
    assert_eq!(
        (reserved.chassis.to_string(), reserved.port.to_string()),
        ("01:ff".into(), "0a:01".into())
    );
}

#[test]
fn a_bridge_is_a_bridge() {
    let Capabilities { system, enabled } = Capabilities::BRIDGE;
    assert_eq!((system, enabled), (4, 4), "bit 2 (IEEE 802.1AB, table 8-4)");
    let names = |bits| Capabilities::names(bits).collect::<Vec<_>>();
    assert_eq!(names(0x8014), [Capability::Bridge, Capability::Router]);
}
