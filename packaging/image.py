#!/usr/bin/env python3
"""Writes an image for containers with the program that portable.sh has built, and nothing else:
image.py [ARCHITECTURE]. It needs no daemon. The archive in target/portable is an OCI image layout,
which podman and skopeo read, and has the manifest that `docker load` looks for. The same program
gives the same octets.
"""
import gzip
import hashlib
import io
import json
import os
import pathlib
import subprocess
import sys
import tarfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
# What containers call an architecture that Rust calls otherwise.
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
# "nonroot", as in images that others make from scratch.
USER = 65532
STATE = "/var/lib/etherws"
SECOND = 10**9


def said(*command):
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()


class Tar:
    """An archive in which nothing is of this machine or of now."""

    def __init__(self, epoch):
        self.epoch, self.octets = epoch, io.BytesIO()
        self.tar = tarfile.open(fileobj=self.octets, mode="w", format=tarfile.USTAR_FORMAT)

    def add(self, name, content=None, mode=0o644, user=0):
        """A file, or a folder if it has no content."""
        entry = tarfile.TarInfo(name.strip("/"))
        entry.mode, entry.mtime, entry.uid, entry.gid = mode, self.epoch, user, user
        if content is None:
            entry.type, entry.mode = tarfile.DIRTYPE, mode | 0o111
            self.tar.addfile(entry)
        else:
            entry.size = len(content)
            self.tar.addfile(entry, io.BytesIO(content))

    def close(self):
        self.tar.close()
        return self.octets.getvalue()


def layer(built, epoch):
    """The files of the image."""
    files = {
        "usr/bin/etherws": (built / "bin/etherws").read_bytes(),
        "etc/etherws/etherws.toml": (ROOT / "packaging/image.toml").read_bytes(),
        "etc/passwd": b"etherws:x:%d:%d:Ethernet switch:/:\n" % (USER, USER),
        "etc/group": b"etherws:x:%d:\n" % USER,
    }
    for name in ("LICENSE", "LICENSE-MIT", "LICENSE-APACHE", "THIRD-PARTY"):
        files["usr/share/doc/etherws/" + name] = (built / "share/doc/etherws" / name).read_bytes()
    own = {STATE.strip("/"): 0o700, "run/etherws": 0o755}
    folders = {str(parent) for name in [*files, *own]
               for parent in pathlib.PurePath(name).parents} - {".", *own}
    tar = Tar(epoch)
    for name in sorted([*files, *own, *folders]):
        if name in files:
            tar.add(name, files[name], 0o755 if name.startswith("usr/bin/") else 0o644)
        else:
            tar.add(name, mode=own.get(name, 0o755), user=USER if name in own else 0)
    return tar.close()


def main():
    machine = sys.argv[1] if len(sys.argv) > 1 else os.uname().machine
    version = said("cargo", "pkgid", "--locked", "-p", "etherws").replace("@", "#").split("#")[-1]
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH") or said("git", "log", "-1", "--format=%ct"))
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch))
    out = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "portable"
    files = layer(out / f"etherws-{version}-{machine}-linux", epoch)
    name = f"localhost/etherws:{version}"

    image = Tar(epoch)
    image.add("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
    for folder in ("blobs", "blobs/sha256"):
        image.add(folder, mode=0o755)

    def blob(kind, content):
        content = content if isinstance(content, bytes) else json.dumps(content).encode()
        digest = hashlib.sha256(content).hexdigest()
        image.add(f"blobs/sha256/{digest}", content)
        media = f"application/vnd.oci.image.{kind}"
        return {"mediaType": media, "digest": f"sha256:{digest}", "size": len(content)}

    packed = blob("layer.v1.tar+gzip", gzip.compress(files, 9, mtime=0))
    config = blob("config.v1+json", {
        "created": created,
        "architecture": ARCHITECTURES[machine],
        "os": "linux",
        "config": {
            "User": f"{USER}:{USER}",
            "Env": ["PATH=/usr/bin"],
            "Entrypoint": ["/usr/bin/etherws"],
            "Cmd": ["sw", "--foreground", "--config", "/etc/etherws/etherws.toml"],
            "ExposedPorts": {"8443/tcp": {}},
            "Volumes": {STATE: {}},
            "WorkingDir": "/",
            "StopSignal": "SIGTERM",
            # No part of OCI's format: Docker takes it, and podman has --health-cmd.
            "Healthcheck": {
                "Test": ["CMD", "/usr/bin/etherws", "doctor", "--health"],
                "Interval": 30 * SECOND,
                "Timeout": 5 * SECOND,
                "StartPeriod": 5 * SECOND,
            },
            "Labels": {
                "org.opencontainers.image.title": "etherws",
                "org.opencontainers.image.description":
                    "Ethernet switch in user space whose cables may be WebSockets",
                "org.opencontainers.image.version": version,
                "org.opencontainers.image.licenses": "MIT OR Apache-2.0",
                "org.opencontainers.image.created": created,
            },
        },
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(files).hexdigest()]},
        "history": [{"created": created, "created_by": "packaging/image.py"}],
    })
    manifest = blob("manifest.v1+json", {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config,
        "layers": [packed],
    })
    manifest["annotations"] = {
        "org.opencontainers.image.ref.name": name,
        "io.containerd.image.name": name,
    }
    index = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [manifest],
    }
    image.add("index.json", json.dumps(index).encode())
    path = lambda part: "blobs/sha256/" + part["digest"].removeprefix("sha256:")
    docker = [{"Config": path(config), "RepoTags": [name], "Layers": [path(packed)]}]
    image.add("manifest.json", json.dumps(docker).encode())

    archive = out / f"etherws-{version}-{machine}-image.tar"
    content = image.close()
    archive.write_bytes(content)
    line = f"{hashlib.sha256(content).hexdigest()}  {archive.name}\n"
    archive.with_name(archive.name + ".sha256").write_text(line)
    print(line, end="")


if __name__ == "__main__":
    main()
