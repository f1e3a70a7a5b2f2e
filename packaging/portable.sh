#!/bin/sh
# Builds etherws for any Linux: a static program, and an archive with all that belongs to it, in
# target/portable. The same sources give the same octets.
#   portable.sh [ARCHITECTURE]
set -eu
cd "$(dirname "$0")/.."
arch=${1:-$(uname -m)}
triple=$arch-unknown-linux-musl
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")

# With the status of a test that was skipped.
lacks() {
    echo "portable.sh: $1" >&2
    exit 77
}
if command -v rustup >/dev/null && ! rustup target list --installed | grep -qx "$triple"; then
    rustup target add "$triple" || lacks "there is no standard library for $triple"
fi
build=build
emulator=
if [ "$arch" = "$(uname -m)" ]; then
    command -v musl-gcc >/dev/null || lacks "no musl-gcc; on Debian: apt-get install musl-tools"
else
    # The program writes its own man pages.
    emulator=qemu-$arch-static
    command -v "$emulator" >/dev/null ||
        lacks "no $emulator, which runs what is built; on Debian: apt-get install qemu-user-static"
    # A C compiler for another machine, with its headers, is what zig is.
    build=zigbuild
    zig=$target/zig
    if [ ! -x "$zig/bin/cargo-zigbuild" ]; then
        { python3 -m venv "$zig" &&
            "$zig/bin/pip" -q install cargo-zigbuild==0.24.1 ziglang==0.17.1; } ||
            lacks "no cargo-zigbuild and zig, which Python's venv and pip would put into $zig"
    fi
    PATH=$zig/bin:$PATH
    # What zig has compiled elsewhere may be of another SOURCE_DATE_EPOCH, at which it does not look.
    export ZIG_GLOBAL_CACHE_DIR="$zig/cache"
fi

# Times are those of the sources, and none is in the program: what was compiled is used again for
# the next commit. No folder is that of this machine.
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
RUSTFLAGS="--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo \
--remap-path-prefix=$PWD=etherws --remap-path-prefix=$target=target"
export RUSTFLAGS CARGO_PROFILE_RELEASE_STRIP=symbols
export CARGO_BUILD_TARGET=$triple

version=$(cargo pkgid --locked -p etherws)
version=${version##*[@#]}
name=etherws-$version-$arch-linux
out=$target/portable
stage=$out/$name
rm -rf "$stage"
mkdir -p "$out"

SOURCE_DATE_EPOCH=0 cargo "$build" --release --locked
built=$target/$triple/release
rm -rf "$built/manual"
$emulator "$built/etherws" manual "$built/manual"
make -s copy notices DESTDIR="$stage" PREFIX=

# Below /usr/local all of it is where systemd and shells look for it.
document=$stage/share/doc/etherws
mkdir -p "$document/packaging" "$stage/lib/systemd/system"
cp -R README.md ARCHITECTURE.md CONTRIBUTING.md SECURITY.md CHANGELOG.md LICENSE LICENSE-APACHE \
    LICENSE-MIT docs examples "$built/THIRD-PARTY" "$document"
cp -R packaging/etherws.toml packaging/conf packaging/grafana packaging/prometheus \
    "$document/packaging"
for unit in etherws.service etherws.socket etherws-control.socket; do
    sed 's,/usr/bin/etherws,/usr/local/bin/etherws,' "packaging/$unit" >"$stage/lib/systemd/system/$unit"
done
install -D -m 644 packaging/sysusers/etherws.conf "$stage/lib/sysusers.d/etherws.conf"
install -D -m 644 packaging/tmpfiles/etherws.conf "$stage/lib/tmpfiles.d/etherws.conf"

# Order, owners, modes and times are not those of this machine.
tar -C "$out" --sort=name --format=gnu --mtime="@$epoch" --owner=0 --group=0 \
    --numeric-owner --mode=u=rwX,go=rX -cf - "$name" | gzip -9n >"$out/$name.tar.gz"
(cd "$out" && sha256sum "$name.tar.gz" >"$name.tar.gz.sha256" && cat "$name.tar.gz.sha256")
