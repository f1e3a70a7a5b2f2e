"""How often a switch wakes that has nothing to do, and what that costs, as JSON: for each
case `wakeups_per_second`, of all its threads, and `cpu_ms_per_minute`.

    python3 bench/idle.py [--binary etherws] [--seconds 30] [CASE ...]

A wake-up is a voluntary context switch: some thread had been waiting, and waits again.
Everything is in network namespaces of its own.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import time

import lab

SESSIONS = pathlib.Path(__file__).with_name("sessions.py")

# What a start leaves behind is over by then: the loop guard's first rounds, and threads for
# files, which end after 10 s without work.
SETTLE = 15

TAP = '[[port]]\ntype = "tap"\ntarget = "{name}"\n'
CLIENT = '[[port]]\ntype = "client"\ntarget = "ws://127.0.0.1/"\n'
LISTENER = '[tunnel]\nhost = "127.0.0.1"\n'
TLS = '[{of}.tls]\ncert = "cert.pem"\nkey = "key.pem"\n'
TUNNEL = LISTENER + "{more}" + TLS.format(of="tunnel")
CONTROL = '[control]\nhost = "127.0.0.1"\nhtpasswd = "users"\n' + TLS.format(of="control")
PASSWORDS = 'htpasswd = "users"\n'



class Switch:
    """A switch with this configuration, until the end of a `with`."""

    def __init__(self, binary, folder, name, config):
        file = folder / f"{name}.toml"
        file.write_text(config)
        self.control = folder / f"{name}.sock"
        command = [binary, "sw", "--foreground", "--config", file, "--ctlsock", self.control]
        self.log = folder / f"{name}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def __enter__(self):
        try:
            lab.wait_for("control's socket", self.control.exists)
        except lab.Failed as error:
            raise lab.Failed(f"{error}: {self.log.read_text()}") from error
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def counts(self):
        """Wake-ups of each thread that is there, and the processor's time in seconds."""
        wakeups = {}
        for thread in pathlib.Path(f"/proc/{self.process.pid}/task").iterdir():
            try:
                lines = (thread / "status").read_text().splitlines()
            except OSError:
                continue  # It has ended.
            line = next(line for line in lines if line.startswith("voluntary_ctxt_switches"))
            wakeups[thread.name] = int(line.split()[1])
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2]
        ticks = sum(int(field) for field in fields.split()[11:13])
        # Ticks are 10 ms: of a first thread the scheduler says nanoseconds.
        sched = pathlib.Path(f"/proc/{self.process.pid}/schedstat").read_text().split()
        return wakeups, max(ticks / os.sysconf("SC_CLK_TCK"), int(sched[0]) / 1e9)


def measure(switch, seconds):
    """What `switch` does in this time. Threads that come and go are counted as far as they are
    seen, twice a second."""
    time.sleep(SETTLE)
    began = time.monotonic()
    first, cpu = switch.counts()
    last = dict(first)
    while time.monotonic() < began + seconds:
        time.sleep(0.5)
        wakeups, now = switch.counts()
        last.update(wakeups)
    took = time.monotonic() - began
    woken = sum(count - first.get(thread, 0) for thread, count in last.items())
    return {
        "wakeups_per_second": round(woken / took, 2),
        "cpu_ms_per_minute": round((now - cpu) * 1000 * 60 / took, 1),
    }


def nothing(start, seconds):
    """A switch without ports."""
    with start("one", "") as one:
        return measure(one, seconds)


def tap(start, seconds):
    """A TAP alone."""
    with start("one", TAP.format(name="one")) as one:
        return measure(one, seconds)


def client(start, seconds):
    """A TAP, and a tunnel to another switch that has a TAP too."""
    with (
        start("server", LISTENER + TAP.format(name="server")),
        start("one", TAP.format(name="one") + CLIENT) as one,
    ):
        return measure(one, seconds)


def server(start, seconds):
    """The other end of that."""
    with (
        start("server", LISTENER + TAP.format(name="server")) as one,
        start("one", TAP.format(name="one") + CLIENT),
    ):
        return measure(one, seconds)


def service(start, seconds):
    """A TAP, tunnels and control over TLS and with passwords; nobody is there."""
    with start("one", TUNNEL.format(more=PASSWORDS) + CONTROL + TAP.format(name="one")) as one:
        return measure(one, seconds)


def sessions(start, seconds):
    """The same without passwords for tunnels, with ten sessions of clients that say nothing but
    pongs."""
    config = TUNNEL.format(more="") + CONTROL + TAP.format(name="one")
    with start("one", config) as one:
        command = [sys.executable, SESSIONS, "wss://127.0.0.1/", "10"]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as clients:
            assert clients.stdout.readline() == "open\n"
            figures = measure(one, seconds)
            clients.stdin.close()
        return figures


CASES = {case.__name__: case for case in (nothing, tap, client, server, service, sessions)}


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    options.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CASES))
    options.add_argument("--binary", default=lab.TARGET / "release" / "etherws")
    options.add_argument("--seconds", type=int, default=30)
    options = options.parse_args()
    for case in options.cases:
        if case not in CASES:
            options.error(f"{case}: no such case; there are {', '.join(CASES)}")
    lab.enter()
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    # Sessions have addresses of their own.
    subprocess.run(["ip", "route", "add", "local", lab.CROWD, "dev", "lo"], check=True)
    folder = pathlib.Path("/run/bench")
    folder.mkdir()
    request = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    files = ["-nodes", "-subj", "/CN=localhost", "-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run([*request, *files], cwd=folder, check=True, capture_output=True)
    (folder / "users").write_text("bob:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n")

    def start(name, config):
        return Switch(options.binary, folder, name, config)

    figures = {case: CASES[case](start, options.seconds) for case in options.cases or CASES}
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
