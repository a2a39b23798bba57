# SPDX-License-Identifier: MIT
"""Shares multiply from level to level, and what a subtree leaves goes to its sibling:

    top 8 MiB/s --- wide 100 --- one  300      2/8 * 3/4 = 3/16
                \\             \\-- two  100      2/8 * 1/4 = 1/16
                 \\- deep 300 ---- only 10      6/8

With one and two gone, deep has all.
"""
import time

import lib
from lib import MIB
from readers import SETTLE_SECONDS, Readers, check_shares, rates

POINTS = 2


def weighted(parent, name, weight):
    group = parent.group(name)
    group.write("blkio.bfq.weight", weight)
    return group


def test(scratch):
    device = scratch.loop()
    top = scratch.blkio([device]).group("top")
    top.limit("read_bps", device, 8 * MIB)
    wide, deep = weighted(top, "wide", 100), weighted(top, "deep", 300)
    leaves = [weighted(wide, "one", 300), weighted(wide, "two", 100), weighted(deep, "only", 10)]
    readers = [Readers(leaf, device, 3) for leaf in leaves]
    time.sleep(SETTLE_SECONDS)
    check_shares(rates(leaves, device, 1.5), (3, 1, 12), POINTS, "300:100 in 100, beside 300")
    for two in readers[:2]:
        two.stop()
    time.sleep(SETTLE_SECONDS)
    check_shares(rates(leaves, device, 0.5), (0, 0, 1), POINTS, "the sibling alone")


lib.main(test, tries=3)
