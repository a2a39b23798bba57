# SPDX-License-Identifier: MIT
"""Ordinary, buffered dd: 4 MiB at 1 MiB/s take 4 s and are counted in the writer's group.

The proxied files have no write-back, so nothing of it ends up in another group.
"""
import time

import lib
from lib import MIB


def test(scratch):
    device = scratch.loop()
    blkio = scratch.blkio([device])
    group = blkio.group("writer")
    group.limit("write_bps", device, MIB)
    start = time.monotonic()
    group.run("dd", "if=/dev/zero", f"of={device.path}", "bs=4k", "count=1024", "conv=notrunc",
              "status=none")
    lib.check_near(time.monotonic() - start, 4.0, 0.02, "dd of 4 MiB in seconds")
    lib.check(group.bytes(device, "Write") == 4 * MIB, "the writer's group has all 4 MiB")
    lib.check(blkio.bytes(device, "Write") == 0, "the root group has none")


lib.main(test)
