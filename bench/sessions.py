"""Opens WebSockets and keeps them, idle, until standard input ends.

    python3 sessions.py URL COUNT

Prints `open` once the last one is. Certificates are not checked: what is counted is
what the sessions cost the server.
"""

import resource
import socket
import ssl
import sys
from urllib.parse import urlsplit

url, count = urlsplit(sys.argv[1]), int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
tls = ssl._create_unverified_context() if url.scheme == "wss" else None
request = (
    f"GET {url.path} HTTP/1.1\r\nHost: {url.hostname}\r\nConnection: Upgrade\r\n"
    "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
).encode()

sockets = []
for _ in range(count):
    connection = socket.create_connection((url.hostname, 443 if tls else 80))
    if tls:
        connection = tls.wrap_socket(connection)
    connection.sendall(request)
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += connection.recv(4096) or sys.exit(f"no answer: {answer!r}")
    if not answer.startswith(b"HTTP/1.1 101 "):
        sys.exit(f"no WebSocket: {answer!r}")
    sockets.append(connection)
print("open", flush=True)
sys.stdin.read()
