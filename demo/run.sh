#!/usr/bin/env bash
# What etherws is for, before the reader's eyes: two hosts on one cable get a second,
# virtual Ethernet segment through a WebSocket. The hosts are network namespaces of
# their own: nothing of this machine's network is touched, and no root is needed where
# user namespaces are allowed.
#
#     demo/run.sh path/to/etherws [megabytes to transfer]
set -euo pipefail

etherws=$(realpath "$1")
megabytes=${2:-1000}
here=$(realpath "$(dirname "$0")")
transfer=$here/../tests/peers/transfer.py

bold='' blue='' plain=''
if [[ -t 1 ]]; then bold=$'\033[1m' blue=$'\033[36m' plain=$'\033[0m'; fi
say() { printf '\n%s\n' "$bold$*$plain"; }
give_up() { printf 'demo: %s\n' "$@" >&2; exit 1; }

# --- What it needs, and a place of its own ------------------------------------------

if [[ ${ETHERWS_DEMO_INSIDE-} != yes ]]; then
    "$here/../tests/tools.sh" demo || exit
    [[ -r /dev/net/tun && -w /dev/net/tun ]] || give_up \
        "/dev/net/tun cannot be opened; load its module (modprobe tun), or run this as root"
    private=(--mount --net --pid --fork --kill-child)
    if unshare --user --map-root-user true 2>/dev/null; then
        private+=(--user --map-root-user)
    elif ((EUID != 0)); then
        give_up "user namespaces are not allowed here; allow them, or run this as root:" \
            "Debian: sysctl kernel.unprivileged_userns_clone=1" \
            "Ubuntu: sysctl kernel.apparmor_restrict_unprivileged_userns=0"
    fi
    # With the PID namespace all that was started in it ends, whatever happens.
    status=0
    ETHERWS_DEMO_INSIDE=yes python3 "$here/page.py" lend unshare "${private[@]}" bash "$0" "$etherws" "$megabytes" || status=$?
    ((status == 0)) || give_up "FAILED, status $status; see above"
    exit
fi

# --- Two hosts on one cable -----------------------------------------------------------

PATH=$(dirname "$etherws"):$PATH:/usr/sbin:/sbin
# For the names of the two networks; in our mount namespace alone.
mount -t tmpfs tmpfs /run

# Runs a command on a host, after showing it.
on() {
    local host=$1
    shift
    printf '%s %s\n' "$blue$host#$plain" "$*"
    quietly "$host" "$@"
}
quietly() {
    local host=$1
    shift
    nsenter --net="/run/netns/$host" -- "$@"
}

say "Two hosts, A and B, on one cable: 10.0.0.10 and 10.0.0.5"
for host in A B; do
    ip netns add "$host"
    quietly "$host" ip link set lo up
done
ip link add name eth0 netns A type veth peer name eth0 netns B
for host in A B; do quietly "$host" ip link set eth0 up; done
quietly A ip addr add 10.0.0.10/24 dev eth0
quietly B ip addr add 10.0.0.5/24 dev eth0
on B ping -n -c 1 10.0.0.10

say "A switch on each, with a TAP device"
on A etherws sw
on A etherws ctl addport tap ethws0
on A etherws ctl setif --address 192.0.2.10 --netmask 255.255.255.0 1
on B etherws sw
on B etherws ctl addport tap ethws0
on B etherws ctl setif --address 192.0.2.5/24 1

say "Not joined yet: this ping must fail"
if on B ping -n -c 1 -W 1 192.0.2.10; then give_up "it did not"; fi

say "B opens a WebSocket to A: one Ethernet segment"
on B etherws ctl addport client ws://10.0.0.10/
on B ping -n -c 3 -i 0.2 192.0.2.10
on A ping -n -c 3 -i 0.2 -s 1472 192.0.2.5

say "A bulk transfer through the tunnel: $megabytes MB of TCP, compared by SHA-256"
results=$(mktemp -u /run/results.XXXX)
mkfifo "$results"
quietly A python3 "$transfer" receive 192.0.2.10 >"$results" &
exec 3<"$results"
read -r port <&3
on B python3 "$(realpath --relative-to=. "$transfer")" send 192.0.2.10 "$port" "${megabytes}000000"
read -r octets seconds digest <&3
exec 3<&-
wait $!
echo "$digest  on A"
rate=$(python3 -c "print(f'{$octets * 8 / $seconds / 1e9:.2f} Gbit/s')")
echo "$bold$rate$plain ($octets octets in $seconds s)"
on A ping -n -q -i 0.002 -c 500 192.0.2.5

say "What the switches know now"
for host in A B; do
    for list in listport listif listfdb; do on "$host" etherws ctl "$list"; done
done

say "The page of A's switch: $ETHERWS_DEMO_PAGE"
echo "(of a switch of your own: http://127.0.0.1:7867/)"
quietly A python3 "$here/page.py" carry 127.0.0.1 7867 &
if [[ -t 0 && -t 1 ]]; then
    read -rp "Open it in a browser; Enter ends the demo. "
else
    # Nobody is there to look at it.
    quietly A python3 -c 'import sys, urllib.request as web
print(web.urlopen(sys.argv[1]).status, sys.argv[1])' http://127.0.0.1:7867/
fi

say "Done. The namespaces, the switches and all devices go with this script."
