#!/bin/sh
# Looks for the programs that something needs: `tools.sh test`, `lab`, `demo` or `bench`.
# Installs those that are missing where it may (root, apt-get), and says what to type
# otherwise. Tests without their tools are skipped; a demo or a benchmark is not begun.
set -eu

PATH=$PATH:/usr/sbin:/sbin
for=${1:-test}

# program:Debian's package. Rust itself links by cc.
networks="cc:gcc unshare:util-linux nsenter:util-linux mount:mount ip:iproute2 ping:iputils-ping
python3:python3"
case $for in
    test) wanted="$networks setpriv:util-linux ss:iproute2 bridge:iproute2
        man:man-db systemd-analyze:systemd busybox:busybox tcpdump:tcpdump tshark:tshark
        tinyproxy:tinyproxy-bin htpasswd:apache2-utils curl:curl openssl:openssl
        promtool:prometheus ovs-vswitchd:openvswitch-switch lldpd:lldpd
        nginx:nginx-light haproxy:haproxy apache2:apache2-bin caddy:caddy squid:squid
        danted:dante-server stunnel:stunnel4 nc:netcat-openbsd socat:socat ethtool:ethtool pebble:pebble
        dnsmasq:dnsmasq-base radvd:radvd kea-dhcp4:kea-dhcp4-server
        kea-dhcp6:kea-dhcp6-server dhclient:isc-dhcp-client atk6-fake_router26:thc-ipv6
        yersinia:yersinia" ;;
    lab) wanted="chromium:chromium lintian:lintian strip:binutils musl-gcc:musl-tools" ;;
    demo) wanted="$networks" ;;
    bench) wanted="$networks git:git tc:iproute2 iperf3:iperf3 openssl:openssl
        valgrind:valgrind" ;;
    *) echo "tools.sh: there is no list for $for" >&2; exit 2 ;;
esac

look() {
    missing=
    for pair in $wanted; do
        command -v "${pair%%:*}" >/dev/null || missing="$missing ${pair#*:}"
    done
    # To build an environment of its own, and a module in C in it.
    if [ "$for" = test ] && command -v python3 >/dev/null; then
        python3 -c 'import ensurepip' 2>/dev/null || missing="$missing python3-venv"
        python3 -c 'import os, sys, sysconfig
path = os.path.join(sysconfig.get_path("include"), "Python.h")
sys.exit(not os.path.exists(path))' || missing="$missing python3-dev"
    fi
    missing=$(printf '%s\n' $missing | sort -u | xargs)
}

look
[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing what the $for needs: $missing"
    DEBIAN_FRONTEND=noninteractive
    export DEBIAN_FRONTEND
    # Packages of servers would start them: tests start their own.
    if [ ! -e /usr/sbin/policy-rc.d ]; then
        printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
        chmod 755 /usr/sbin/policy-rc.d
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    fi
    # A failure is named below, by what is then still missing.
    { apt-get -q update && apt-get -qy install --no-install-recommends $missing; } || true
    look
    [ -n "$missing" ] || exit 0
fi
case $for in
    demo | bench) so="Install it first" ;;
    *) so="Tests that need it are skipped" ;;
esac
sudo=
[ "$(id -u)" = 0 ] || sudo="sudo "
echo "Not installed: $missing. $so; on Debian:" >&2
echo "    ${sudo}apt-get install $missing" >&2
[ "$so" = "Tests that need it are skipped" ]
