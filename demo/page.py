"""Lends the page of a switch in a network of its own to the browser of this machine.

    page.py lend COMMAND ...    runs the command with a socket on this machine's loopback
    page.py carry HOST PORT     in the other network: carries what comes by it there

A socket stays in the network in which it was made, whoever has it.
"""

import asyncio
import fcntl
import os
import socket
import sys

# Descriptor and URL, for those started by `lend`.
SOCKET, URL = "ETHERWS_DEMO_SOCKET", "ETHERWS_DEMO_PAGE"


def lend(*command):
    listener = socket.create_server(("127.0.0.1", 0))
    # Above those that a script uses by number.
    os.environ[SOCKET] = str(fcntl.fcntl(listener, fcntl.F_DUPFD, 20))
    os.environ[URL] = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    os.execvp(command[0], command)


async def copy(reader, writer):
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    writer.close()


async def carry(host, port):
    async def both_ways(reader, writer):
        try:
            there, back = await asyncio.open_connection(host, int(port))
        except OSError:
            writer.close()
            return
        await asyncio.gather(copy(reader, back), copy(there, writer))

    listener = socket.socket(fileno=int(os.environ[SOCKET]))
    async with await asyncio.start_server(both_ways, sock=listener) as server:
        await server.serve_forever()


what, *words = sys.argv[1:]
if what == "lend":
    lend(*words)
else:
    asyncio.run(carry(*words))
