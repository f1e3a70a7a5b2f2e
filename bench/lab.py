"""Two hosts on one cable: network namespaces in a user, mount and PID namespace of
their own. Nothing of the machine's network is touched, and everything ends with it.

Knows nothing of tunnels or figures.
"""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

INSIDE = "ETHERWS_BENCH_INSIDE"

ROOT = pathlib.Path(__file__).resolve().parent.parent

# Cargo's folder, wherever it is.
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target").resolve()

# The cable's addresses, and those of what is laid over it.
OUTER = {"A": "10.0.0.1", "B": "10.0.0.2"}
INNER = {"A": "192.0.2.1", "B": "192.0.2.2"}

# What host B has besides, so that each of thousands of sessions comes from an address of
# its own, as clients do.
CROWD = "10.1.0.0/16"

# Both of the cable and of what is laid over it.
MTU = 1500

# A narrow cable, as a home's uplink: rate, and how long its own queue may get.
BOTTLENECK = "tbf rate 200mbit burst 64kb latency 20ms"

# Long enough for every start that is seen to work, short enough to give up a contender.
PATIENCE = 20


class Failed(Exception):
    """Something did not start, end or answer as it must; the text says what."""


def enter():
    """Runs this program again inside the namespaces; returns once inside."""
    if os.environ.get(INSIDE):
        # In our mount namespace alone: names of networks, and what programs write.
        for folder in ("/run", "/var/lib", "/var/log"):
            subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=True)
        return
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        sys.exit("bench: /dev/net/tun cannot be opened; load the module tun, or run this as root")
    private = ["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    rootless = ["--user", "--map-root-user"]
    if subprocess.run(["unshare", *rootless, "true"], stderr=subprocess.DEVNULL).returncode == 0:
        private += rootless
    elif os.geteuid() != 0:
        sys.exit("bench: user namespaces are not allowed here; allow them, or run this as root")
    os.environ[INSIDE] = "yes"
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    sys.stdout.flush()
    os.execvp("unshare", ["unshare", *private, sys.executable, *sys.argv])


def wait_for(what, condition, patience=PATIENCE, pause=0.02):
    """Waits until `condition()` is true and gives its value."""
    end = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failed(f"{what}: not within {patience} s")
        time.sleep(pause)


class Lab:
    """Hosts A and B with eth0 each. Use it in a `with`: at the end of that all that was
    started in it has ended.

    Their cable is `direct`; or `narrow`, with a bridge and a bottleneck in its middle; or
    `open`: two cables end as the interfaces A and B of a third host R, which joins them in
    its own way."""

    def __init__(self, cable="direct"):
        self.cable = cable
        self.folder = pathlib.Path("/run/bench")
        self.processes = []

    def __enter__(self):
        self.folder.mkdir()
        for host in OUTER:
            self.sh(f"ip netns add {host}")
        if self.cable == "direct":
            self.sh("ip link add name eth0 netns A type veth peer name eth0 netns B")
        else:
            self._lay_two_cables()
        if self.cable == "narrow":
            self._narrow()
        for host, address in OUTER.items():
            self.on(host, "ip link set lo up")
            self.on(host, f"ip addr add {address}/24 dev eth0")
            self.on(host, f"ip link set eth0 mtu {MTU} up")
        return self

    def _lay_two_cables(self):
        self.sh("ip netns add R")
        self.on("R", "ip link set lo up")
        for host in OUTER:
            self.sh(f"ip link add name eth0 netns {host} type veth peer name {host} netns R")
            self.on("R", f"ip link set {host} mtu {MTU} up")

    def bridge(self):
        """Joins two cables by the kernel's bridge."""
        self.on("R", "ip link add bridge type bridge")
        self.on("R", "ip link set bridge up")
        for host in OUTER:
            self.on("R", f"ip link set {host} master bridge")

    def _narrow(self):
        """Puts the bottleneck in the middle: on the hosts themselves its queue would push
        back on their TCP directly, which no modem does."""
        self.bridge()
        for host in OUTER:
            self.on("R", f"tc qdisc add dev {host} root {BOTTLENECK}")
            # One that fills the queue.
            self.on(host, "sysctl -q -w net.ipv4.tcp_congestion_control=reno")

    def __exit__(self, *_):
        for process in reversed(self.processes):
            self.end(process)
        for host in pathlib.Path("/run/netns").iterdir():
            subprocess.run(["ip", "netns", "del", host.name], check=False)
        shutil.rmtree(self.folder)

    @staticmethod
    def _inside(host, command):
        words = command.split() if isinstance(command, str) else [str(word) for word in command]
        return ["nsenter", f"--net=/run/netns/{host}", "--", *words] if host else words

    def sh(self, command, host=None, said=""):
        """Runs a command to its end, which must be a good one, with this as its input; gives
        its output."""
        done = subprocess.run(
            self._inside(host, command), text=True, timeout=PATIENCE,
            input=said, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        if done.returncode != 0:
            words = command if isinstance(command, str) else " ".join(map(str, command))
            raise Failed(f"{words}: {(done.stderr + done.stdout).strip()}")
        return done.stdout

    def on(self, host, command):
        """Runs a command on a host."""
        return self.sh(command, host)

    def start(self, host, command, **more):
        """Starts a program that goes on, with its output in a file of the lab's folder."""
        more.setdefault("stdin", subprocess.DEVNULL)
        log = open(self.folder / f"{len(self.processes)}.log", "a+b")
        more.setdefault("stdout", log)
        process = subprocess.Popen(self._inside(host, command), stderr=log, **more)
        process.log = log
        self.processes.append(process)
        return process

    def end(self, process):
        """Ends a program that was started here, by its number."""
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(3)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        process.log.close()

    def invite(self):
        """Gives host B the addresses of a crowd."""
        self.on("B", f"ip route replace local {CROWD} dev lo")
        self.on("A", f"ip route replace {CROWD} via {OUTER['B']}")

    def has_link(self, host, name):
        """Whether a host has this device."""
        command = self._inside(host, f"ip link show dev {name}")
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def address(self, host, device, mtu=MTU):
        """Gives a tunnel's device its address, as soon as it is there."""
        def there():
            if self.processes:
                self.check(self.processes[-1])
            return self.has_link(host, device)
        wait_for(f"{device} on {host}", there)
        self.on(host, f"ip addr add {INNER[host]}/24 dev {device}")
        self.on(host, f"ip link set {device} mtu {mtu} up")

    def listens(self, process, port):
        """Waits until somebody listens on this TCP port in the process's network."""
        def listening():
            self.check(process)
            return any(
                line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A"
                for table in ("tcp", "tcp6")
                for line in pathlib.Path(f"/proc/{process.pid}/net/{table}").open()
            )
        wait_for(f"TCP port {port}", listening)

    def check(self, process):
        """Fails if a program that must go on has ended."""
        if process.poll() is not None:
            raise Failed(f"ended at once: {self.said(process)}")

    def said(self, process):
        """The end of what a program has written."""
        process.log.flush()
        process.log.seek(0)
        return process.log.read().decode(errors="replace").strip()[-500:]
