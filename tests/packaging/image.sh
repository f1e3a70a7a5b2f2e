#!/bin/sh
# Runs an image as a container does that may do nothing: a root that nobody writes, no capabilities,
# its own user.
#   image.sh ARCHIVE FOLDER
# FOLDER is empty. To run in mount, network and PID namespaces of their own, with their /proc.
set -eu

mkdir "$2/image" "$2/root"
tar -xf "$1" -C "$2/image"
cd "$2"
ip link set lo up
# Each blob's name is what is in it.
(cd image/blobs/sha256 && for blob in *; do echo "$blob  $blob"; done | sha256sum -c --quiet)
python3 -c '
import json
blob = lambda part: "image/blobs/sha256/" + part["digest"].split(":")[1]
[manifest] = json.load(open("image/index.json"))["manifests"]
manifest = json.load(open(blob(manifest)))
config = json.load(open(blob(manifest["config"])))["config"]
[layer] = manifest["layers"]
assert config["User"] == "65532:65532", config
assert config["Entrypoint"] + config["Cmd"][:1] == ["/usr/bin/etherws", "sw"], config
print(blob(layer))
print(*config["Entrypoint"], *config["Cmd"])
print(*config["Healthcheck"]["Test"][1:])
' >facts
{ read -r layer; read -r start; read -r health; } <facts
tar -xf "$layer" -C root
mount --bind root root
mount -o remount,bind,ro root
mount -t tmpfs -o mode=700,uid=65532 state root/var/lib/etherws
if (: >root/file) 2>/dev/null; then echo "image.sh: its root is written" >&2; exit 1; fi

# As a user that is not root it has no capabilities.
inside() {
    chroot --userspec=65532:65532 --groups= root "$@"
}
if inside $health; then echo "image.sh: healthy before it runs" >&2; exit 1; fi
inside $start 2>log &
for _ in $(seq 200); do
    if inside $health; then exit 0; fi
    sleep 0.05
done
cat log >&2
echo "image.sh: never healthy" >&2
exit 1
