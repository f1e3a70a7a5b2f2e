"""Prints the licenses of all packages that are in the program, from their sources as Cargo has
them on this machine: notices.py [TARGET]. Packages with the same text share it; one without a file
of its own is named with its authors only.
"""
import collections
import json
import pathlib
import re
import subprocess
import sys

TARGET = sys.argv[1] if len(sys.argv) > 1 else "x86_64-unknown-linux-gnu"
FILES = re.compile(r"(licen[cs]e|copying|copyright|notice|unlicense)", re.IGNORECASE)
# What both licenses of most packages leave to choose: the one whose text is the same for all.
COMMON = re.compile(r"apache", re.IGNORECASE)


def cargo(*words):
    command = ["cargo", *words, "--locked", "--offline"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def texts(package):
    folder = pathlib.Path(package["manifest_path"]).parent
    files = [file for file in sorted(folder.iterdir()) if file.is_file() and FILES.match(file.name)]
    if len(files) > 1 and " OR " in (package["license"] or "").replace("/", " OR "):
        files = [file for file in files if not COMMON.search(file.name)] or files
    return [file.read_text(errors="replace").strip() for file in files]


tree = cargo("tree", "-p", "etherws", "-e", "normal", "--target", TARGET, "--prefix", "none",
             "-f", "{p}")
inside = {tuple(line.split()[:2]) for line in tree.splitlines()}
packages = json.loads(cargo("metadata", "--format-version", "1"))["packages"]
packages = [package for package in packages
            if package["source"] and (package["name"], "v" + package["version"]) in inside]
sharing = collections.defaultdict(list)
for package in sorted(packages, key=lambda package: package["name"]):
    name = "%s %s (%s)" % (package["name"], package["version"], package["license"])
    for text in texts(package) or ["by " + ", ".join(package["authors"] or ["its authors"])]:
        sharing[text].append(name)

print("The program contains the packages that are named below, each before the text of its license;")
print("the standard library of Rust, (c) The Rust Project Contributors, MIT OR Apache-2.0; and uPlot.")
print("Its table of vendors of MAC addresses is made of the IEEE Registration Authority's lists.")
uplot = pathlib.Path(__file__).parent.parent / "src/web/uplot.license"
sharing[uplot.read_text().strip()].append("uPlot (MIT)")
for text, names in sorted(sharing.items(), key=lambda item: item[1]):
    print("\n%s\n\n%s\n\n%s" % ("-" * 80, "\n".join(names), text))
