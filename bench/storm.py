"""A storm: thousands of client ports that lose a server and come back, with what they
prove who they are by. Takes a lab and gives figures, as in `measure.py`.

The ports are those of a few switches on B, which reconnect as any do: each after a wait of
its own. They are shut, since as many links between two switches would be loops. Their processes
have a lower priority, since their half of thousands of handshakes would be made on as many
other machines. Beside them a pair of hosts has a tunnel to the same server.
"""

import time

import measure
from lab import INNER, wait_for
from scale import CROWD, Control
from tunnels import certify

# Switches that have the ports.
SWITCHES = 8

# Whose the ports are, in turns: as many hashes are verified, or certificates, as there are
# users, since the server remembers what was right.
USERS = 20
PASSWORD = "as long as one that is not guessed"

# A second address of the server, so that its tunnels with the ports can be told apart from
# that of the pair.
SERVER = "10.0.0.3"

# One machine is all clients here, and there may be leftovers of those who come again.
LIMITS = ("--max-sessions", "8192", "--max-sessions-per-user", "8192",
          "--max-sessions-per-address", "8192")

# Long enough for a first storm with hashes, in seconds.
PATIENCE = 120


def certificates(lab, _):
    """Client certificates of a CA: options of the server, and keys of each user's ports."""
    key, authority = lab.folder / "ca.key", lab.folder / "ca.crt"
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    lab.sh(["openssl", "req", "-x509", *curve, "-keyout", key, "-out", authority, "-subj", "/CN=CA"])
    users = []
    for user in range(USERS):
        own, certificate = lab.folder / f"{user}.key", lab.folder / f"{user}.crt"
        lab.sh(["openssl", "req", "-x509", *curve, "-keyout", own, "-out", certificate,
                "-subj", f"/CN=user{user}", "-CA", authority, "-CAkey", key,
                "-addext", "basicConstraints=critical,CA:FALSE"])
        users.append({"cert": certificate, "key": own})
    return ["--sslclientca", authority], users


def passwords(lab, contender):
    """Passwords, hashed as `etherws passwd` does: the same for all users, which takes one
    hash to make and still one for each to verify."""
    entries, secret = lab.folder / "users", lab.folder / "password"
    secret.write_text(PASSWORD)
    lab.sh([*contender.program, "passwd", entries, "user0"], said=PASSWORD)
    digest = entries.read_text().strip().partition(":")[2]
    entries.write_text("".join(f"user{user}:{digest}\n" for user in range(USERS)))
    return ["--htpasswd", entries], [
        {"user": f"user{user}", "password-file": secret} for user in range(USERS)]


WAYS = {"certificates": certificates, "proofs": passwords}


def storm(lab, contender, _, way):
    """All tunnels are cut, and then the server is started again: seconds until all are
    back, and others' pings after the cut."""
    lab.on("A", f"ip addr add {SERVER}/24 dev eth0")
    key, certificate = certify(lab, "A", SERVER)
    more, users = WAYS[way](lab, contender)
    options = ["--sslkey", key, "--sslcert", certificate, *Control.OPTIONS, *LIMITS, *more]
    server = contender.switch(lab, "A", *options)
    join(lab, contender, certificate, users[0])
    for switch in range(SWITCHES):
        lab.start("B", ["nice", *contender.program, "sw", "--foreground", "--config",
                        configuration(lab, switch, certificate, users)])
    back(CROWD + 1, 0)
    time.sleep(1)
    pings = measure.Pings(lab, INNER["A"])
    began, before = time.monotonic(), Control.sessions()[1]
    lab.on("B", f"ss --kill --no-header --tcp dst {SERVER}")
    back(CROWD + 1, before + CROWD)
    cut = time.monotonic() - began
    times, lost = pings.end()
    began = time.monotonic()
    lab.end(server)
    contender.switch(lab, "A", *options)
    back(CROWD + 1, CROWD + 1)
    result = {
        "cut_s": cut, "restart_s": time.monotonic() - began, "ping_max_ms": max(times),
        "ping_p99_ms": measure.percentile(times, 99), "pings_lost": lost}
    return {f"storm_{way}_{figure}": value for figure, value in result.items()}


def back(sessions, begun):
    """Waits until so many sessions are there, and so many have begun."""
    def all_are():
        try:
            now, ever = Control.sessions()
        except OSError:
            # A server that starts.
            return False
        return now >= sessions and ever >= begun
    wait_for(f"{sessions} sessions", all_are, PATIENCE, pause=0.1)


def join(lab, contender, authority, user):
    """The pair: a TAP on the server, and one on another switch."""
    contender.switch(lab, "B")
    for host in INNER:
        contender.ctl(lab, host, "addport", "tap", "ethws0")
        lab.address(host, "ethws0")
    own = {"password-file": ["--passwd", PASSWORD]}
    credentials = [word for name, value in user.items()
                   for word in own.get(name, [f"--{name}", str(value)])]
    contender.ctl(lab, "B", "addport", "client", "--cacerts", authority, *credentials, contender.url)
    measure.reachable(lab, INNER["A"])


def configuration(lab, switch, authority, users):
    """The file of a switch with its part of the ports."""
    text = [f'[control]\nsocket = "{lab.folder}/clients{switch}"\n']
    for number in range(switch, CROWD, SWITCHES):
        keys = "".join(f'{key} = "{value}"\n' for key, value in users[number % USERS].items())
        text.append(f'[[port]]\ntype = "client"\ntarget = "wss://{SERVER}/?{number}"\n'
                    f'cacerts = "{authority}"\nshut = true\n{keys}')
    path = lab.folder / f"clients{switch}.toml"
    path.write_text("\n".join(text))
    return path
