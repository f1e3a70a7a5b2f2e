//! LLDP in a whole switch: what leaves by which port, what is heard, and what strangers can do.

use etherws_actors::{
    counters::Incident,
    frame::{MacAddr, Vid},
    lldp::{Capabilities, Id, IdType, Pdu, System},
    monitor::Monitor,
};

use super::{
    bpdu::{bpdu, set},
    events::told,
    *,
};

const MAC: MacAddr = MacAddr([0xfe, 1, 2, 3, 4, 5]);

fn options() -> SwitchOptions {
    SwitchOptions {
        mac: MAC,
        lldp: true,
        system: System { name: "hub".to_owned(), description: "etherws 2".to_owned() },
        vlan_names: [(10, "office"), (20, "guests")]
            .map(|(vid, name)| (Vid::new(vid).expect("a VLAN"), name.to_owned()))
            .into(),
        ports: PortSettings { loop_guard: Some(false), ..PortSettings::default() },
        ..SwitchOptions::default()
    }
}

fn pdu(neighbor: u8, ttl: u16) -> Pdu {
    let chassis = Id::mac(MacAddr([2, 0, 0, 0, 0, neighbor]));
    let name = Some(format!("switch{neighbor}"));
    Pdu { system_name: name, ..Pdu::new(chassis, Id::text(IdType::IfName, "eth0"), ttl) }
}

/// A frame to one of the group addresses, with `octets` as of LLDP, behind `tag`.
fn of_lldp(digit: u8, tag: &[u8], octets: &[u8]) -> Frame {
    let mut data = vec![0x01, 0x80, 0xc2, 0, 0, digit, 2, 0, 0, 0, 0, 0xbb];
    data.extend(tag);
    data.extend([0x88, 0xcc]);
    data.extend(octets);
    data.resize(data.len().max(60), 0);
    Frame::new(data.into())
}

fn lldpdu(neighbor: u8) -> Frame {
    of_lldp(14, &[], &pdu(neighbor, 120).write(1500))
}

/// What a frame of the switch's own tells; it must be finished and without a tag.
fn read(frame: &Frame) -> Pdu {
    assert!(frame.is_finished() && frame.len() >= 60);
    let data = frame.data();
    assert_eq!(data[..6], [0x01, 0x80, 0xc2, 0, 0, 0x0e]);
    assert_eq!((&data[6..12], &data[12..14]), (&MAC.0[..], &[0x88, 0xcc][..]));
    Pdu::read(&data[14..]).expect("an LLDPDU")
}

impl Lab {
    async fn lldp_neighbors(&self) -> Vec<(u32, String)> {
        let all = self.control.list_neighbors(None).await.expect("the switch lives");
        all.into_iter().map(|one| (one.port.get(), one.pdu.chassis.to_string())).collect()
    }
}

#[test]
fn a_port_tells_what_the_switch_is_only_where_it_is_to() {
    run(async {
        let lab = Lab::with(options());
        let (mut a, mut b) = (lab.memory().await, lab.memory().await);
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!((a.try_recv(), b.try_recv()), (None, None), "tunnels and the like do not");
        set(&lab, 1, "lldp-status", "rx-and-tx").await;
        let told = read(&a.recv().await.expect("at once"));
        assert_eq!(
            told,
            Pdu {
                port_description: Some("memory test".to_owned()),
                system_name: Some("hub".to_owned()),
                system_description: Some("etherws 2".to_owned()),
                capabilities: Some(Capabilities::BRIDGE),
                addresses: told.addresses.clone(),
                ..Pdu::new(Id::mac(MAC), Id::text(IdType::Local, "1"), 121)
            }
        );
        assert_eq!(told.addresses[0].to_string(), MAC.to_string(), "it has no other");
        set(&lab, 1, "name", "uplink").await;
        set(&lab, 1, "description", "to the roof").await;
        let told = read(&a.recv().await.expect("what has changed"));
        assert_eq!(
            (told.port.to_string(), told.port_description),
            ("uplink".into(), Some("to the roof".into()))
        );
        lab.settle().await;
        while a.try_recv().is_some() {}
        tokio::time::sleep(Duration::from_secs(95)).await;
        assert_eq!(std::iter::from_fn(|| a.try_recv()).count(), 3, "every 30 s");
        set(&lab, 1, "lldp-status", "rx-only").await;
        assert_eq!(read(&a.recv().await.expect("leave")).ttl, 0);
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!((a.try_recv(), b.try_recv()), (None, None));
    });
}

#[test]
fn an_interface_takes_part_where_the_switch_does() {
    run(async {
        let lab = Lab::with(options());
        lab.add(Interface).await;
        let _other = lab.memory().await;
        let of = async |number| {
            let report = lab.control.show_port(port(number)).await.expect("port is there");
            let setting = report.settings.into_iter().find(|one| one.name == "lldp-status");
            setting.expect("every port has it").value
        };
        assert_eq!((of(1).await, of(2).await), ("rx-and-tx".into(), "disabled".into()));
        let lab = Lab::with(SwitchOptions { lldp: false, ..options() });
        lab.add(Interface).await;
        let report = lab.control.show_port(port(1)).await.expect("port is there");
        assert!(
            report.settings.iter().any(|one| one.name == "lldp-status" && one.value == "disabled")
        );
    });
}

#[test]
fn what_is_heard_is_listed_and_goes_no_further() {
    run(async {
        let monitor = Monitor::new();
        let mut watcher = monitor.watch();
        let lab = Lab::with(SwitchOptions { monitor, ..options() });
        let (mut a, mut b) = (lab.memory().await, lab.memory().await);
        let (mut c, mut d) = (lab.memory().await, lab.memory().await);
        set(&lab, 1, "lldp-status", "rx-only").await;
        set(&lab, 3, "lldp-status", "tx-only").await;
        lab.settle().await;
        told(&mut watcher);
        for digit in [14, 3, 0] {
            a.send(of_lldp(digit, &[], &pdu(digit, 120).write(1500))).await.expect("port 1");
            c.send(of_lldp(digit, &[], &pdu(digit, 120).write(1500))).await.expect("port 3");
        }
        lab.settle().await;
        assert_eq!((b.try_recv(), d.try_recv()), (None, None));
        let known = ["00", "03", "0e"].map(|digit| (1, format!("02:00:00:00:00:{digit}")));
        assert_eq!(lab.lldp_neighbors().await, known);
        assert_eq!(
            told(&mut watcher)[0],
            "neighbor 1 what=new chassis=02:00:00:00:00:0e id=eth0 name=switch14"
        );
        assert!(lab.fdb().await.is_empty());
        // Between ports that take no part they pass as ever, and nobody else has others' neighbors.
        b.send(lldpdu(9)).await.expect("port 2");
        assert_eq!(d.recv().await, Some(lldpdu(9)));
        lab.settle().await;
        assert_eq!(a.try_recv(), None);
        while let Some(frame) = c.try_recv() {
            assert_eq!(read(&frame).port.to_string(), "3");
        }
        assert_eq!(lab.port(1).await.counters.discards(Discard::LinkLocal), 1);
        // Of another protocol, and one with a tag.
        a.send(of_lldp(14, &[0x81, 0, 0, 7], &pdu(8, 120).write(1500))).await.expect("port 1");
        assert!(b.recv().await.is_some());
        told(&mut watcher);
        a.send(of_lldp(14, &[], &pdu(14, 0).write(1500))).await.expect("port 1");
        lab.settle().await;
        assert_eq!(lab.lldp_neighbors().await, known[..2]);
        assert!(
            told(&mut watcher)[0].starts_with("neighbor 1 what=gone chassis=02:00:00:00:00:0e")
        );
        tokio::time::sleep(Duration::from_secs(125)).await;
        assert_eq!(lab.lldp_neighbors().await, []);
    });
}

#[test]
fn lldp_is_of_the_port_and_of_no_vlan() {
    run(async {
        let lab = Lab::with(options());
        let all =
            ["tag=10", "trunks=10", "pvid=none tagged=10,20", "vlan-mode=dot1q-tunnel tag=20"];
        let mut handles = Vec::new();
        for settings in all {
            handles.push(
                lab.with_settings(&format!("lldp-status=rx-and-tx bpdu-guard=on {settings}")).await,
            );
        }
        let names = |vlans: &[(u16, &str)]| {
            vlans.iter().map(|(vid, name)| (*vid, (*name).to_owned())).collect::<Vec<_>>()
        };
        let (office, guests) = ((10, "office"), (20, "guests"));
        let wanted = [
            (10, names(&[office])),
            (0, names(&[office])),
            (0, names(&[office, guests])),
            (20, names(&[guests])),
        ];
        for (handle, (pvid, vlans)) in handles.iter_mut().zip(wanted) {
            let told = read(&handle.recv().await.expect("at once"));
            assert_eq!((told.pvid, told.vlans), (Some(pvid), vlans));
            handle.send(lldpdu(1)).await.expect("port is there");
        }
        lab.settle().await;
        assert_eq!(lab.lldp_neighbors().await.len(), 4);
        // A port that is blocked has neighbors all the same.
        handles[0].send(bpdu(0)).await.expect("port 1");
        handles[0].send(lldpdu(2)).await.expect("port 1");
        lab.settle().await;
        assert_eq!(lab.port(1).await.state.name(), "bpdu-guard");
        assert_eq!(lab.lldp_neighbors().await.len(), 5);
        while handles[0].try_recv().is_some() {}
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(handles[0].try_recv().is_some(), "the new one is told of us");
        // One that is shut has none, and takes leave.
        while handles[0].try_recv().is_some() {}
        lab.shut(1, true).await;
        assert_eq!(read(&handles[0].recv().await.expect("leave")).ttl, 0);
        handles[0].send(lldpdu(3)).await.expect("port 1");
        lab.settle().await;
        assert_eq!(lab.lldp_neighbors().await.len(), 3);
    });
}

#[test]
fn strangers_fill_nothing_and_are_counted() {
    run(async {
        let lab = Lab::with(options());
        let (a, mut b) = (lab.memory().await, lab.memory().await);
        set(&lab, 1, "lldp-status", "rx-only").await;
        for neighbor in 0..100 {
            a.send(lldpdu(neighbor)).await.expect("port 1");
        }
        a.send(of_lldp(14, &[], b"nonsense")).await.expect("port 1");
        for _ in 0..900 {
            a.send(lldpdu(1)).await.expect("port 1");
        }
        lab.settle().await;
        assert_eq!(lab.lldp_neighbors().await.len(), 32);
        let counters = lab.port(1).await.counters;
        assert_eq!(counters.incidents(Incident::LldpDiscard), 68);
        assert_eq!(counters.incidents(Incident::LldpError), 1);
        assert!((850..=873).contains(&counters.discards(Discard::StormMulticast)));
        assert_eq!(b.try_recv(), None);
    });
}

#[test]
fn the_switch_takes_leave_at_its_end() {
    run(async {
        let lab = Lab::with(options());
        let mut a = lab.memory().await;
        set(&lab, 1, "lldp-status", "on").await;
        assert_eq!(read(&a.recv().await.expect("at once")).ttl, 121);
        lab.switch.send(Shutdown).await.expect("the switch lives");
        assert_eq!(a.recv().await.map(|frame| read(&frame).ttl), Some(0));
    });
}
