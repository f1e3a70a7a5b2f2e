//! What somebody does who operates the installed service: looks at it with Wireshark, Prometheus
//! and Grafana, and restarts it while others come in.

use super::*;

const OPERATE: &str = include_str!("../../../docs/operate.md");
const METRICS: &str = include_str!("../../../docs/metrics.md");

/// A machine that runs.
fn bare() -> Result<Machine, String> {
    let network = Namespace::new()?;
    network.can_make_taps()?;
    let mut machine = Machine::new("alone", &Disks::new()?, &network)?;
    machine.boot()?;
    Ok(machine)
}

/// The same with the package installed.
fn machine() -> Result<Machine, String> {
    let machine = bare()?;
    install(&machine, &build(&TempDir::new(), "2.0.0~dev-1"));
    Ok(machine)
}

/// The only block of this language in a section.
fn block(document: &'static str, section: &str, language: &str) -> &'static str {
    let [block] = blocks(document, section, language)[..] else { panic!("one block: {section}") };
    block
}

#[test]
fn wireshark_prometheus_and_grafana_find_the_installed_service() {
    need!(can_build());
    for program in ["tshark", "promtool", "prometheus"] {
        need!(tool(program));
    }
    let machine = need!(machine());
    let sh = |script: &str| machine.run(&["sh", "-ec", script]);
    // What the units point to is there.
    for unit in ["etherws.service", "etherws.socket", "etherws-control.socket"] {
        let verified = machine.run(&["systemd-analyze", "verify", "--man=yes", unit]).ok();
        assert_eq!((&*verified.stdout, &*verified.stderr), ("", ""), "{unit}");
    }
    machine.run(&["useradd", "alice"]).ok();
    typed(&machine, block(INSTALL, "### Who may control the service\n", "sh"));
    let on_tcp = "### Control on TCP as well\n";
    machine.write(FILE, block(OPERATE, on_tcp, "toml").as_bytes());
    typed(&machine, block(OPERATE, on_tcp, "sh"));

    // A member of control's group, who is nobody else.
    let alice = "runuser -u alice -- env HOME=/tmp";
    sh(&format!("{alice} etherws ctl addport tap ethws0")).ok();
    sh(&format!("{alice} etherws ctl setif --address 198.51.100.1/24 1")).ok();
    let list = sh(&format!("{alice} tshark -D")).stdout;
    for name in ["etherws-all (etherws: all ports)", "etherws-1 (etherws: 1 tap ethws0)"] {
        assert!(list.contains(name), "{name}: {list}");
    }
    // Nobody has this address: the kernel asks for it again and again.
    let capture = "tshark -n -i etherws-1 -o extcap.etherws_1.ethertype:arp -c 2 \
                   -T fields -e arp.dst.proto_ipv4 & \
                   while kill -0 $! 2>/dev/null; do ping -c 1 -W 1 198.51.100.9 || true; done \
                   >/dev/null; wait $!";
    let captured = sh(&format!("{alice} {capture}")).ok().stdout;
    assert_eq!(captured, "198.51.100.9\n198.51.100.9\n");

    let section = "## Prometheus and Grafana\n";
    let file = "/etc/prometheus/prometheus.yml";
    machine.write(file, block(METRICS, section, "yaml").as_bytes());
    typed(&machine, block(METRICS, section, "sh"));
    let query = |expression: &str| {
        machine.run(&["promtool", "query", "instant", "http://127.0.0.1:9090", expression])
    };
    let up = "up{job=\"etherws\"} == 1 and on () etherws_port_state{state=\"up\"} == 1";
    wait_within(2 * LIMIT, "a scrape", || query(up).stdout.contains("=> 1").then_some(()));
    let dashboard = "/usr/share/doc/etherws/packaging/grafana/etherws.json";
    let dashboard = machine.run(&["cat", dashboard]).ok().json();
    let targets = dashboard["panels"].as_array().unwrap().iter();
    let targets = targets.flat_map(|panel| panel["targets"].as_array().unwrap());
    for target in targets {
        let expression = target["expr"].as_str().unwrap();
        let values = [("$__rate_interval", "1m"), ("$instance", ".*"), ("$job", ".*")];
        let expression = values
            .iter()
            .fold(expression.to_owned(), |text, (name, value)| text.replace(name, value));
        query(&expression).ok();
    }
}

#[test]
fn it_passes_its_own_test_without_a_compiler_and_its_removal_leaves_the_configuration() {
    need!(can_build());
    let machine = need!(bare());
    let package = build(&TempDir::new(), "2.0.0~dev-1");
    let compilers = "rm -f /usr/bin/cc /usr/bin/*gcc* /usr/bin/*ld /usr/bin/make";
    machine.run(&["sh", "-c", compilers]).ok();
    machine.run(&["sh", "-c", "command -v cc"]).failed();
    let serves = include_bytes!("../../../packaging/debian/tests/serves");
    for _ in 0..2 {
        // The second time with what the first one has written.
        install(&machine, &package);
        machine.run_with(&["sh"], serves).ok();
        machine.run(&["systemctl", "start", "etherws"]).ok();
        machine.run(&["apt-get", "remove", "-y", "etherws"]).ok();
        machine.run(&["sh", "-c", "command -v etherws || pidof etherws"]).failed();
        assert!(machine.run(&["cat", FILE]).ok().stdout.contains("ethws0"));
    }
    machine.run(&["apt-get", "purge", "-y", "etherws"]).ok();
    assert_eq!(machine.written("*etherws*"), "");
}

#[test]
fn the_archive_is_installed_as_its_document_says() {
    let archive = need!(portable::built(&portable::name("linux.tar.gz"), "portable"));
    let machine = need!(bare());
    let name = archive.file_name().unwrap().to_str().unwrap();
    for name in [name.to_owned(), format!("{name}.sha256")] {
        let content = fs::read(archive.with_file_name(&name)).unwrap();
        machine.write(&format!("/root/{name}"), &content);
    }
    let [_, unpack, prepare] = blocks(INSTALL, "## On any Linux\n", "sh")[..] else {
        panic!("the section has other blocks");
    };
    typed(&machine, &format!("cd /root\n{unpack}"));
    typed(&machine, prepare);
    let program = "/usr/local/bin/etherws";
    machine.run(&[program, "check", FILE]).ok();
    machine.run(&["systemctl", "enable", "--now", "etherws"]).ok();
    machine.run(&[program, "doctor", "--health"]).ok();
    assert_eq!(property(&machine, "User"), "etherws");
    assert!(property(&machine, "ExecStart").contains(program));
}

#[test]
fn a_restart_under_load_refuses_nobody() {
    need!(can_build());
    let machine = need!(machine());
    machine.write(
        FILE,
        b"[tunnel]\n[control]\nsocket = \"/run/etherws/control.sock\"\n\
          [port-defaults]\nloop-guard = false\n",
    );
    typed(&machine, block(INSTALL, "### Let systemd listen for tunnels\n", "sh"));
    // Ports without a station behind them: many tunnels to one switch are no loop then.
    let mut clients = "[control]\nsocket = \"/run/clients.sock\"\n\
                       [port-defaults]\nloop-guard = false\n"
        .to_owned();
    for number in 0..50 {
        let port = format!("[[port]]\ntype = \"client\"\ntarget = \"ws://127.0.0.1/?{number}\"\n");
        clients.push_str(&port);
    }
    machine.write("/root/clients.toml", clients.as_bytes());
    let script = include_bytes!("load.py");
    let outcome = machine.run_with(&["/usr/bin/python3", "-"], script).ok().json();
    println!("{outcome:#}");
    assert_eq!(outcome["refused"], serde_json::json!([]));
    assert!(outcome["newcomers"].as_u64().unwrap() > 50, "{outcome}");
    assert_eq!(outcome["ups"], 100, "each client was put out, and is back");
    assert!(outcome["back"].as_f64().unwrap() < 1.0, "{outcome}");
}
