# SPDX-License-Identifier: MIT
"""scheduler=none serves group after group whatever their weights, 100 and 500 here; weights act as
soon as `blkioctl scheduler` says so, and no longer than that. The root limits the device to
8 MiB/s.
"""
import time

import lib
from lib import MIB
from readers import SETTLE_SECONDS, Readers, check_shares, rates

POINTS = 3


def switch(blkio, device, scheduler):
    lib.run(lib.binary("blkioctl"), "-m", blkio.mount, "scheduler", device.number, scheduler)


def test(scratch):
    device = scratch.loop()
    blkio = scratch.blkio([device], f"scheduler={device.number}=none")
    blkio.limit("read_bps", device, 8 * MIB)
    groups = [blkio.group(name) for name in ("light", "heavy")]
    for group, weight in zip(groups, (100, 500)):
        group.write("blkio.bfq.weight", weight)
        Readers(group, device, 6)
    for scheduler, expected in (("none", (1, 1)), ("bfq", (1, 5)), ("none", (1, 1))):
        switch(blkio, device, scheduler)
        time.sleep(SETTLE_SECONDS)
        check_shares(rates(groups, device, 0.8), expected, POINTS, f"scheduler {scheduler}")


lib.main(test, tries=3)
