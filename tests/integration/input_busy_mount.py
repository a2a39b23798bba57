# SPDX-License-Identifier: MIT
"""A second daemon is refused a mount point, or a device's place, that a living one holds; the first
goes on undisturbed.
"""
import subprocess

import lib
import workload
from lib import KIB


def refused(named, *arguments):
    done = subprocess.run([lib.binary("blkio"), *arguments], capture_output=True, text=True,
                          timeout=20)
    print(f"{done.returncode}: {done.stderr.strip()}", flush=True)
    lib.check(done.returncode != 0, f"accepted: {' '.join(arguments)}")
    lib.check(named in done.stderr, f"names {named}: {done.stderr}")


def test(scratch):
    first, second = scratch.image(), scratch.image()
    blkio = scratch.blkio([first])
    before = len(lib.mounts_below(scratch.directory))
    refused(blkio.mount, blkio.mount, "-o", f"{second.option},devdir={scratch.make_directory('d')}")
    refused(first.number, scratch.make_directory("m"), "-o", f"{first.option},devdir={blkio.devdir}")
    lib.check(len(lib.mounts_below(scratch.directory)) == before, "the mounts are as they were")
    blkio.group("g").call(workload.seconds, first.path, "read", 4 * KIB, 10)
    lib.check(blkio.group("g").ios(first, "Read") == 10, "the first one serves")


lib.main(test)
