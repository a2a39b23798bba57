# SPDX-License-Identifier: MIT
"""Weights divide a parent's limit among those of its children that want something:

    root 16 MiB/s --- parent 8 MiB/s --- light  weight 100
                                     \\-- heavy  weight 300

8 MiB/s are 512 blocks of 16 KiB a second, 128 and 384 of them. With both at 300 it is half each,
and who is alone has all. When the parent's limit goes, both share the root's 1024, from at once.
"""
import time

import lib
from lib import KIB, MIB
from readers import SETTLE_SECONDS, Readers, check_shares, rates

BLOCK = 16 * KIB
POINTS = 3
LIFTED_SECONDS = 0.1


def test(scratch):
    device = scratch.loop()
    blkio = scratch.blkio([device])
    blkio.limit("read_bps", device, 16 * MIB)
    parent = blkio.group("parent")
    parent.limit("read_bps", device, 8 * MIB)
    light, heavy = children = [parent.group(name) for name in ("light", "heavy")]
    light.write("blkio.bfq.weight", 100)
    heavy.write("blkio.bfq.weight", 300)
    readers = [Readers(child, device, 4) for child in children]
    time.sleep(SETTLE_SECONDS)

    found = rates(children, device, 1)
    check_shares(found, (100, 300), POINTS, "100:300")
    lib.check_rate(sum(found) * BLOCK / MIB, 8, 0.05, "both in MiB/s")

    light.write("blkio.bfq.weight", 300)
    check_shares(rates(children, device, 0.6), (300, 300), POINTS, "after a change of weight")

    light.write("blkio.bfq.weight", 100)
    parent.write("blkio.throttle.read_bps_device", f"{device.number} 0")
    time.sleep(LIFTED_SECONDS)
    found = rates(children, device, 0.6)
    check_shares(found, (100, 300), POINTS, "without the parent's limit")
    lib.check_rate(sum(found) * BLOCK / MIB, 16, 0.08, "both in MiB/s")

    parent.limit("read_bps", device, 8 * MIB)
    readers[1].stop()
    time.sleep(SETTLE_SECONDS)
    found = rates(children, device, 0.6)
    check_shares(found, (1, 0), POINTS, "one has stopped")
    lib.check_rate(sum(found) * BLOCK / MIB, 8, 0.05, "the other in MiB/s")


lib.main(test, tries=3)
