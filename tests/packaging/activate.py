"""Runs a program with sockets as a service manager would: activate.py NAME=PLACE... -- PROGRAM...

PLACE is tcp, udp, connected (a TCP socket that does not listen) or the file of a Unix
socket. Prints the addresses.
"""
import os
import socket
import sys

split = sys.argv.index("--")
names, sockets = [], []
for pair in sys.argv[1:split]:
    name, place = pair.split("=", 1)
    names.append(name)
    if place in ("tcp", "connected"):
        one = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        one.bind(("127.0.0.1", 0))
    elif place == "udp":
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    else:
        one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        one.bind(place)
    if place not in ("udp", "connected"):
        one.listen()
    sockets.append(one)
for one in sockets:
    if one.family == socket.AF_INET:
        print("%s:%d" % one.getsockname(), flush=True)
# Out of the way first: the numbers from 3 may be taken by another of them.
numbers = [os.dup(one.fileno()) for one in sockets]
high = [os.dup2(number, 100 + at) for at, number in enumerate(numbers)]
for at, number in enumerate(high):
    os.dup2(number, 3 + at)
    os.set_inheritable(3 + at, True)
    os.close(number)
os.environ.update(
    LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(names)), LISTEN_FDNAMES=":".join(names)
)
os.execv(sys.argv[split + 1], sys.argv[split + 1:])
