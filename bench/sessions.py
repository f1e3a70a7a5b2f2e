"""Opens WebSockets and keeps them until standard input ends; what comes is read and
thrown away.

    python3 sessions.py URL COUNT

Prints `open` once the last one is, and for each line on standard input how many octets
have come so far. Certificates are not checked: what is counted is what the sessions
cost the server.
"""

import resource
import select
import socket
import ssl
import sys
from urllib.parse import urlsplit

# For all that a session has to give at once.
READ = 256 * 1024

url, count = urlsplit(sys.argv[1]), int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
tls = ssl._create_unverified_context() if url.scheme == "wss" else None
request = (
    f"GET {url.path} HTTP/1.1\r\nHost: {url.hostname}\r\nConnection: Upgrade\r\n"
    "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
).encode()

ready, sockets = select.epoll(), {}
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
    connection.setblocking(False)
    sockets[connection.fileno()] = connection
    ready.register(connection, select.EPOLLIN)
ready.register(sys.stdin, select.EPOLLIN)
print("open", flush=True)

octets = 0
while True:
    for number, _ in ready.poll():
        if number == sys.stdin.fileno():
            if not sys.stdin.readline():
                sys.exit()
            print(octets, flush=True)
            continue
        try:
            data = sockets[number].recv(READ)
        except (BlockingIOError, ssl.SSLWantReadError):
            continue
        octets += len(data)
        if not data:
            ready.unregister(number)
