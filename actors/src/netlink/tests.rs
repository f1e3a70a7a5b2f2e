//! Tests of settings of interfaces, on a kernel's own.

use std::process::Command;

use super::*;
use crate::sys::namespace::{drop_capabilities, in_namespace, ip};

fn run<T>(future: impl Future<Output = T>) -> T {
    actix_rt::System::new().block_on(future)
}

fn set(address: &str) -> Option<AddressSetting> {
    Some(AddressSetting::Set(address.parse().expect("an address")))
}

fn settings(address: Option<AddressSetting>) -> InterfaceSettings {
    InterfaceSettings { address, ..InterfaceSettings::default() }
}

/// Addresses as `ip` shows them, without link-local ones.
fn shown(name: &str) -> Vec<String> {
    let output = Command::new("ip").args(["-o", "addr", "show", name]).output().expect("ip");
    let text = String::from_utf8(output.stdout).expect("text");
    let words = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    words
        .filter(|words| !words[3].starts_with("fe80"))
        .map(|words| {
            let brd = words.iter().position(|&word| word == "brd");
            brd.map_or_else(
                || words[3].to_owned(),
                |at| format!("{} brd {}", words[3], words[at + 1]),
            )
        })
        .collect()
}

async fn read(name: &str) -> Interface {
    interface(name).await.expect("netlink works").expect("it is there")
}

#[test]
fn an_interface_that_is_not_there_is_none_and_cannot_be_set() {
    run(async {
        for name in ["no_such_one", "", "sixteen_octets__"] {
            assert_eq!(interface(name).await.expect("netlink works"), None);
            let error = apply(name, &settings(None)).await.expect_err(name);
            assert!(matches!(error, LinkError::NoInterface { .. }), "{error}");
        }
    });
}

#[test]
fn the_prefix_length_is_given_or_kept_or_that_of_the_class() {
    in_namespace(|| {
        ip("link add v0 type veth peer name v1");
        run(async {
            let steps = [
                (set("10.1.2.3"), None, "10.1.2.3/8 brd 10.255.255.255"),
                (set("10.1.2.4"), Some(24), "10.1.2.4/24 brd 10.1.2.255"),
                (set("10.1.3.5"), None, "10.1.3.5/24 brd 10.1.3.255"),
                (None, Some(30), "10.1.3.5/30 brd 10.1.3.7"),
                (None, Some(31), "10.1.3.5/31"),
                (set("0.0.0.0"), None, ""),
                (set("172.16.0.1"), None, "172.16.0.1/16 brd 172.16.255.255"),
                (Some(AddressSetting::Clear), None, ""),
                (set("192.0.2.1"), None, "192.0.2.1/24 brd 192.0.2.255"),
            ];
            for (address, prefix_len, expected) in steps {
                let settings = InterfaceSettings { address, prefix_len, mtu: None };
                apply("v0", &settings).await.expect(expected);
                assert_eq!(shown("v0").join(","), expected);
            }
        });
    });
}

#[test]
fn ipv4_and_ipv6_are_replaced_apart_and_listed_together() {
    in_namespace(|| {
        ip("link add v0 type veth peer name v1");
        ip("link set v0 up");
        ip("link set v1 up");
        ip("addr add 192.0.2.1/24 dev v0");
        ip("addr add 192.0.2.2/24 dev v0");
        ip("addr add 2001:db8::9/48 dev v0 nodad");
        run(async {
            apply("v0", &settings(set("2001:db8::1"))).await.expect("IPv6");
            apply("v0", &settings(set("192.0.2.7"))).await.expect("IPv4");
            let interface = read("v0").await;
            let expected: [(IpAddr, u8); 2] = [
                ("192.0.2.7".parse().expect("an address"), 24),
                ("2001:db8::1".parse().expect("an address"), 64),
            ];
            assert_eq!(interface.addresses, expected);
            assert_eq!(interface.mtu, 1500);
        });
    });
}

#[test]
fn what_is_impossible_is_refused_before_anything_is_set() {
    in_namespace(|| {
        ip("link add v0 type veth peer name v1");
        ip("link set v0 up");
        ip("addr add 192.0.2.1/24 dev v0");
        ip("addr add 2001:db8::9/48 dev v0 nodad");
        run(async {
            let before = read("v0").await;
            let wrong = [
                (set("192.0.2.9"), Some(33), None, "give at most 32"),
                (set("2001:db8::1"), Some(129), None, "give at most 128"),
                (set("224.0.0.1"), None, None, "multicast"),
                (set("255.255.255.255"), None, None, "broadcast"),
                (set("fe80::1"), None, None, "link-local"),
                (set("192.0.2.9"), None, Some(67), "give 68 to 65535"),
                (set("192.0.2.9"), None, Some(65_536), "give 68 to 65535"),
                (set("192.0.2.9"), None, Some(1279), "IPv6"),
                (Some(AddressSetting::Clear), Some(24), None, "no IPv4 address"),
            ];
            for (address, prefix_len, mtu, expected) in wrong {
                let settings = InterfaceSettings { address, prefix_len, mtu };
                let error = apply("v0", &settings).await.expect_err(expected).to_string();
                assert!(error.contains(expected) && error.contains("v0"), "{error}");
                assert_eq!(read("v0").await, before, "{error}");
            }
            let alone = InterfaceSettings { prefix_len: Some(24), ..Default::default() };
            let error = apply("v1", &alone).await.expect_err("no address");
            assert!(matches!(error, LinkError::NoAddress { .. }), "{error}");
        });
    });
}

#[test]
fn a_step_that_fails_undoes_those_before_it() {
    in_namespace(|| {
        ip("link add v0 type veth peer name v1");
        ip("link set v0 up");
        ip("addr add 192.0.2.1/24 brd 192.0.2.255 dev v0");
        ip("addr add 192.0.2.2/24 brd 192.0.2.255 dev v0");
        fs::write("/proc/sys/net/ipv6/conf/v0/disable_ipv6", "1").expect("sysctl");
        run(async {
            let before = (read("v0").await, shown("v0"));
            let settings = InterfaceSettings {
                address: set("2001:db8::1"),
                prefix_len: None,
                mtu: Some(1400),
            };
            let error = apply("v0", &settings).await.expect_err("IPv6 is off");
            assert!(matches!(error, LinkError::Ipv6Disabled { .. }), "{error}");
            assert_eq!((read("v0").await, shown("v0")), before);

            // Both directions of a whole change, as an undo takes them.
            let netlink = Netlink::connect("v0").expect("netlink works");
            let old = netlink.read().await.expect("netlink works").expect("it is there");
            let mut new = old.clone();
            new.mtu = 1400;
            new.ipv4 = vec![new.address("198.51.100.1".parse().expect("an address"), 24)];
            netlink.change(&old, &new).await.expect("forth");
            assert_eq!(shown("v0"), ["198.51.100.1/24 brd 198.51.100.255"]);
            netlink.change(&new, &old).await.expect("back");
            assert_eq!((read("v0").await, shown("v0")), before);
        });
    });
}

#[test]
fn without_permission_the_error_says_which_one() {
    in_namespace(|| {
        ip("link add v0 type veth peer name v1");
        drop_capabilities();
        run(async {
            let settings = InterfaceSettings { mtu: Some(1400), ..Default::default() };
            let error = apply("v0", &settings).await.expect_err("no permission").to_string();
            assert!(error.starts_with("no permission to set MTU 1400 of v0"), "{error}");
            assert_eq!(read("v0").await.mtu, 1500);
        });
    });
}
