# SPDX-License-Identifier: MIT
"""Ordinary, buffered dd: 4 MiB at 1 MiB/s take 4 s and are counted in the writer's group.

The proxied files have no write-back, so nothing of it ends up in another group.
"""
import re

import lib
from lib import MIB


def test(scratch):
    device = scratch.loop()
    blkio = scratch.blkio([device])
    group = blkio.group("writer")
    group.limit("write_bps", device, MIB)
    said = group.run("sh", "-c", f"LC_ALL=C dd if=/dev/zero of={device.path} bs=4k count=1024 "
                                 "conv=notrunc 2>&1")
    seconds = float(re.search(r"copied, ([0-9.]+) s", said).group(1))
    lib.check_duration(seconds, 4.0, 0.02, "dd of 4 MiB, by its own account,")
    lib.check(group.bytes(device, "Write") == 4 * MIB, "the writer's group has all 4 MiB")
    lib.check(blkio.bytes(device, "Write") == 0, "the root group has none")


lib.main(test, tries=3)
