# SPDX-License-Identifier: MIT
"""The kernel's blkio-controller.rst, line by line, as a person with a shell follows it: its files are
there, every echo works, every cat shows what is printed there to the byte, and its dd takes 4.0 s.

1024 reads of 4 KiB at 1 MiB/s: the last one goes 1023 * 4 KiB / 1 MiB/s = 3.996 s after the first.
"""
import os
import re
import subprocess

import lib
from lib import MIB

RWSTAT = ["io_service_bytes", "io_serviced", "io_service_time", "io_wait_time", "io_merged",
          "io_queued"]
FILES = ([f"blkio.{name}{suffix}" for name in ["time", "sectors", *RWSTAT]
          for suffix in ("", "_recursive")]
         + [f"blkio.{name}" for name in ("avg_queue_size", "group_wait_time", "empty_time",
                                         "idle_time", "dequeue", "bfq.weight",
                                         "bfq.weight_device", "reset_stats",
                                         "throttle.io_serviced", "throttle.io_service_bytes")]
         + [f"blkio.throttle.{direction}_{unit}_device" for direction in ("read", "write")
            for unit in ("bps", "iops")])

WEIGHTS = [
    ("echo 8:16 300 > blkio.bfq.weight_device", "dev     weight\n8:16    300\n"),
    ("echo 8:0 500 > blkio.bfq.weight_device", "dev     weight\n8:0     500\n8:16    300\n"),
    ("echo 8:0 0 > blkio.bfq.weight_device", "dev     weight\n8:16    300\n"),
]


def shell(group, command):
    done = subprocess.run(["sh", "-c", command], cwd=group.path, capture_output=True, text=True,
                          timeout=30, env={**os.environ, "LC_ALL": "C"})
    lib.check(done.returncode == 0, f"{command}: {done.stderr}")
    return done


def check_weights(group):
    for command, shown in WEIGHTS:
        shell(group, command)
        found = shell(group, "cat blkio.bfq.weight_device").stdout
        lib.check(found == shown, f"after {command}: {found!r}, not {shown!r}")


def check_limit(root, disk):
    shell(root, 'echo "8:16  1048576" > blkio.throttle.read_bps_device')
    done = shell(root, f"dd iflag=direct if={disk.path} of=/dev/null bs=4K count=1024")
    first, second, last = done.stderr.splitlines()
    lib.check((first, second) == ("1024+0 records in", "1024+0 records out"), done.stderr)
    said = re.fullmatch(r"4194304 bytes \(4\.2 MB, 4\.0 MiB\) copied, ([\d.]+) s, .*", last)
    lib.check(said, last)
    lib.check_duration(float(said.group(1)), 4.0, 0.01, "the documentation's dd")


def disk(scratch, name, number):
    path = scratch.file(64 * MIB, name=name)
    return lib.Device(path, number, 64 * MIB, f"device={number}={path}")


def test(scratch):
    sda, sdb = disk(scratch, "sda", "8:0"), disk(scratch, "sdb", "8:16")
    blkio = scratch.blkio([sda, sdb])
    group = blkio.group("test1")
    for place in (blkio, group):
        missing = [name for name in FILES if not os.path.exists(f"{place.path}/{name}")]
        lib.check(not missing, f"not there: {missing}")
        check_weights(place)
    check_limit(blkio, sdb)


lib.main(test, tries=3)
