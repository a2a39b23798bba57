# SPDX-License-Identifier: MIT
"""`throttle set --qemu-strict` keeps QEMU's times: a bucket of a tenth of a second.

Reads of 256 KiB at 1 MiB/s: the bucket holds 0.1 s's worth and each read fills it for 0.25 s, so they
go at 0, 0.15, 0.40, 0.65, 0.90 s. A flush is free: five of them at one request a second take no time.
"""
import os
import time

import lib
import workload
from lib import KIB
from tool import Tool

EXPECTED = (0, 0.15, 0.40, 0.65, 0.90)


def flushes(path, count):
    """How long they take."""
    descriptor = workload.open_file(path)
    begin = time.monotonic()
    for _ in range(count):
        os.fsync(descriptor)
    return time.monotonic() - begin


def test(scratch):
    device = scratch.image()
    blkio = scratch.blkio([device])
    group = blkio.group("a")
    tool = Tool(blkio.mount)
    tool.run("throttle", "set", "a", device.number, "bps=1Mi", "--qemu-strict")
    start, times = group.call(workload.completions, device.path, "read", 256 * KIB, 5)
    for moment, expected in zip(times, EXPECTED):
        print(f"{moment - start:.3f}, expected {expected:.2f}")
        lib.check(moment - start > expected - 0.002, "a read went too early")
        lib.check_in_time(moment - start < expected + 0.03, "a read went too late")
    tool.run("throttle", "set", "a", device.number, "iops=1", "--qemu-strict")
    seconds = group.call(flushes, device.path, 5)
    lib.check_in_time(seconds < 1, f"five flushes took {seconds:.3f} s")


lib.main(test, tries=3)
