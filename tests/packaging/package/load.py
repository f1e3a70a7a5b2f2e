"""Restarts the service while 50 clients are up and a new one comes each 20 ms, on a machine with
etherws.socket on. Prints who was refused, and how long what took.
"""
import datetime
import json
import socket
import subprocess
import threading
import time

PERIOD, BEFORE, AFTER = 0.02, 1, 1
HELLO = (
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


def ctl(*words):
    command = ["etherws", "ctl", "--ctlurl", "unix:/run/clients.sock", "--json", *words]
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)


def up():
    try:
        return sum(port["state"] == "up" for port in ctl("listport"))
    except subprocess.CalledProcessError:
        return 0


def wait(count):
    end = time.time() + 20
    while up() < count:
        assert time.time() < end, "not all clients are up"
        time.sleep(0.05)


refused, took = [], []


def come():
    begun = time.time()
    try:
        with socket.create_connection(("127.0.0.1", 80), 10) as client:
            client.settimeout(10)
            client.sendall(HELLO)
            answer = client.recv(4096)
            assert answer.startswith(b"HTTP/1.1 101"), answer
            took.append(time.time() - begun)
    except (OSError, AssertionError) as error:
        refused.append("%.3f s after the start: %r" % (begun - start, error))


def come_each_moment():
    comers = []
    while not done.is_set():
        comers.append(threading.Thread(target=come))
        comers[-1].start()
        time.sleep(PERIOD)
    for comer in comers:
        comer.join()


start, done = time.time(), threading.Event()
switch = subprocess.Popen(["etherws", "sw", "--foreground", "--config", "/root/clients.toml"],
                          stderr=subprocess.DEVNULL)
try:
    wait(50)
    newcomers = threading.Thread(target=come_each_moment)
    newcomers.start()
    time.sleep(BEFORE)
    asked = time.time()
    subprocess.run(["systemctl", "restart", "etherws"], check=True)
    ready = time.time()
    wait(50)
    time.sleep(AFTER)
    done.set()
    newcomers.join()
    events = [event for event in ctl("events") if event["event"] == "port-up"]
    last = max(datetime.datetime.fromisoformat(event["time"]).timestamp() for event in events)
finally:
    switch.kill()
print(json.dumps({
    "refused": refused,
    "newcomers": len(took),
    "slowest": round(max(took), 3),
    "restart": round(ready - asked, 3),
    "ups": len(events),
    "back": round(last - ready, 3),
}))
