# SPDX-License-Identifier: MIT
"""A group's own tasks compete with its child groups, by the leaf weight:

    group 8 MiB/s --- its own tasks  leaf_weight 300, then 100
                  \\-- child          weight 100
"""
import time

import lib
from lib import MIB
from readers import SETTLE_SECONDS, Readers, check_shares, rates

POINTS = 3


def test(scratch):
    device = scratch.loop()
    group = scratch.blkio([device]).group("group")
    group.limit("read_bps", device, 8 * MIB)
    child = group.group("child")
    child.write("blkio.bfq.weight", 100)
    both = [group, child]
    for member in both:
        Readers(member, device, 4)
    for leaf_weight in (300, 100):
        group.write("blkio.leaf_weight", leaf_weight)
        time.sleep(SETTLE_SECONDS)
        check_shares(rates(both, device, 1), (leaf_weight, 100), POINTS,
                     f"leaf weight {leaf_weight}")


lib.main(test, tries=3)
