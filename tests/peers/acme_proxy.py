"""Stands in front of a CA of ACME that knows neither renewal information (RFC 9773) nor profiles.

    acme_proxy.py HOST PORT UPSTREAM CERT KEY PLAN

PLAN is an object of JSON; each line of standard input is another one in its place:

    profiles    object of the directory: name to description
    window      seconds from now on, [start, end]; without it the directory has no renewalInfo
    retry       Retry-After of renewalInfo [default: 3600]
    status      HTTP status of renewalInfo [default: 200]
    replaced    whether orders that replace a certificate are refused
    turn        [kind, status]: what the next `authorization` or `order` that is looked at has become

URLs of requests are signed and stay as they are: the CA makes all of them from Host. Prints a line
for each question and each order, as JSON.
"""

import base64
import http.client
import json
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

host, port, upstream, cert, key, plan = sys.argv[1:]
plan = json.loads(plan)
unverified = ssl._create_unverified_context()


def shown(offset):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + offset))


def ordered(body):
    payload = json.loads(body)["payload"] + "=="
    return json.loads(base64.urlsafe_b64decode(payload) or "{}")


def problem(kind, detail):
    return {"type": f"urn:ietf:params:acme:error:{kind}", "detail": detail}


class Proxy(BaseHTTPRequestHandler):
    def say(self, what):
        print(json.dumps(what), flush=True)

    def answer(self, status, headers, body):
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in ("content-length", "transfer-encoding", "connection", "date"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def renewal_info(self):
        self.say({"asked": self.path.rsplit("/", 1)[1]})
        start, end = plan["window"]
        window = {"start": shown(start), "end": shown(end)}
        body = {"suggestedWindow": window, "explanationURL": "https://ca.example/why"}
        status = plan.get("status", 200)
        if status != 200:
            body = problem("malformed", "no such certificate")
        headers = [("Retry-After", str(plan.get("retry", 3600)))]
        self.answer(status, headers, json.dumps(body).encode())

    def change(self, value, asked):
        if "newOrder" in value:
            if "window" in plan:
                value["renewalInfo"] = f"https://{self.headers['Host']}/renewal-info"
            if "profiles" in plan:
                value.setdefault("meta", {})["profiles"] = plan["profiles"]
        value.update({name: asked[name] for name in ("replaces", "profile") if name in asked})
        kind = "order" if "finalize" in value else "authorization" if "challenges" in value else None
        # A new order is as it is: it becomes something else later.
        if plan.get("turn", [None])[0] == kind and kind and not asked:
            value["status"] = plan.pop("turn")[1]
        return value

    def pass_on(self):
        if self.path.startswith("/renewal-info/"):
            return self.renewal_info()
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        asked = {}
        if "order-plz" in self.path:
            asked = ordered(body)
            if plan.get("replaced") and "replaces" in asked:
                self.say({"order": asked})
                refusal = problem("alreadyReplaced", "that certificate was replaced")
                kind = [("Content-Type", "application/problem+json")]
                return self.answer(409, kind, json.dumps(refusal).encode())
        ca = http.client.HTTPSConnection(upstream, context=unverified, timeout=30)
        ca.request(self.command, self.path, body or None, dict(self.headers))
        answer = ca.getresponse()
        said = answer.read()
        if asked and b"badNonce" not in said:
            self.say({"order": asked})
        if answer.status < 300 and said.startswith(b"{"):
            said = json.dumps(self.change(json.loads(said), asked)).encode()
        self.answer(answer.status, answer.getheaders(), said)

    do_GET = do_HEAD = do_POST = pass_on

    def log_message(self, *_):
        pass


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(cert, key)
server = ThreadingHTTPServer((host, int(port)), Proxy)
server.socket = context.wrap_socket(server.socket, True, do_handshake_on_connect=False)
threading.Thread(target=server.serve_forever, daemon=True).start()
print("listening", flush=True)
for line in sys.stdin:
    plan = json.loads(line)
    print("changed", flush=True)
