"""A session of SoftEther's own protocol, as far as `sessions.py` needs it: a login without
a password over TLS, then frames. The names are those of its source, src/Cedar/Protocol.c.

After the login either side sends messages: a number of frames, then each with its length;
or, in the place of the number, KEEP_ALIVE_MAGIC with octets that say nothing.
"""

import struct

# What `bench` of the hub must be allowed to be: CLIENT_AUTHTYPE_ANONYMOUS.
USER, ANONYMOUS = "bench", 0

# Types of a PACK's values: numbers, octets and text.
INT, DATA, STR = 0, 1, 2


def refused(answer):
    """An answer is not the one that opens a session."""
    raise ConnectionError(f"no session: {answer[:200]!r}")


def pack(values):
    """A PACK: names with one value each."""
    parts = [struct.pack(">I", len(values))]
    for name, value in values.items():
        # A name's length counts a NUL that is not sent.
        parts += [struct.pack(">I", len(name) + 1), name.encode()]
        if isinstance(value, int):
            parts.append(struct.pack(">3I", INT, 1, value))
        else:
            kind, octets = (STR, value.encode()) if isinstance(value, str) else (DATA, value)
            parts += [struct.pack(">3I", kind, 1, len(octets)), octets]
    return b"".join(parts)


def post(connection, host, path, kind, body):
    """Asks by POST; gives the answer's body."""
    connection.sendall((
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {kind}\r\n"
        f"Connection: Keep-Alive\r\nContent-Length: {len(body)}\r\n\r\n").encode() + body)
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += connection.recv(4096) or refused(answer)
    head, _, body = answer.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    if not head.startswith(b"HTTP/1.1 200 "):
        refused(head)
    while len(body) < int(fields[b"content-length"]):
        body += connection.recv(4096) or refused(body)
    return body


def log_in(connection, url):
    """Opens a session in the hub that the URL's path names."""
    host = url.hostname
    post(connection, host, "/vpnsvc/connect.cgi", "image/jpeg", b"VPNCONNECT")
    welcome = post(connection, host, "/vpnsvc/vpn.cgi", "application/octet-stream", pack({
        "method": "login", "hubname": url.path.strip("/"), "username": USER,
        "authtype": ANONYMOUS, "client_str": "bench", "client_ver": 501, "client_build": 9674,
        "max_connection": 1, "use_encrypt": 1, "use_compress": 0, "half_connection": 0,
        "unique_id": bytes(20)}))
    if b"session_name" not in welcome:
        refused(welcome)


def message(frames):
    """Frames as they are sent at once."""
    return struct.pack(">I", len(frames)) + b"".join(
        struct.pack(">I", len(frame)) + frame for frame in frames)
