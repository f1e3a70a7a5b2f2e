#!/usr/bin/env python3
"""Makes the tables in this folder from the IEEE's public listing of MAC prefixes.

    npm pack oui-data && tar xzf oui-data-*.tgz
    python3 src/hosts/vendors/make.py package/index.json

The input is an object of prefix (6, 7 or 9 hex digits: MA-L, MA-M, MA-S) to the holder's
name, with an address in further lines that is left out. The IEEE asserts no copyright in
the listing and does not restrict its distribution; the package is under BSD-2-Clause.

Writes names.txt, sorted, and ma-l.bin, ma-m.bin and ma-s.bin: sorted records of a prefix,
padded with zero bits to whole octets, and the place of its name in names.txt, 3 octets.
"""

import json
import pathlib
import re
import sys
import unicodedata

# Longest name: what fits a column of a terminal.
MAX_NAME = 20

# What says nothing of who it is, at the end and at the beginning of a name.
TRAILING = set(
    "co company corp corporation corporate inc incorporated ltd limited llc gmbh kg ag sa "
    "srl spa bv ab as oy oyj plc pty pte pvt private sdn bhd kk nv sas aps mbh and of & "
    "technology technologies technologie tech electronics electronic system systems "
    "communication communications international industrial industry industries group "
    "holdings holding science development manufacturing mfg product products trading "
    "equipment equipments usa america china europe japan korea taiwan india shenzhen "
    "beijing shanghai".split() + [""]
)
LEADING = set(
    "the shenzhen beijing shanghai hangzhou guangdong guangzhou zhejiang nanjing suzhou "
    "chengdu wuhan xiamen dongguan zhuhai hefei sichuan tianjin jiangsu shandong fujian "
    "city".split()
)

# Holders that are nobody: blocks that are split further, and those who are not named.
NOBODY = ("IEEE Registration Authority", "Private")


def key(word):
    return re.sub(r"[^a-z&]", "", word.lower())


def drop_trailing(words):
    while len(words) > 1 and key(words[-1]) in TRAILING:
        words.pop()


def short(holder):
    """The holder's name as people say it: "Cisco Systems, Inc" is "Cisco"."""
    ascii = unicodedata.normalize("NFKD", holder).encode("ascii", "ignore").decode()
    text = re.sub(r"\([^)]*\)?", "", ascii)
    words = re.sub(r"[\s,]+", " ", text).strip().split(" ")
    drop_trailing(words)
    while len(words) > 1 and key(words[0]) in LEADING:
        words.pop(0)
    if all(word.isupper() for word in words):
        words = [word.capitalize() if len(word) > 4 else word for word in words]
    fitting = [words[0][:MAX_NAME]]
    for word in words[1:]:
        if len(" ".join([*fitting, word])) > MAX_NAME:
            break
        fitting.append(word)
    drop_trailing(fitting)
    return " ".join(fitting).strip(" ,.-&")


def main():
    here = pathlib.Path(__file__).parent
    holders = {}
    for prefix, entry in json.loads(pathlib.Path(sys.argv[1]).read_text()).items():
        holder = entry.split("\n")[0].strip()
        name = short(holder)
        if name and holder not in NOBODY:
            holders[prefix] = name
    names = sorted(set(holders.values()))
    places, text = {}, b""
    for name in names:
        places[name] = len(text)
        text += name.encode() + b"\n"
    (here / "names.txt").write_bytes(text)
    for table, digits in ("ma-l", 6), ("ma-m", 7), ("ma-s", 9):
        records = sorted(
            bytes.fromhex(prefix + "0" * (digits % 2)) + places[name].to_bytes(3, "big")
            for prefix, name in holders.items()
            if len(prefix) == digits
        )
        (here / f"{table}.bin").write_bytes(b"".join(records))


if __name__ == "__main__":
    main()
