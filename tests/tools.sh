#!/bin/sh
# Looks for the programs that the tests start. Installs those that are missing where it
# may (root, apt-get), and names them otherwise: their tests are then skipped.
set -eu

PATH=$PATH:/usr/sbin:/sbin

# program:Debian's package
wanted="cc:gcc cmake:cmake python3:python3 unshare:util-linux nsenter:util-linux
setpriv:util-linux ip:iproute2 ss:iproute2 bridge:iproute2 ping:iputils-ping
lintian:lintian man:man-db systemd-analyze:systemd strip:binutils
tcpdump:tcpdump tshark:tshark busybox:busybox tinyproxy:tinyproxy-bin htpasswd:apache2-utils curl:curl
openssl:openssl promtool:prometheus chromium:chromium"

look() {
    missing=
    for pair in $wanted; do
        command -v "${pair%%:*}" >/dev/null || missing="$missing ${pair#*:}"
    done
    # To build an environment of its own, and a module in C in it.
    if command -v python3 >/dev/null; then
        python3 -c 'import ensurepip' 2>/dev/null || missing="$missing python3-venv"
        python3 -c 'import os, sys, sysconfig
path = os.path.join(sysconfig.get_path("include"), "Python.h")
sys.exit(not os.path.exists(path))' || missing="$missing python3-dev"
    fi
    missing=$(printf '%s\n' $missing | sort -u | xargs)
}

look
if [ -n "$missing" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing what the tests need: $missing"
    DEBIAN_FRONTEND=noninteractive
    export DEBIAN_FRONTEND
    # A failure is named below, by what is then still missing.
    { apt-get -q update && apt-get -qy install --no-install-recommends $missing; } || true
    look
fi
if [ -n "$missing" ]; then
    echo "The tests need what is not installed: $missing" >&2
    echo "On Debian: apt-get install $missing" >&2
    echo "Tests that need it are skipped." >&2
fi
