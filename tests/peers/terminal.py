"""Runs a command on a terminal of its own, of 24 lines and 80 columns, and types keys.

    terminal.py [WAIT KEYS]... -- COMMAND...

Each KEYS, in which \\x03 is Ctrl-C, is typed once the terminal has shown WAIT after what
was typed before. What the terminal shows goes to standard output; the command's status is
ours.
"""

import fcntl
import os
import pty
import struct
import sys
import termios

split = sys.argv.index("--")
pairs, command = sys.argv[1:split], sys.argv[split + 1 :]
steps = [
    (pairs[i].encode(), pairs[i + 1].encode().decode("unicode_escape").encode("latin-1"))
    for i in range(0, len(pairs), 2)
]
pid, terminal = pty.fork()
if pid == 0:
    os.execv(command[0], command)
fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
shown, seen = b"", 0
while True:
    try:
        octets = os.read(terminal, 4096)
    except OSError:  # The other side is closed.
        break
    if not octets:
        break
    shown += octets
    if steps and (at := shown.find(steps[0][0], seen)) >= 0:
        seen = at + len(steps[0][0])
        os.write(terminal, steps.pop(0)[1])
sys.stdout.buffer.write(shown)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
