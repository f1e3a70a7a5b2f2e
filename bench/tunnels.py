"""What is compared: each contender knows what it needs and how it joins two hosts.

`start(lab)` gives the processes that carry frames; the inner addresses answer soon
after. `serve(lab)` starts a server only, for the sessions of `sessions.py` at `url`, and
nothing that would limit them. All run with their defaults unless a comment says why not.
"""

import pathlib
import shutil
import subprocess

from lab import INNER, MTU, OUTER, TARGET


class Contender:
    """A way to join two hosts."""

    needs = ()
    # Its version, or the command that tells it.
    version = ""
    # Where the figures are taken.
    inner = INNER
    kernel = False
    # What it needs the lab's cable to be.
    cable = "direct"

    def __init__(self, name, about):
        self.name, self.about = name, about

    def missing(self):
        """What is not installed, or nothing."""
        return [tool for tool in self.needs if not shutil.which(tool)]


class Veth(Contender):
    """The cable itself."""

    inner = OUTER
    kernel = True

    def start(self, lab):
        return []


class Vxlan(Contender):
    """The kernel's own tunnel."""

    kernel = True

    def start(self, lab):
        for host, other in (("A", "B"), ("B", "A")):
            # Not bound to eth0, so that the MTU inside may be the one outside. TCP's
            # super-frames cross the cable whole: nothing is cut up or fragmented.
            lab.on(host, f"ip link add vxlan0 mtu {MTU} type vxlan id 42 dstport 4789"
                         f" local {OUTER[host]} remote {OUTER[other]}")
            lab.address(host, "vxlan0")
        return []


class Bridge(Contender):
    """The kernel's bridge between two cables."""

    inner = OUTER
    kernel = True
    cable = "open"

    def start(self, lab):
        lab.bridge()
        return []


class Etherws(Contender):
    """A switch with a TAP on each host, joined by a WebSocket. `client` are options that its
    client port has besides."""

    # These guards would keep away what a load is made of.
    UNGUARDED = ("--storm-broadcast", "off", "--storm-octets", "off")

    def __init__(self, name, about, program, tls=False, version="", client=()):
        super().__init__(name, about)
        self.program, self.tls = [str(word) for word in program], tls
        self.client = list(client)
        self.version = version or (*self.program, "--version")
        self.url = f"{'wss' if tls else 'ws'}://{OUTER['A']}/"

    def missing(self):
        files = [word for word in self.program[:2] if "/" in word and not pathlib.Path(word).exists()]
        return files or [f"an etherws with {word}" for word in self.client
                         if word.startswith("--") and word not in self.help()]

    def help(self):
        """The options of a client port."""
        return subprocess.run([*self.program, "ctl", "addport", "client", "--help"], text=True,
                              stdout=subprocess.PIPE, check=False).stdout

    def switch(self, lab, host, *options):
        process = lab.start(host, [*self.program, "sw", "--foreground", *options])
        lab.listens(process, 7867)
        return process

    def ctl(self, lab, host, *words):
        return lab.on(host, [*self.program, "ctl", *words])

    def server(self, lab, *options):
        """The switch on A, with what a client adds to reach it."""
        if not self.tls:
            return self.switch(lab, "A", *options), [self.url]
        key, certificate = certify(lab, "A")
        switch = self.switch(lab, "A", "--sslkey", key, "--sslcert", certificate, *options)
        return switch, ["--cacerts", certificate, self.url]

    def start(self, lab, *options, server=(), client=()):
        """`server` are further options of the switch on A, `client` of the client port."""
        server, target = self.server(lab, *options, *server)
        process = self.switch(lab, "B", *options)
        for host in INNER:
            self.ctl(lab, host, "addport", "tap", "ethws0")
            lab.address(host, "ethws0")
        self.ctl(lab, "B", "addport", "client", *self.client, *client, *target)
        return [server, process]

    def serve(self, lab):
        return [self.server(lab, *self.UNGUARDED)[0]]


class Netdev(Etherws):
    """A switch where a bridge could be: between two interfaces."""

    inner = OUTER
    cable = "open"

    def start(self, lab, *options):
        switch = self.switch(lab, "R", *options)
        for host in OUTER:
            self.ctl(lab, "R", "addport", "netdev", host)
        return [switch]


class OpenVpn(Contender):
    needs = ("openvpn", "openssl")
    version = ("openvpn", "--version")

    def start(self, lab):
        files = {host: certify(lab, host) for host in OUTER}
        prints = {
            host: lab.sh(["openssl", "x509", "-in", certificate, "-noout", "-sha256", "-fingerprint"])
            .strip().split("=")[1]
            for host, (_, certificate) in files.items()
        }
        processes = []
        for host, other, role in (("A", "B", ["--tls-server", "--dh", "none"]),
                                  ("B", "A", ["--tls-client", "--remote", OUTER["A"], "--nobind"])):
            key, certificate = files[host]
            processes.append(lab.start(host, [
                "openvpn", "--dev", "tap0", "--dev-type", "tap", "--proto", "udp", *role,
                "--key", key, "--cert", certificate, "--peer-fingerprint", prints[other]]))
            lab.address(host, "tap0")
        return processes


class Tinc(Contender):
    needs = ("tincd",)
    version = ("tincd", "--version")

    def start(self, lab):
        processes = []
        for host in OUTER:
            folder = lab.folder / "tinc" / host
            (folder / "hosts").mkdir(parents=True)
            (folder / "tinc.conf").write_text(
                f"Name = {host}\nMode = switch\nInterface = tap0\nDeviceType = tap\n"
                + ("ConnectTo = A\n" if host == "B" else ""))
            (folder / "hosts" / host).write_text(f"Address = {OUTER[host]}\n")
            lab.sh(["tincd", "-c", folder, "-K2048"])
        folders = {host: lab.folder / "tinc" / host for host in OUTER}
        shutil.copy(folders["A"] / "hosts/A", folders["B"] / "hosts/A")
        shutil.copy(folders["B"] / "hosts/B", folders["A"] / "hosts/B")
        for host, folder in folders.items():
            processes.append(lab.start(
                host, ["tincd", "-c", folder, "-D", f"--pidfile={folder}/pid"]))
            lab.address(host, "tap0")
        return processes


class Fastd(Contender):
    needs = ("fastd",)
    version = ("fastd", "--version")

    def start(self, lab):
        pairs = {}
        for host in OUTER:
            said = lab.sh("fastd --generate-key --machine-readable").strip()
            config = lab.folder / f"{host}.secret"
            config.write_text(f'secret "{said}";\n')
            pairs[host] = said, lab.sh(
                ["fastd", "--config", config, "--show-key", "--machine-readable"]).strip()
        processes = []
        for host, other in (("A", "B"), ("B", "A")):
            config = lab.folder / f"{host}.conf"
            # The method that its manual recommends. Its MTU is that inside.
            config.write_text(
                f'mode tap; interface "tap0"; mtu {MTU}; method "salsa2012+umac";\n'
                f'bind {OUTER[host]}:10000; secret "{pairs[host][0]}";\n'
                f'peer "{other}" {{ key "{pairs[other][1]}"; remote {OUTER[other]}:10000; }}\n')
            processes.append(lab.start(host, ["fastd", "--config", config]))
            lab.address(host, "tap0")
        return processes


class SoftEther(Contender):
    SERVER = "/usr/libexec/softether/vpnserver/vpnserver"
    CLIENT = "/usr/libexec/softether/vpnclient/vpnclient"
    needs = (SERVER, CLIENT, "vpncmd")
    version = ("vpncmd", "/?")
    HUB = "vpncmd localhost:5555 /SERVER /ADMINHUB:DEFAULT /CMD "
    url = f"softether://{OUTER['A']}:5555/DEFAULT"

    def serve(self, lab):
        # Begin without the configuration of the round before.
        for folder in ("/var/lib/softether", "/var/log/softether", "/run/softether"):
            shutil.rmtree(folder, ignore_errors=True)
            pathlib.Path(folder).mkdir()
        server = lab.start("A", [self.SERVER, "execsvc"])
        lab.listens(server, 5555)
        lab.on("A", self.HUB + "UserCreate bench /GROUP:none /REALNAME:none /NOTE:none")
        lab.on("A", self.HUB + "UserAnonymousSet bench")
        return [server]

    def start(self, lab):
        server, = self.serve(lab)
        lab.on("A", self.HUB + "UserPasswordSet bench /PASSWORD:bench")
        lab.on("A", "vpncmd localhost:5555 /SERVER /CMD BridgeCreate DEFAULT /DEVICE:bench /TAP:yes")
        lab.address("A", "tap_bench")
        client = lab.start("B", [self.CLIENT, "execsvc"])
        command = "vpncmd localhost /CLIENT /CMD "
        lab.listens(client, 9931)
        lab.on("B", command + "NicCreate bench")
        lab.on("B", command + "AccountCreate bench /SERVER:" + OUTER["A"] + ":5555"
               " /HUB:DEFAULT /USERNAME:bench /NICNAME:bench")
        lab.on("B", command + "AccountPasswordSet bench /PASSWORD:bench /TYPE:standard")
        lab.on("B", command + "AccountConnect bench")
        lab.address("B", "vpn_bench")
        return [server, client]


class VpnWs(Contender):
    """The nearest relative: the same messages. It has no packages, and its server
    leaves HTTP to a proxy."""

    # Its client cuts frames, not packets, at 1500 octets.
    MTU = 1500 - 14
    needs = ("vpn-ws", "vpn-ws-client", "nginx")
    url = f"ws://{OUTER['A']}/"

    def serve(self, lab):
        # Where Debian's nginx makes the folders that it wants.
        pathlib.Path("/var/lib/nginx").mkdir(exist_ok=True)
        socket, config = lab.folder / "vpn-ws.socket", lab.folder / "nginx.conf"
        config.write_text(
            "daemon off; worker_processes 1; error_log stderr; user root;\n"
            # Two for each session, of which 512 are too few for a crowd.
            f"pid {lab.folder}/nginx.pid; events {{ worker_connections 16384; }}\n"
            "http { access_log off; server { listen 80; location / {\n"
            f"include /etc/nginx/uwsgi_params; uwsgi_pass unix:{socket};\n"
            "uwsgi_buffering off; } } }\n")
        server = lab.start("A", ["vpn-ws", "--bridge", "--tuntap", "tap0", socket])
        lab.address("A", "tap0", mtu=self.MTU)
        proxy = lab.start("A", ["nginx", "-c", config])
        lab.listens(proxy, 80)
        return [server, proxy]

    def start(self, lab):
        processes = self.serve(lab)
        client = lab.start("B", ["vpn-ws-client", "tap0", f"ws://{OUTER['A']}/"])
        lab.address("B", "tap0", mtu=self.MTU)
        return [*processes, client]


def certify(lab, host, *more):
    """A key and a certificate for a host's address, and for more of them, as paths."""
    names = ",".join(f"IP:{address}" for address in (OUTER[host], *more))
    key, certificate = lab.folder / f"{host}.key", lab.folder / f"{host}.crt"
    lab.sh(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-nodes", "-keyout", key, "-out", certificate, "-days", "2", "-subj", f"/CN={host}",
            "-addext", f"subjectAltName={names}"])
    return key, certificate


def contenders(binary):
    """All, in the order in which they take turns and are shown."""
    peers = TARGET / "peers"
    return [
        Veth("veth", "the bare cable"),
        Vxlan("vxlan", "the kernel's VXLAN"),
        Etherws("etherws-ws", "etherws, ws://", [binary]),
        Etherws("etherws-wss", "etherws, wss://", [binary], tls=True),
        Etherws("etherws-ws-plain", "etherws, ws://, one frame a message", [binary],
                client=["--wire", "plain"]),
        Etherws("etherws-wss-plain", "etherws, wss://, one frame a message", [binary], tls=True,
                client=["--wire", "plain"]),
        Bridge("bridge", "the kernel's bridge between two cables"),
        Netdev("etherws-netdev", "etherws between two cables", [binary]),
        OpenVpn("openvpn", "OpenVPN, UDP"),
        Tinc("tinc", "tinc, switch mode"),
        Fastd("fastd", "fastd, tap mode"),
        SoftEther("softether", "SoftEther"),
        VpnWs("vpn-ws", "vpn-ws behind nginx, ws://"),
        Etherws("original", "etherws 1.3 in Python, ws://",
                [peers / "bin/python", peers / "etherws.py"], version="1.3"),
    ]
