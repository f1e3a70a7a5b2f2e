"""Fills the folder given with a virtual environment of the programs that the tests
talk to, among them etherws 1.3 itself, made to run on Python 3.

    python3 setup.py FOLDER

Does nothing when the folder is filled already. The original is fetched, not kept
here; EDITS says what Python 3 and today's libraries want different in it. None of
them changes what it does on the wire or at its command line.
"""

import hashlib
import pathlib
import re
import subprocess
import sys
import tarfile
import venv

HERE = pathlib.Path(__file__).resolve().parent

# (pattern, replacement, how often): a count that differs ends the setup, since the
# text is then not the one that these were written for.
EDITS = [
    # Names that moved.
    (r"^import urllib2$", "import urllib.parse, urllib.request as urllib2", 1),
    (r"urllib2\.(splittype|splithost|splitport)", r"urllib.parse._\1", 6),
    (r"\.iter(values|keys)\(\)", r".\1()", 3),
    (r"\bxrange\b", "range", 2),
    (r"cols = zip\(", "cols = list(zip(", 1),
    (r"list\(zip\(\*rows\)", "list(zip(*rows))", 1),
    (r"IOLoop\.instance\(\)", "IOLoop.current()", 1),
    # Octets of a frame are numbers now.
    (r"ord\((self\.data\[\d+\])\)", r"\1", 6),
    (r"sep\.join\(b\.encode\('hex'\) for b in mac\)", "sep.join('%02x' % b for b in mac)", 1),
    (r"([\w.]+)\.encode\('hex'\)", r"\1.hex()", 6),
    (r"return ''\.join\(buf\)", "return b''.join(buf)", 2),
    # Text and octets are different things now.
    (r"str\(ifname\)\[:15\]", "str(ifname)[:15].encode()", 1),
    (r"base64\.b64encode\(hashlib\.sha1\(passwd\)\.digest\(\)\)",
     "base64.b64encode(hashlib.sha1(passwd.encode()).digest()).decode()", 1),
    (r"base64\.b64decode\(creds\[6:\]\)\.split", "base64.b64decode(creds[6:]).decode().split", 1),
    (r"base64\.b64encode\((\s*'%s:%s' % \([^)]*\))\)", r"base64.b64encode((\1).encode()).decode()", 2),
    (r"urlopen\(req, json\.dumps\(data\)", "urlopen(req, json.dumps(data).encode()", 2),
    # With the name's check on, this library refuses to leave the certificate unchecked.
    (r"\{'cert_reqs': ssl\.CERT_NONE\}",
     "{'cert_reqs': ssl.CERT_NONE, 'check_hostname': False}", 1),
    # What Python 2's urlopen had and Python 3.12's has not is a test for `context`.
    (r"return 'context' in urllib2\.urlopen\.__code__\.co_varnames", "return True", 1),
    # What the handler's `open` returns is awaited now.
    (r"return (self\._switch\.register_port\(self\)\n        finally)", r"\1", 1),
    # A text message is a frame to it; Python 2 did not tell the two apart.
    (r"return self\.device\.recv\(\)", "return websocket_octets(self.device.recv())", 1),
    (r"EthernetFrame\(message\)", "EthernetFrame(websocket_octets(message))", 1),
    (r"^class EthernetFrame\(object\):",
     "def websocket_octets(data):\n"
     "    return data.encode() if isinstance(data, str) else data\n\n\n"
     "class EthernetFrame(object):", 1),
]


def main():
    folder = pathlib.Path(sys.argv[1]).resolve()
    mark = folder / "filled"
    wanted = hashlib.sha256(
        (HERE / "requirements.txt").read_bytes() + pathlib.Path(__file__).read_bytes()
    ).hexdigest()
    if mark.exists() and mark.read_text() == wanted:
        return
    venv.create(folder, clear=True, with_pip=True)
    pip = [folder / "bin/python", "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "-r", HERE / "requirements.txt"], check=True)
    subprocess.run(
        [*pip, "download", "--no-deps", "--no-binary", ":all:", "etherws==1.3", "-d", folder],
        check=True,
    )
    with tarfile.open(folder / "etherws-1.3.tar.gz") as archive:
        text = archive.extractfile("etherws-1.3/etherws.py").read().decode()
    for pattern, replacement, times in EDITS:
        text, done = re.subn(pattern, replacement, text, flags=re.MULTILINE)
        if done != times:
            sys.exit(f"etherws 1.3: {pattern!r} found {done} times, not {times}")
    (folder / "etherws.py").write_text(text)
    mark.write_text(wanted)


main()
