# SPDX-License-Identifier: MIT
"""limits_bytes_per_second.py read|write: 1024 requests of 4 KiB, one at a time, at 1 MiB/s.

The first may go at once, each later one 4 KiB / 1 MiB/s = 3.906 ms after the one before it: the last
goes at 1023 * 3.906 ms = 3.996 s and completes a moment later.
"""
import sys

import lib
import workload
from lib import KIB, MIB


def test(scratch):
    operation = sys.argv[1]
    device = scratch.loop()
    group = scratch.blkio([device]).group("limited")
    group.limit(f"{operation}_bps", device, MIB)
    seconds = group.call(workload.seconds, device.path, operation, 4 * KIB, 1024)
    lib.check_duration(seconds, 4.0, 0.02, f"4 MiB {operation}")


lib.main(test, tries=3)
