# SPDX-License-Identifier: MIT
"""Programs in Go over the libraries of container engines, as Debian packages them."""
import json
import os
import subprocess

import lib
import workload
from lib import KIB, MIB

LIBRARIES = "/usr/share/gocode"
RULE = "blkio.throttle.read_bps_device"


class Client:
    """clients_go/NAME, built from the installed sources of `library`."""

    def __init__(self, name, library):
        lib.need("go")
        if not os.path.isdir(f"{LIBRARIES}/src/{library}"):
            raise lib.Skip(f"the Go library {library} is not installed")
        build = os.path.join(os.path.dirname(os.path.dirname(lib.binary("blkio"))), "clients_go")
        self._program = os.path.join(build, name)
        source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "clients_go", name)
        environment = {**os.environ, "GOPATH": LIBRARIES, "GO111MODULE": "off", "CGO_ENABLED": "0",
                       "GOCACHE": os.path.join(build, "cache")}  # a first build takes a minute
        lib.run("go", "build", "-p", "2", "-o", self._program, "main.go", cwd=source,
                env=environment, timeout=240)

    def __call__(self, *words, resources=None):
        """One command that must succeed; what it prints, as JSON says it."""
        said = subprocess.run([self._program, *map(str, words)], input=json.dumps(resources or {}),
                              capture_output=True, text=True, timeout=30)
        lib.check(said.returncode == 0, f"{words}: {said.stderr}")
        return json.loads(said.stdout) if said.stdout else None


def start_reader(group, device):
    """A process that waits to be put into the group and the group to be limited; 256 reads then."""
    return lib.Job(_read_when_limited, group, device)


def _read_when_limited(group, device):
    lib.eventually(lambda: os.path.exists(group.path) and group.read(RULE)
                   and str(os.getpid()) in group.read("cgroup.procs").split(), 30, "it is limited")
    return workload.seconds(device.path, "read", 4 * KIB, 256)


def check_limited(reader):
    """256 reads of 4 KiB at 1 MiB/s: the last one goes 255 * 4 KiB / 1 MiB/s = 0.996 s after the
    first."""
    lib.check_duration(reader.result(), 255 * 4 * KIB / MIB, 0.03, "1 MiB read")


def check_files(group, expected):
    for file, text in expected.items():
        lib.check(group.read(file) == text, f"{file}: {group.read(file)!r}, not {text!r}")


def check_same_statistics(group, stats, files):
    """What the library reports, by its names, is what the files say."""
    for name, file in files.items():
        found = [(row.get("major", 0), row.get("minor", 0), row.get("op", ""), row.get("value", 0))
                 for row in stats.get(name) or []]
        expected = _rows(group.read(file))
        lib.check(expected, f"{file} has rows")
        lib.check(found == expected, f"{name}: {found}, but {file}: {expected}")


def _rows(text):
    """8:16 Read 5 -> (8, 16, "Read", 5); 8:16 5 -> (8, 16, "", 5); the last line is the sum."""
    found = []
    for line in text.splitlines():
        number, *operation, value = line.split()
        if number != "Total":
            found.append((*map(int, number.split(":")), "".join(operation), int(value)))
    return found
