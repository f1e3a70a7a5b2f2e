"""A WebSocket peer made of somebody else's library.

    ws_peer.py client websockets|websocket-client URL [--ca FILE] [--user U:P] [--deflate]
    ws_peer.py server websockets [--cert FILE --key FILE] [--port N] [--host H]

Events go to standard output, a JSON object a line; commands come in on standard
input: `send HEX`, `text WORDS`, `ping HEX`, `close`.
"""

import argparse
import json
import ssl
import sys
import threading


def say(event, **more):
    print(json.dumps({"event": event, **more}), flush=True)


class Websockets:
    """`websockets`, either role."""

    def __init__(self, connection):
        self.connection = connection

    @classmethod
    def dial(cls, options, context, headers):
        from websockets.sync.client import connect

        return cls(
            connect(
                options.url,
                ssl=context,
                additional_headers=headers,
                compression="deflate" if options.deflate else None,
                ping_interval=None,
                max_size=None,
                proxy=None,
            ).__enter__()
        )

    def send(self, data):
        self.connection.send(data)

    def ping(self, data):
        self.connection.ping(data, ack_on_close=False).wait(10) and say("pong", hex=data.hex())

    def close(self):
        self.connection.close()

    def messages(self):
        from websockets.exceptions import ConnectionClosed

        try:
            while True:
                yield self.connection.recv()
        except ConnectionClosed as closed:
            say("close", code=closed.rcvd.code if closed.rcvd else None)


class WebsocketClient:
    """`websocket-client`, the library that the original stands on."""

    def __init__(self, connection):
        self.connection = connection

    @classmethod
    def dial(cls, options, context, headers):
        import websocket

        sslopt = {"context": context} if context else None
        connection = websocket.WebSocket(sslopt=sslopt)
        connection.connect(options.url, header=[f"{k}: {v}" for k, v in headers.items()])
        return cls(connection)

    def send(self, data):
        if isinstance(data, str):
            self.connection.send(data)
        else:
            self.connection.send_binary(data)

    def ping(self, data):
        self.connection.ping(data)

    def close(self):
        self.connection.close()

    def messages(self):
        import struct
        import websocket

        while True:
            try:
                opcode, data = self.connection.recv_data(control_frame=True)
            except (websocket.WebSocketException, OSError):
                say("close", code=None)
                return
            if opcode == websocket.ABNF.OPCODE_BINARY:
                yield data
            elif opcode == websocket.ABNF.OPCODE_TEXT:
                yield data.decode()
            elif opcode == websocket.ABNF.OPCODE_PONG:
                say("pong", hex=data.hex())
            elif opcode == websocket.ABNF.OPCODE_CLOSE:
                say("close", code=struct.unpack("!H", data[:2])[0] if data else None)
                return


def receive(peer):
    for message in peer.messages():
        if isinstance(message, bytes):
            say("frame", hex=message.hex())
        else:
            say("text", text=message)


def obey(current):
    for line in sys.stdin:
        word, _, rest = line.strip().partition(" ")
        peer = current()
        if word == "send":
            peer.send(bytes.fromhex(rest))
        elif word == "text":
            peer.send(rest)
        elif word == "ping":
            peer.ping(bytes.fromhex(rest))
        elif word == "close":
            peer.close()


def client(options):
    import base64

    context = None
    if options.url.startswith("wss:"):
        context = ssl.create_default_context(cafile=options.ca)
    headers = {}
    if options.user:
        headers["Authorization"] = "Basic " + base64.b64encode(options.user.encode()).decode()
    kind = {"websockets": Websockets, "websocket-client": WebsocketClient}[options.library]
    try:
        peer = kind.dial(options, context, headers)
    except Exception as error:
        return say("refused", error=str(error))
    say("open")
    threading.Thread(target=receive, args=[peer], daemon=True).start()
    obey(lambda: peer)


def server(options):
    from websockets.sync.server import serve

    context = None
    if options.cert:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.cert, options.key)
    connections = []

    def handle(connection):
        headers = {name.lower(): value for name, value in connection.request.headers.raw_items()}
        connections.append(Websockets(connection))
        say("open", path=connection.request.path, headers=headers)
        receive(connections[-1])

    with serve(
        handle,
        options.host,
        options.port,
        ssl=context,
        compression="deflate" if options.deflate else None,
        ping_interval=None,
        max_size=None,
    ) as listener:
        say("listening", port=listener.socket.getsockname()[1])
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        obey(lambda: connections[-1])


def main():
    parser = argparse.ArgumentParser()
    roles = parser.add_subparsers(required=True)
    one = roles.add_parser("client")
    one.add_argument("library")
    one.add_argument("url")
    one.add_argument("--ca")
    one.add_argument("--user")
    one.set_defaults(role=client)
    one = roles.add_parser("server")
    one.add_argument("library")
    one.add_argument("--cert")
    one.add_argument("--key")
    one.add_argument("--host", default="127.0.0.1")
    one.add_argument("--port", type=int, default=0)
    one.set_defaults(role=server)
    for one in roles.choices.values():
        one.add_argument("--deflate", action="store_true")
    options = parser.parse_args()
    options.role(options)


main()
