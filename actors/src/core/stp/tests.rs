//! What a bridge does by itself and with one neighbor, step by step.

use super::*;

fn number(n: u32) -> PortNumber {
    PortNumber::new(n).expect("not 0")
}

const CONFIG: PortConfig = model::CONFIG;

fn mac(last: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, last])
}

fn bridge(last: u8, ports: u32) -> Bridge {
    let mut bridge = Bridge::new(mac(last), BridgeSettings::default());
    for n in 1..=ports {
        assert!(bridge.configure(number(n), CONFIG));
        bridge.open(number(n));
    }
    bridge
}

fn states(bridge: &Bridge) -> Vec<(Role, State)> {
    bridge.ports(None).map(|port| (port.role, port.state)).collect()
}

fn sent(actions: Vec<Action>) -> Vec<(u32, Bpdu)> {
    let of = |action| match action {
        Action::Send(port, frame) => {
            Some((port.get(), Bpdu::read(frame.header()?).expect("a BPDU")))
        }
        _ => None,
    };
    actions.into_iter().filter_map(of).collect()
}

/// What a designated port of another bridge says.
fn from(bridge_priority: u16, cost: u32, is_rapid: bool) -> Information {
    let bridge = BridgeId { priority: bridge_priority, mac: mac(9) };
    Information {
        is_rapid,
        role: Role::Designated,
        vector: Vector { root: bridge, cost, bridge, port: PortId::new(128, 1) },
        times: Times { message_age: 0, max_age: 20, hello: 2, forward_delay: 15 },
        topology_change: false,
        topology_change_ack: false,
        proposal: is_rapid,
        agreement: false,
        learning: false,
        forwarding: false,
    }
}

fn tell(bridge: &mut Bridge, port: u32, bpdu: Bpdu) -> Heard {
    let frame = bpdu.frame(mac(9));
    bridge.receive(number(port), frame.header().expect("a header"))
}

fn ticks(bridge: &mut Bridge, count: u32) {
    (0..count).for_each(|_| bridge.tick());
}

#[test]
fn a_station_is_found_in_three_seconds_or_named_by_the_operator() {
    let mut one = bridge(1, 2);
    one.configure(number(2), PortConfig { edge: Edge::On, ..CONFIG });
    assert_eq!(states(&one)[1], (Role::Designated, State::Forwarding), "at once");
    ticks(&mut one, 2);
    assert_eq!(states(&one)[0], (Role::Designated, State::Discarding));
    ticks(&mut one, 1);
    assert_eq!(states(&one)[0], (Role::Designated, State::Forwarding));
    assert!(one.ports(None).all(|port| port.is_edge));
    assert_eq!(one.tree().topology_changes, 0, "stations change no topology");
    // It was a bridge after all.
    tell(&mut one, 1, Bpdu::Information(from(0, 0, true)));
    assert_eq!(states(&one)[0], (Role::Root, State::Forwarding));
    assert!(!one.port(number(1)).unwrap().is_edge);
}

#[test]
fn a_proposal_is_agreed_to_at_once_and_only_when_all_others_are_out() {
    let mut one = bridge(1, 2);
    ticks(&mut one, 40);
    one.configure(number(2), PortConfig { edge: Edge::Off, ..CONFIG });
    ticks(&mut one, 40);
    assert_eq!(states(&one)[1].1, State::Forwarding);
    one.take_actions();
    tell(&mut one, 1, Bpdu::Information(from(0, 0, true)));
    let actions = one.take_actions();
    let out =
        actions.iter().position(|action| *action == Action::State(number(2), State::Discarding));
    let agrees = |action: &Action| match action {
        Action::Send(port, frame) if *port == number(1) => {
            let bpdu = Bpdu::read(frame.header().unwrap());
            matches!(
                bpdu,
                Some(Bpdu::Information(Information { role: Role::Root, agreement: true, .. }))
            )
        }
        _ => false,
    };
    let agreed = actions.iter().position(agrees);
    assert!(out.is_some() && out < agreed, "{actions:?}");
    assert_eq!(states(&one)[0], (Role::Root, State::Forwarding));
}

#[test]
fn an_alternate_port_takes_over_at_once_or_after_three_hellos_of_silence() {
    for is_silent in [false, true] {
        let mut one = bridge(1, 2);
        let near = Bpdu::Information(from(0, 0, true));
        let far = Bpdu::Information(from(0, 100, true));
        for _ in 0..10 {
            tell(&mut one, 1, near);
            tell(&mut one, 2, far);
            one.tick();
        }
        let wanted = [(Role::Root, State::Forwarding), (Role::Alternate, State::Discarding)];
        assert_eq!(states(&one), wanted);
        if is_silent {
            // The last second of three hellos is over with the first of these.
            for second in 1..=5 {
                assert_eq!(states(&one), wanted, "{second}");
                tell(&mut one, 2, far);
                one.tick();
            }
        } else {
            one.close(number(1));
        }
        assert_eq!(states(&one)[1], (Role::Root, State::Forwarding));
        assert_eq!(one.tree().root_cost, 20_100);
        let actions = one.take_actions();
        assert!(actions.contains(&Action::Flush(vec![number(1)])), "{actions:?}");
    }
}

#[test]
fn a_neighbor_that_speaks_stp_is_spoken_to_as_it_speaks() {
    let mut one = bridge(1, 2);
    ticks(&mut one, 4);
    one.take_actions();
    for _ in 0..40 {
        tell(&mut one, 1, Bpdu::Information(from(0, 0, false)));
        one.tick();
    }
    assert_eq!(states(&one)[0], (Role::Root, State::Forwarding));
    let port = one.port(number(1)).unwrap();
    assert!(!port.sends_rstp && port.received.config == 40);
    // A change is told by a notification, as STP bridges do.
    one.take_actions();
    one.configure(number(2), PortConfig { edge: Edge::Off, ..CONFIG });
    ticks(&mut one, 40);
    let all = sent(one.take_actions());
    assert!(all.iter().any(|(port, bpdu)| (*port, *bpdu) == (1, Bpdu::Notification)), "{all:?}");
    // It was replaced.
    for _ in 0..4 {
        tell(&mut one, 1, Bpdu::Information(from(0, 0, true)));
        one.tick();
    }
    assert!(one.port(number(1)).unwrap().sends_rstp);
    // Another one, which has gone without a word.
    tell(&mut one, 1, Bpdu::Information(from(0, 0, true)));
    ticks(&mut one, 4);
    tell(&mut one, 1, Bpdu::Information(from(0, 0, false)));
    assert!(!one.port(number(1)).unwrap().sends_rstp);
    one.close(number(1));
    one.open(number(1));
    assert!(one.port(number(1)).unwrap().sends_rstp);
}

#[test]
fn root_guard_keeps_a_better_root_away_and_lets_the_port_forward_when_it_is_gone() {
    let mut one = bridge(1, 1);
    one.configure(number(1), PortConfig { root_guard: true, edge: Edge::Off, ..CONFIG });
    ticks(&mut one, 40);
    assert_eq!(states(&one), [(Role::Designated, State::Forwarding)]);
    tell(&mut one, 1, Bpdu::Information(from(0, 0, true)));
    assert_eq!(states(&one), [(Role::Alternate, State::Discarding)]);
    assert_eq!(one.tree().root, one.tree().bridge);
    let root = BridgeId { priority: 0, mac: mac(9) };
    ticks(&mut one, 1);
    assert!(one.take_actions().contains(&Action::RootGuard(number(1), Some(root))));
    ticks(&mut one, 50);
    assert_eq!(states(&one), [(Role::Designated, State::Forwarding)]);
    assert!(one.take_actions().contains(&Action::RootGuard(number(1), None)));
    // One that is worse is none of its business.
    tell(&mut one, 1, Bpdu::Information(from(61_440, 0, true)));
    assert_eq!(states(&one)[0].0, Role::Designated);
}

#[test]
fn changes_are_heard_three_times_a_second_and_flush_all_other_ports() {
    let mut one = bridge(1, 3);
    for n in 1..=3 {
        one.configure(number(n), PortConfig { edge: Edge::Off, ..CONFIG });
    }
    ticks(&mut one, 60);
    one.take_actions();
    let told = Information { topology_change: true, role: Role::Root, ..from(61_440, 0, true) };
    (0..30).for_each(|_| _ = tell(&mut one, 1, Bpdu::Information(told)));
    let flushed = |one: &mut Bridge| {
        let actions = one.take_actions().into_iter();
        actions.filter(|action| matches!(action, Action::Flush(_))).collect::<Vec<_>>()
    };
    let once = [Action::Flush([2, 3].map(number).to_vec())];
    assert_eq!(flushed(&mut one), [once.clone(), once.clone(), once.clone()].concat());
    // What came too often is not lost.
    one.tick();
    assert_eq!(flushed(&mut one), once);
    one.tick();
    assert_eq!(flushed(&mut one), []);
    assert!(one.tree().since_change.is_some_and(|ago| ago < Duration::from_secs(3)));
}

#[test]
fn more_than_a_bridge_sends_is_not_heard_and_no_more_is_said_than_a_bridge_may() {
    let mut one = bridge(1, 1);
    ticks(&mut one, 1);
    one.take_actions();
    let heard = |n| {
        let bpdu = Bpdu::Information(from(if n % 2 == 0 { 0 } else { 4096 }, 0, true));
        tell(&mut bridge(1, 0), 1, bpdu)
    };
    assert_eq!(heard(0), Heard::Nobody, "no such port");
    let mut said = 0;
    for n in 0..1000u16 {
        let priority = if n % 2 == 0 { 0 } else { 4096 };
        let heard = tell(&mut one, 1, Bpdu::Information(from(priority, 0, true)));
        assert_eq!(heard == Heard::Heard, n < RX_LIMIT, "{n}");
        said += sent(one.take_actions()).len();
    }
    assert!(said <= usize::from(port::TX_HOLD_COUNT), "{said}");
    assert_eq!(one.port(number(1)).unwrap().discarded, 1000 - u64::from(RX_LIMIT));
}

#[test]
fn what_comes_back_of_its_own_is_not_heard() {
    let mut one = bridge(1, 1);
    let own = sent(one.take_actions());
    let (_, bpdu) = own[0];
    assert_eq!(tell(&mut one, 1, bpdu), Heard::Discarded);
}

#[test]
fn ports_have_identifiers_of_their_own_however_high_their_numbers_are() {
    let mut one = bridge(1, 0);
    for n in [1, 4095, 4096, 70_000] {
        assert!(one.configure(number(n), CONFIG));
    }
    let ids: Vec<_> = one.ports(None).map(|port| port.port_id.number()).collect();
    assert_eq!(ids, [1, 4095, 2, 3]);
    one.remove(number(1));
    assert!(one.configure(number(4097), CONFIG));
    assert_eq!(one.port(number(4097)).unwrap().port_id.number(), 1);
    (0..4091).for_each(|n| assert!(one.configure(number(100_000 + n), CONFIG), "{n}"));
    assert!(!one.configure(number(200_000), CONFIG), "there are 4,095");
}

#[test]
fn another_priority_makes_another_root_at_once() {
    let mut one = bridge(1, 1);
    tell(&mut one, 1, Bpdu::Information(from(4096, 0, true)));
    assert_eq!(states(&one)[0].0, Role::Root);
    one.set(BridgeSettings { priority: 0, ..BridgeSettings::default() });
    assert_eq!(states(&one)[0].0, Role::Designated);
    assert_eq!(one.tree().root, one.tree().bridge);
    // Only STP is spoken from now on.
    one.take_actions();
    one.set(BridgeSettings { force_stp: true, ..BridgeSettings::default() });
    ticks(&mut one, 4);
    let all = sent(one.take_actions());
    let is_rapid = |bpdu: &Bpdu| matches!(bpdu, Bpdu::Information(one) if one.is_rapid);
    assert!(!all.is_empty() && all.iter().all(|(_, bpdu)| !is_rapid(bpdu)), "{all:?}");
}

#[test]
fn changes_that_many_ports_hear_of_are_heard_sixteen_times_a_second() {
    let mut one = bridge(1, 100);
    (1..=100).for_each(|n| _ = one.configure(number(n), PortConfig { edge: Edge::Off, ..CONFIG }));
    ticks(&mut one, 60);
    one.take_actions();
    let told = Information { topology_change: true, role: Role::Root, ..from(61_440, 0, true) };
    let flushes = |one: &mut Bridge| {
        let actions = one.take_actions().into_iter();
        actions.filter(|action| matches!(action, Action::Flush(_))).count()
    };
    (1..=100).for_each(|n| _ = tell(&mut one, n, Bpdu::Information(told)));
    let mut all = flushes(&mut one);
    assert_eq!(all, 16);
    for _ in 0..20 {
        one.tick();
        let now = flushes(&mut one);
        assert!(now <= 1, "{now}");
        all += now;
    }
    assert_eq!(all, 16 + 6, "those that wait are 16 a second, in one");
}

/// What is told of ports, a line each.
fn news(bridge: &mut Bridge) -> Vec<String> {
    let of = |action| match action {
        Action::Part(port, role, state) => Some(format!("{port} {role} {state}")),
        _ => None,
    };
    bridge.take_actions().into_iter().filter_map(of).collect()
}

#[test]
fn a_thousand_ports_to_stations_come_up_and_go_without_a_word() {
    let mut one = bridge(1, 1000);
    for n in (1..=1000).step_by(2) {
        one.configure(number(n), PortConfig { edge: Edge::On, ..CONFIG });
    }
    ticks(&mut one, 10);
    assert!(states(&one).iter().all(|(_, state)| *state == State::Forwarding));
    (1..=1000).for_each(|n| one.close(number(n)));
    ticks(&mut one, 1);
    assert_eq!(news(&mut one), [""; 0]);
}

#[test]
fn roles_and_states_of_ports_to_bridges_are_told_once() {
    let mut one = bridge(1, 3);
    one.configure(number(3), PortConfig { edge: Edge::Off, ..CONFIG });
    let mut told = Vec::new();
    let mut pass = |one: &mut Bridge, seconds: u32, heard: &[u32]| {
        for _ in 0..seconds {
            for &port in heard {
                tell(one, port, Bpdu::Information(from(0, port * 10, true)));
            }
            one.tick();
        }
        told.extend(news(one));
        mem::take(&mut told)
    };
    let both = ["1 root forwarding", "2 alternate discarding"];
    assert_eq!(pass(&mut one, 3, &[1, 2]), both);
    assert_eq!(pass(&mut one, 40, &[1, 2]), ["3 designated forwarding"]);
    one.close(number(1));
    assert_eq!(pass(&mut one, 10, &[2]), ["2 root forwarding"]);
    one.open(number(1));
    // That it may agree to the new root, another port stops for a moment.
    let third = ["3 designated discarding", "3 designated forwarding"];
    assert_eq!(pass(&mut one, 10, &[1, 2]), [both, third].concat());
}

#[test]
fn a_neighbor_that_changes_its_mind_all_the_time_is_told_of_seldom_and_rightly_at_the_end() {
    let mut one = bridge(1, 2);
    let mut told = Vec::new();
    for second in 0..630 {
        let priority = if second < 600 && second % 2 == 0 { 0 } else { 8192 };
        tell(&mut one, 1, Bpdu::Information(from(priority, 0, true)));
        tell(&mut one, 2, Bpdu::Information(from(4096, 100, true)));
        one.tick();
        told.extend(news(&mut one));
    }
    assert!((100..=140).contains(&told.len()), "{}", told.len());
    for port in one.ports(None) {
        let (number, role, state) = (port.port, port.role, port.state);
        let last = told.iter().rfind(|line| line.starts_with(&number.to_string()));
        assert_eq!(last, Some(&format!("{number} {role} {state}")));
    }
}
