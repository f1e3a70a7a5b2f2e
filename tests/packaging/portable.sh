#!/bin/sh
# Tries the portable program where there is nothing else: as the only file of a root.
#   portable.sh PROGRAM FOLDER
# FOLDER is empty. To run in mount, network and PID namespaces of their own, with their /proc.
set -eu

program=$1 root=$2/root
mkdir "$root"
cp "$program" "$root/etherws"
cd "$2"
ip link set lo up

etherws() {
    chroot "$root" /etherws "$@"
}
fail() {
    echo "portable.sh: $1" >&2
    exit 1
}
# Waits for a command that succeeds, 10 s at most.
soon() {
    end=$(($(date +%s) + 10))
    while [ "$(date +%s)" -lt $end ]; do
        if "$@" >said 2>&1; then return; fi
        sleep 0.05
    done
    cat said >&2
    fail "in vain: $*"
}
# A command that must fail, and say so.
refuses() {
    words=$1
    shift
    if "$@" >said 2>&1; then fail "succeeded: $*"; fi
    grep -q -e "$words" said || { cat said >&2; fail "does not say \"$words\": $*"; }
}

etherws --version

# A hub with TLS, whose user has a number and no name.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=authority \
    -keyout ca.key -out ca.pem -addext basicConstraints=critical,CA:true 2>/dev/null
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=hub \
    -keyout "$root/hub.key" -out "$root/hub.pem" -CA ca.pem -CAkey ca.key \
    -addext subjectAltName=DNS:hub.example -addext basicConstraints=critical,CA:false 2>/dev/null
user=0
# In a user namespace there may be no other user.
if [ "$(awk '{ print $3; exit }' /proc/self/uid_map)" -gt 65532 ]; then
    user=65532
    chown $user "$root/hub.key"
fi
chroot "$root" /etherws sw --foreground --user $user --host 127.0.0.1 --port 443 --sslkey /hub.key \
    --sslcert /hub.pem 2>hub.log &
hub=$!
soon etherws doctor --health
grep -q "^Uid:	$user	$user	$user	$user$" "/proc/$hub/status" || fail "it is another user"

# A switch in the background, which takes /proc and /dev/null, with a tunnel to the hub.
mkdir "$root/proc" "$root/dev"
mount -t proc proc "$root/proc"
: >"$root/dev/null"
mount --bind /dev/null "$root/dev/null"
export ETHERWS_CTLURL=http://127.0.0.1:7868/ctl
refuses 'cannot ask the switch' etherws doctor --health
etherws sw --host 127.0.0.1 --port 8080 --ctlport 7868
etherws doctor --health
add() {
    etherws ctl addport client wss://hub.example/
}
is_up() {
    etherws ctl listport --state up | grep -q hub.example
}
refuses 'hub.example' add
mkdir "$root/etc"
echo '127.0.0.1 hub.example' >"$root/etc/hosts"
refuses '--cacerts' add
mkdir -p "$root/etc/ssl/certs"
cp ca.pem "$root/etc/ssl/certs/ca-certificates.crt"
add
soon is_up
etherws ctl delport 1

# The name of a server that only DNS knows.
rm "$root/etc/hosts"
echo 'nameserver 127.0.0.1' >"$root/etc/resolv.conf"
dnsmasq -C /dev/null -k -p 53 -R --user=root --pid-file= --local=/example/ \
    --host-record=hub.example,127.0.0.1 2>dns.log &
soon add
soon is_up

# A device, if there are any.
if [ -e /dev/net/tun ]; then
    mkdir -p "$root/dev/net"
    : >"$root/dev/net/tun"
    mount --bind /dev/net/tun "$root/dev/net/tun"
    etherws ctl addport tap ethws0
    etherws ctl setif --address 192.0.2.1/24 ethws0
    ip address show dev ethws0 | grep -q 192.0.2.1
fi
etherws ctl stop
refuses 'cannot ask the switch' etherws doctor --health
echo "the portable program needs nothing beside it"
