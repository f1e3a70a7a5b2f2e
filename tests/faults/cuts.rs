//! Tunnels that are cut, and come back by themselves.

use crate::support::switch::Switch;

#[test]
fn a_client_port_goes_to_the_next_of_its_servers_and_stays_there() {
    let [mut first, mut second] = [(); 2].map(|()| Switch::start(&[]));
    let urls = [first.url(), second.url()];
    let switch = Switch::start(&[]);
    // Nobody listens on the discard port of loopback.
    let number = switch.add(&["client", "ws://127.0.0.1:9/", &urls[0], &urls[1]]);
    assert_eq!(switch.port(number)["target"], urls[0]);
    assert_eq!(first.ports().len(), 1);

    first.process.kill();
    switch.wait_state(number, "backoff");
    switch.wait_state(number, "up");
    assert_eq!(switch.port(number)["target"], urls[1]);
    assert_eq!(second.ports().len(), 1);

    second.process.kill();
    switch.wait_state(number, "backoff");
    let none = switch.ctl(&["addport", "client", &urls[0], &urls[1]]).failed();
    for part in ["none of 2 servers", &urls[0][5..14], &second.tunnel.to_string()] {
        assert!(none.stderr.contains(part), "{}", none.stderr);
    }
}
