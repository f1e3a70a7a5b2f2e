//! What the page shows and does, for somebody with a mouse, a keyboard or a telephone.

use std::time::Instant;

use serde_json::Value;

use crate::support::{
    LIMIT, TempDir, browser::Browser, certs::Certificates, frame, http, need, switch::Switch,
    wait_until, ws::WebSocket,
};

/// A switch, and a browser that shows its page.
pub(super) struct Bench {
    pub(super) switch: Switch,
    pub(super) browser: Browser,
}

impl Bench {
    pub(super) fn start(args: &[&str]) -> Result<Self, String> {
        let browser = Browser::start()?;
        let switch = Switch::start(args);
        let bench = Self { switch, browser };
        bench.browser.open(&bench.url());
        bench.browser.wait("document.getElementById('sum-ports').textContent !== '–'");
        Ok(bench)
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/", self.switch.control)
    }

    /// Text of a cell of a port's row.
    fn cell(&self, port: u64, name: &str) -> Value {
        self.browser.eval(&format!(
            "document.querySelector('[data-port=\"{port}\"] [data-cell={name}]')?.textContent"
        ))
    }

    /// Names and values of all that a list shows.
    fn lines(&self, selector: &str) -> Vec<(String, String)> {
        let lines = self.browser.eval(&format!(
            "[...document.querySelectorAll({selector:?})].map((line) =>
            [line.dataset.name, line.lastChild.textContent])"
        ));
        serde_json::from_value(lines).unwrap()
    }
}

/// A number as the page writes it.
fn number(text: &str) -> u64 {
    text.replace(',', "").parse().unwrap_or_else(|_| panic!("no number: {text}"))
}

/// Two sessions that talk to each other as long as `look` gives nothing.
fn talk<T>(sockets: &mut [WebSocket; 2], mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        for _ in 0..20 {
            let payload = [0; 1000];
            let [one, two] = &mut *sockets;
            one.send_frame(&frame(2, 1, &payload));
            two.expect_frame(&frame(2, 1, &payload));
            two.send_frame(&frame(1, 2, &payload[..100]));
            one.expect_frame(&frame(1, 2, &payload[..100]));
        }
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < LIMIT, "talked in vain");
    }
}

/// Two sessions that know where the other is.
pub(super) fn sessions(switch: &Switch) -> ([WebSocket; 2], [u64; 2]) {
    let (mut one, first) = switch.open();
    let (mut two, second) = switch.open();
    one.send_frame(&frame(255, 1, b"I"));
    two.expect_frame(&frame(255, 1, b"I"));
    two.send_frame(&frame(1, 2, b"you"));
    one.expect_frame(&frame(1, 2, b"you"));
    ([one, two], [first, second])
}

#[test]
fn every_number_equals_what_ctl_says() {
    let bench = need!(Bench::start(&[]));
    let Bench { switch, browser } = &bench;
    let (mut sockets, [first, second]) = sessions(switch);
    // Rates come and go with traffic.
    let rate = talk(&mut sockets, || {
        let rate = bench.cell(first, "rxBits");
        rate.as_str().filter(|rate| rate.ends_with(['k', 'M'])).map(str::to_owned)
    });
    assert!(number(&rate.chars().filter(char::is_ascii_digit).collect::<String>()) > 0);
    assert_ne!(browser.eval("document.getElementById('sum-rx').textContent"), "0 bit/s");
    browser.click(&format!("[data-port='{first}'] [data-action=open]"));
    wait_until("an idle port to show no rate", || bench.cell(first, "rxBits") == "0");

    // Nothing passes now: all counts stand still.
    for port in switch.ports() {
        let of = port["port"].as_u64().unwrap();
        for name in ["rx", "tx"] {
            let shown = number(bench.cell(of, name).as_str().unwrap());
            assert_eq!(shown, port[name].as_u64().unwrap(), "{name} of {of}");
        }
        let discards = port["discards"].as_object().unwrap().values();
        let discards: u64 = discards.map(|count| count.as_u64().unwrap()).sum();
        assert_eq!(number(bench.cell(of, "discards").as_str().unwrap()), discards);
        for name in ["target", "type", "state"] {
            assert_eq!(bench.cell(of, name), port[name], "{name} of {of}");
        }
    }
    let shown = switch.port(first);
    assert!(shown["rx"].as_u64().unwrap() > 20 && shown["octets-rx"].as_u64().unwrap() > 20_000);
    let report = &switch.json(&["showport", &first.to_string()])[0];
    let frames = bench.lines(".detail [data-list=frames] div");
    assert_eq!(frames.len(), 4);
    for (name, value) in &frames {
        assert_eq!(report["counters"][name], number(value), "{name}");
    }
    for (list, prefix) in [("discards", "discard-"), ("incidents", "")] {
        for (name, value) in bench.lines(&format!(".detail [data-list={list}] div")) {
            assert_eq!(report["counters"][format!("{prefix}{name}")], number(&value), "{name}");
        }
    }
    let limits = bench.lines(".detail [data-list=limits] div");
    assert_eq!(limits.len(), report["limits"].as_object().unwrap().len());
    let macs = limits.iter().find(|(name, _)| name == "macs").unwrap();
    assert_eq!(macs.1, "1 of 8,192");

    // Addresses are asked for less often.
    browser.wait("document.querySelectorAll('#addresses-rows tr').length === 2");
    for line in switch.json(&["listfdb"]) {
        let mac = line["mac"].as_str().unwrap();
        let port = browser.eval(&format!(
            "document.querySelector('#addresses-rows [data-mac=\"{mac}\"] td').textContent"
        ));
        assert_eq!(port, line["port"].to_string(), "{mac}");
    }
    browser.click("#addresses-filter");
    browser.type_text(&format!("port {second}"));
    let found =
        "[...document.querySelectorAll('#addresses-rows tr')].map((row) => row.dataset.mac)";
    assert_eq!(browser.eval(found), serde_json::json!(["02:00:00:00:00:02"]));

    browser.wait("document.getElementById('sum-sessions').textContent === '2'");
    let tunnel = switch.json(&["showserver"]);
    let tunnel = tunnel.iter().find(|one| one["service"] == "tunnel").unwrap();
    for (name, value) in bench.lines("#server-rows [data-service=tunnel] dl div") {
        assert_eq!(tunnel["counters"][&name], number(&value), "{name}");
    }
    browser.assert_clean(&bench.url(), None);
}

#[test]
fn ports_are_added_shut_set_up_and_deleted() {
    let bench = need!(Bench::start(&[]));
    let Bench { switch, browser } = &bench;
    let other = Switch::start(&[]);
    browser.click("#add");
    browser.wait("document.getElementById('add-dialog').open");
    let kinds =
        browser.eval("[...document.querySelectorAll('#add-kinds input')].map((one) => one.value)");
    assert_eq!(kinds, serde_json::json!(["client", "netdev", "tap"]));
    browser.click("#add-kinds [value=tap]");
    browser.wait("document.getElementById('add-target').textContent.includes('%d')");
    assert_eq!(browser.eval("document.getElementById('add-options').childElementCount"), 0);
    browser.click("#add-kinds [value=client]");
    browser.wait("document.querySelector('#add-options [name=option-passwd]').type === 'password'");
    browser.click("#add-dialog summary");
    browser.click("#add-dialog [name=setting-name]");
    browser.type_text("uplink");
    browser.click("#add-dialog [name=target]");
    browser.type_text("ws://127.0.0.1:1/");
    browser.press("Enter");
    let refused = browser.wait("document.querySelector('#add-dialog .error').textContent");
    assert!(refused.as_str().unwrap().contains("cannot connect to 127.0.0.1:1"), "{refused}");
    browser.eval("document.querySelector('#add-dialog [name=target]').select()");
    browser.type_text(&other.url());
    browser.press("Enter");
    browser.wait("!document.getElementById('add-dialog').open");
    browser.wait("document.querySelector('[data-port=\"1\"] [data-state=up]')");
    assert_eq!(switch.port(1)["target"], other.url());
    assert_eq!(switch.port(1)["name"], "uplink");

    browser.click("[data-port='1'] [data-action=shut]");
    browser.wait("document.querySelector('[data-port=\"1\"] [data-state=shut]')");
    assert_eq!(switch.port(1)["shut"], true);
    browser.click("[data-port='1'] [data-action=shut]");
    browser.wait("document.querySelector('[data-port=\"1\"] [data-state=up]')");

    browser.click("[data-port='1'] [data-action=open]");
    browser.click(".detail [data-action=set]");
    browser.wait("document.getElementById('set-dialog').open");
    browser.eval("document.querySelector('#set-dialog [name=setting-storm-broadcast]').select()");
    browser.type_text("10/40");
    browser.press("Enter");
    browser.wait("!document.getElementById('set-dialog').open");
    let report = &switch.json(&["showport", "1"])[0];
    assert_eq!(report["limits"]["storm-broadcast"]["limit"], "10/40");
    assert_eq!(report["limits"]["macs"]["limit"], "8192");
    assert_eq!(report["settings"]["storm-broadcast"]["origin"], "own");

    browser.click("[data-port='1'] [data-action=delete]");
    browser.wait("document.getElementById('confirm').open");
    // Enter is what a hand does by itself: it must not delete.
    browser.press("Enter");
    browser.wait("!document.getElementById('confirm').open");
    assert_eq!(switch.ports().len(), 1);
    browser.click("[data-port='1'] [data-action=delete]");
    browser.click("#confirm-yes");
    browser.wait("document.querySelectorAll('[data-port]').length === 0");
    assert!(switch.ports().is_empty());
    browser.assert_clean(&bench.url(), None);
}

#[test]
fn a_keyboard_alone_deletes_a_port() {
    let bench = need!(Bench::start(&[]));
    let Bench { switch, browser } = &bench;
    let (_socket, port) = switch.open();
    browser.wait(&format!("document.querySelector('[data-port=\"{port}\"]')"));
    let focused =
        |wanted: &str| browser.eval(&format!("document.activeElement.matches({wanted:?})")) == true;
    let tab_to = |wanted: &str| {
        for _ in 0..30 {
            if focused(wanted) {
                return;
            }
            browser.press("Tab");
        }
        panic!("no way to {wanted}");
    };
    tab_to("[data-action=delete]");
    let outline = browser.eval("getComputedStyle(document.activeElement).outlineStyle");
    assert_eq!(outline, "solid", "the focus must be seen");
    browser.press("Enter");
    browser.wait("document.getElementById('confirm').open");
    browser.press("Escape");
    browser.wait("!document.getElementById('confirm').open");
    assert!(focused("[data-action=delete]"), "the focus goes back to where it was");
    browser.press("Enter");
    tab_to("#confirm-yes");
    browser.press("Enter");
    browser.wait("document.querySelectorAll('[data-port]').length === 0");
    assert!(switch.ports().is_empty());
    assert!(focused("#ports"), "the focus stays near");
}

#[test]
fn a_telephone_shows_all_without_scrolling_sideways() {
    let bench = need!(Bench::start(&[]));
    let Bench { switch, browser } = &bench;
    browser.set_size(360, 740);
    let (_sockets, [port, _]) = sessions(switch);
    browser.click(&format!("[data-port='{port}'] [data-action=open]"));
    browser.wait("document.querySelector('.detail [data-name=frame-rx]')");
    browser.wait("document.querySelectorAll('#addresses-rows tr').length === 2");
    let fits =
        "document.documentElement.scrollWidth <= 360 || document.documentElement.scrollWidth";
    assert_eq!(browser.eval(fits), true);
    for name in ["add", "set", "capture", "invite", "invitation", "rename"] {
        let dialog = format!("{name}-dialog");
        browser.eval(&format!("document.getElementById('{dialog}').showModal()"));
        let inside = format!(
            "(({{left, right}}) => left >= 0 && right <= 360)(
            document.getElementById('{dialog}').getBoundingClientRect())"
        );
        assert_eq!(browser.eval(&inside), true, "{dialog}");
        browser.eval(&format!("document.getElementById('{dialog}').close()"));
    }
}

/// What a sighted reader of the page cannot read or hit, as far as it can be computed: text
/// paler than WCAG 2.2 AA wants (1.4.3), targets under 24 px (2.5.8), what is cut off.
pub(super) const UNREADABLE: &str = r#"(() => {
    const shown = (one) => one.checkVisibility({ checkOpacity: true }) && !one.closest(".hidden, .skip, #chart");
    const all = [...document.querySelectorAll("body *")].filter(shown);
    const channels = (colour) => colour.match(/[\d.]+/g).map(Number);
    const light = (colour) => channels(colour).slice(0, 3).map((one) => one / 255)
        .map((one) => (one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4))
        .reduce((sum, one, at) => sum + one * [0.2126, 0.7152, 0.0722][at], 0);
    const behind = (one) => {
        const colour = getComputedStyle(one).backgroundColor;
        return one.parentElement && channels(colour)[3] === 0 ? behind(one.parentElement) : colour;
    };
    const pale = (one) => {
        const pair = [light(getComputedStyle(one).color), light(behind(one))].sort((a, b) => b - a);
        return (pair[0] + 0.05) / (pair[1] + 0.05) < 4.5;
    };
    const has = (one) => [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    const small = (one) => one.getBoundingClientRect().height < 23.9;
    const wide = (one) => one.scrollWidth > one.clientWidth + 1 && one.clientWidth > 0
        && getComputedStyle(one).overflowX === "visible" && getComputedStyle(one).display !== "inline";
    const name = (one) => `${one.tagName}#${one.id}.${one.className} ${one.textContent.slice(0, 30)}`;
    return [
        ...all.filter((one) => has(one) && pale(one)).map((one) => `pale ${name(one)}`),
        ...all.filter((one) => one.matches("button, select, .switch label") && small(one)).map((one) => `small ${name(one)}`),
        ...all.filter((one) => one.matches("section, table, dl, header") && wide(one)).map((one) => `wide ${name(one)}`),
    ];
})()"#;

#[test]
fn all_can_be_read_and_hit_at_any_width_by_day_and_night() {
    let bench = need!(Bench::start(&[]));
    let Bench { switch, browser } = &bench;
    let (_sockets, [port, _]) = sessions(switch);
    switch.ctl(&["setport", &port.to_string(), "--name", "a-name-as-long-as-people-give"]);
    browser.wait("document.querySelectorAll('#addresses-rows tr').length === 2");
    for width in [1280, 1024, 390] {
        browser.set_size(width, 900);
        for dark in [false, true] {
            browser.set_dark(dark);
            assert_eq!(browser.eval(UNREADABLE), serde_json::json!([]), "{width} dark: {dark}");
        }
    }
}

#[test]
fn the_links_of_a_port_stand_under_it() {
    let Bench { switch, browser } = need!(Bench::start(&[]));
    let server = Switch::start(&[]);
    switch.add(&["client", "--links", "2", "--failover", &server.url()]);
    let links = "[...document.querySelectorAll('#ports-rows [data-port] ~ .link')]";
    let shown = browser.wait(&format!(
        "{links}.length === 2 && {links}[1].textContent.includes('standby') &&
        {links}.map((link) => link.textContent)"
    ));
    for (number, state) in ["up", "standby"].into_iter().enumerate() {
        let text = shown[number].as_str().expect("a text");
        let begin = format!("Link {number}: {state}, {}, RX ", server.url());
        assert!(text.starts_with(&begin), "{text}");
    }
}

#[test]
fn a_reason_stands_under_its_port_and_addresses_are_added_and_flushed() {
    let bench = need!(Bench::start(&[]));
    let Bench { switch, browser } = &bench;
    let other = Switch::start(&[]);
    let gone = switch.add(&["client", &other.url()]);
    let (_sockets, _) = sessions(switch);
    drop(other);
    let reason = browser.wait("document.querySelector('#ports-rows .reason')?.textContent");
    assert!(reason.as_str().unwrap().starts_with(&format!("Port {gone}: ")), "{reason}");

    browser.wait("document.querySelectorAll('#addresses-rows tr').length === 2");
    browser.click("#address-add");
    browser.wait("document.getElementById('address-dialog').open");
    browser.type_text("02:00:00:00:00:77");
    browser.click("#address-dialog [name=port]");
    browser.type_text("99");
    browser.press("Enter");
    let refused = browser.wait("document.querySelector('#address-dialog .error').textContent");
    assert!(refused.as_str().unwrap().contains("99"), "{refused}");
    browser.eval("document.querySelector('#address-dialog [name=port]').select()");
    browser.type_text(&gone.to_string());
    browser.press("Enter");
    browser.wait("document.querySelector('[data-mac=\"02:00:00:00:00:77\"]')");
    browser.click("#address-flush");
    browser.click("#confirm-yes");
    browser.wait("document.querySelectorAll('#addresses-rows tr').length === 1");
    assert_eq!(switch.json(&["listfdb"])[0]["mac"], "02:00:00:00:00:77");
    browser.click("[data-mac='02:00:00:00:00:77'] [data-action=delete]");
    browser.wait("document.querySelectorAll('#addresses-rows tr').length === 0");
    browser.assert_clean(&bench.url(), None);
}

#[test]
fn events_come_once_and_can_be_searched() {
    let bench = need!(Bench::start(&[]));
    let Bench { switch, browser } = &bench;
    browser.wait("document.getElementById('events-state').textContent === 'live'");
    let (mut socket, port) = switch.open();
    socket.send_frame(&frame(255, 1, b"who"));
    let row = "#events-rows tr[data-event=mac-learned]";
    browser.wait(&format!("document.querySelector({row:?})"));
    let shown = browser.eval(
        "[...document.querySelectorAll('#events-rows tr')].map((row) =>
        [row.dataset.event, row.children[2].textContent, row.children[3].textContent])",
    );
    let shown: Vec<[String; 3]> = serde_json::from_value(shown).unwrap();
    for event in ["port-up", "mac-learned"] {
        let found: Vec<_> = shown.iter().filter(|[name, ..]| name == event).collect();
        assert_eq!(found.len(), 1, "{event}: {shown:?}");
        assert_eq!(found[0][1], port.to_string());
    }
    assert!(shown[0][2].contains("02:00:00:00:00:01"), "the newest is first: {shown:?}");
    browser.click("#events-filter");
    browser.type_text("02:00:00:00:00:01");
    let visible =
        "[...document.querySelectorAll('#events-rows tr')].filter((row) => !row.hidden).length";
    assert_eq!(browser.eval(visible), 1);
    browser.assert_clean(&bench.url(), None);
}

#[test]
fn who_comes_late_sees_what_the_switch_is_and_what_has_happened() {
    let dir = TempDir::new();
    let text =
        "[tunnel]\nhost = \"127.0.0.1\"\nport = 0\n[control]\nhost = \"127.0.0.2\"\nport = 0\n";
    let config = dir.file("etherws.toml", text);
    let browser = need!(Browser::start());
    let switch = Switch::start(&["--config", &config]);
    let (_socket, port) = switch.open();
    browser.open(&format!("http://{}/", switch.control));
    browser.wait("document.querySelector('#events-rows tr[data-event=port-up]')");
    let shown = browser.eval(
        "[...document.querySelectorAll('#events-rows tr[data-event=port-up]')].map((row) =>
        row.children[2].textContent)",
    );
    assert_eq!(shown, serde_json::json!([port.to_string()]), "once");
    let about = browser.wait("document.getElementById('about').textContent");
    let version = env!("CARGO_PKG_VERSION");
    assert!(about.as_str().unwrap().starts_with(&format!("etherws {version} · up ")), "{about}");
    assert!(about.as_str().unwrap().ends_with(&config), "{about}");
    let tunnel = browser.eval("document.querySelector('[data-service=tunnel] p').textContent");
    assert_eq!(tunnel, format!("{}, no TLS, open to anybody", switch.tunnel));
    browser.click("#reload");
    browser.click("#confirm-yes");
    browser.wait("document.getElementById('status').textContent === 'Nothing has changed.'");
    browser.assert_clean(&format!("http://{}/", switch.control), None);
}

#[test]
fn certificates_stand_with_the_day_on_which_they_expire() {
    let certs = need!(Certificates::new());
    let bench = need!(Bench::start(&["--sslkey", &certs.key, "--sslcert", &certs.cert]));
    let day = bench.browser.wait("document.querySelector('#certificates-rows td')?.textContent");
    assert_eq!(day, "2049-12-31");
    bench.browser.assert_clean(&bench.url(), None);
}

#[test]
fn a_capture_is_stopped_and_saved_with_its_packets() {
    let bench = need!(Bench::start(&[]));
    let Bench { switch, browser } = &bench;
    let (mut sockets, [first, _]) = sessions(switch);
    browser.click("#capture");
    browser.wait("document.getElementById('capture-dialog').open");
    browser.type_text("77");
    browser.press("Enter");
    let refused = browser.wait("document.querySelector('#capture-dialog .error').textContent");
    assert!(refused.as_str().unwrap().contains("77"), "{refused}");
    browser.eval("document.querySelector('#capture-dialog [name=ports]').select()");
    browser.type_text(&first.to_string());
    browser.press("Enter");
    browser.wait("!document.getElementById('capture-dialog').open");
    let progress = "document.querySelector('.capture .number').textContent";
    talk(&mut sockets, || (!browser.eval(progress).as_str()?.starts_with("0 ")).then_some(()));
    browser.click(".capture button");
    let file = browser.download("pcapng");
    let packets = browser.eval(progress);
    let packets = number(packets.as_str().unwrap().split(' ').next().unwrap());
    assert_eq!(pcapng_packets(&file), packets);
    assert!(packets >= 20, "{packets}");
    let needle = frame(2, 1, &[0; 1000]);
    assert!(file.windows(needle.len()).any(|window| window == needle), "the frames are in it");
    browser.assert_clean(&bench.url(), None);
}

/// Packets in a pcapng file of whole blocks, each of which ends with its length.
fn pcapng_packets(file: &[u8]) -> u64 {
    let word = |at: usize| -> u32 {
        let octets: [u8; 4] = file[at..at + 4].try_into().unwrap();
        if file[8] == 0x4d { u32::from_le_bytes(octets) } else { u32::from_be_bytes(octets) }
    };
    let (mut at, mut packets) = (0, 0);
    while at < file.len() {
        let length = word(at + 4);
        let end = at + usize::try_from(length).unwrap();
        assert_eq!(word(end - 4), length, "a whole block");
        packets += u64::from(word(at) == 6);
        at = end;
    }
    packets
}

#[test]
fn a_browser_that_is_logged_in_sees_the_page() {
    let dir = TempDir::new();
    let users = dir.file("users", "alice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n");
    let browser = need!(Browser::start());
    let switch = Switch::start(&["--ctlhtpasswd", &users]);
    browser.open(&format!("http://alice:secret@{}/", switch.control));
    browser.wait("document.getElementById('sum-ports').textContent === '0 of 0'");
    browser.wait("document.getElementById('events-state').textContent === 'live'");
    browser.assert_clean(&format!("http://{}/", switch.control), None);
}

#[test]
fn strangers_names_are_text() {
    let dir = TempDir::new();
    let name = "<img src=x onerror=document.title=1>";
    let users = dir.file("users", format!("{name}:{{SHA}}5en6G6MezRroT3XKqkdPOmY/BfQ=\n"));
    let bench = need!(Bench::start(&["--htpasswd", &users]));
    let Bench { switch, browser } = &bench;
    let login = http::basic(name, "secret");
    let socket = WebSocket::open_with(switch.tunnel, "/", &[("Authorization", &login)]).unwrap();
    let port = switch.number_of(&socket);
    wait_until("the user to be shown", || bench.cell(port, "user") == name);
    browser.click(&format!("[data-port='{port}'] [data-action=open]"));
    browser.wait("document.querySelector('.detail [data-name=user]')");
    assert_eq!(browser.eval("document.querySelectorAll('main img').length"), 0);
    browser.assert_clean(&bench.url(), None);
}

#[test]
fn the_page_says_that_the_switch_is_gone_and_finds_it_again() {
    let mut bench = need!(Bench::start(&[]));
    let control = bench.switch.control.port().to_string();
    bench.switch.process.kill();
    let said = bench.browser.wait(
        "!document.getElementById('banner').hidden && document.getElementById('banner').textContent",
    );
    assert!(said.as_str().unwrap().contains("does not answer"), "{said}");
    bench.switch = Switch::start(&["--ctlport", &control]);
    let (_socket, _) = bench.switch.open();
    bench.browser.wait("document.getElementById('banner').hidden");
    bench.browser.wait("document.querySelector('[data-port=\"1\"]')");
    bench.browser.assert_clean(&bench.url(), Some("ERR_"));
}

/// Writes the picture in the README, and its siblings into `target/tmp`.
#[test]
#[ignore = "it takes a minute and writes docs/page.png"]
fn picture() {
    let dir = TempDir::new();
    let hash = "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=";
    let users = dir.file("users", format!("alice:{hash}\nbob:{hash}\n"));
    let bench = need!(Bench::start(&["--htpasswd", &users]));
    let Bench { switch, browser } = &bench;
    browser.set_size(1280, 1000);
    let mut sockets = ["alice", "bob"].map(|user| {
        let login = http::basic(user, "secret");
        WebSocket::open_with(switch.tunnel, "/", &[("Authorization", &login)]).unwrap()
    });
    let port = switch.number_of(&sockets[0]);
    let other = Switch::start(&[]);
    switch.add(&["client", &other.url()]);
    for (at, last) in [(0, 1), (1, 2)] {
        sockets[at].send_frame(&announcement(last));
        sockets[1 - at].expect_frame(&announcement(last));
    }
    drop(other);
    let shoot = |path: &str| std::fs::write(path, browser.screenshot()).unwrap();
    let begun = Instant::now();
    for second in 1..=70 {
        talk(&mut sockets, || {
            // Traffic that is not the same all the time.
            (0..second * second % 17).for_each(|_| drop(browser.eval("0")));
            (begun.elapsed().as_secs() >= second).then_some(())
        });
    }
    shoot(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/page.png"));
    let folder = env!("CARGO_TARGET_TMPDIR");
    browser.click(&format!("[data-port='{port}'] [data-action=open]"));
    talk(&mut sockets, || bench.lines(".detail [data-list=frames] div").pop());
    browser.set_dark(true);
    shoot(&format!("{folder}/page-dark.png"));
    browser.set_size(360, 1400);
    shoot(&format!("{folder}/page-phone.png"));
    browser.click("#capture");
    shoot(&format!("{folder}/page-dialog.png"));
}

/// An ARP announcement (RFC 5227, 3) of 192.0.2.`last`.
fn announcement(last: u8) -> Vec<u8> {
    let mut frame = frame(255, last, &[0, 1, 8, 0, 6, 4, 0, 1]);
    frame[12..14].copy_from_slice(&[8, 6]);
    for part in [[2, 0, 0, 0, 0, last].as_slice(), &[192, 0, 2, last], &[0; 6], &[192, 0, 2, last]]
    {
        frame.extend(part);
    }
    frame
}
