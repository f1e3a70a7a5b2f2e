"""Runs a command on a terminal of its own, and types the answer at each prompt.

    on_terminal.py PROMPT ANSWER COMMAND...

What the terminal shows goes to standard output; the command's status is ours.
"""

import os
import pty
import sys
import termios
import time

prompt, answer, command = sys.argv[1].encode(), sys.argv[2].encode(), sys.argv[3:]
pid, terminal = pty.fork()
if pid == 0:
    os.execv(command[0], command)
shown, typed = b"", 0
while True:
    try:
        octets = os.read(terminal, 4096)
    except OSError:  # The other side is closed.
        break
    if not octets:
        break
    shown += octets
    if typed < shown.count(prompt):
        # The echo goes off just after the prompt: no human types that fast, we do.
        limit = time.monotonic() + 10
        while termios.tcgetattr(terminal)[3] & termios.ECHO and time.monotonic() < limit:
            pass
        os.write(terminal, answer + b"\n")
        typed += 1
sys.stdout.buffer.write(shown)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
