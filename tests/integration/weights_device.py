# SPDX-License-Identifier: MIT
"""A device's weight takes the place of the group's there, and only there.

Two groups of weight 100 read two devices at once, each limited to 4 MiB/s by a rule of the root;
one of them has the weight 300 on the first device.
"""
import time

import lib
from lib import MIB
from readers import SETTLE_SECONDS, Readers, check_shares, rates

POINTS = 3


def test(scratch):
    devices = [scratch.loop(), scratch.loop()]
    blkio = scratch.blkio(devices)
    groups = [blkio.group(name) for name in ("plain", "favoured")]
    for device in devices:
        blkio.limit("read_bps", device, 4 * MIB)
        for group in groups:
            Readers(group, device, 3)
    for group in groups:
        group.write("blkio.bfq.weight", 100)
    first, second = devices

    groups[1].write("blkio.bfq.weight_device", f"{first.number} 300")
    time.sleep(SETTLE_SECONDS)
    check_shares(rates(groups, first, 1), (100, 300), POINTS, "the first device")
    check_shares(rates(groups, second, 1), (100, 100), POINTS, "the second device")

    groups[1].write("blkio.bfq.weight_device", f"{first.number} 0")
    time.sleep(SETTLE_SECONDS)
    check_shares(rates(groups, first, 1), (100, 100), POINTS, "without the device's weight")


lib.main(test, tries=3)
