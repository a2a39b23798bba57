# SPDX-License-Identifier: MIT
"""A process is charged to its group, and so are its children and grandchildren, unmoved."""
import os

import lib
import workload
from lib import KIB


def read_here_and_below(path, generations):
    workload.seconds(path, "read", 4 * KIB, 10)
    if generations:
        lib.Job(read_here_and_below, path, generations - 1).result()


def move_child(path, target):
    """The child inherits, then moves; its parent stays."""

    def child():
        workload.seconds(path, "read", 4 * KIB, 3)
        target.enter()
        workload.seconds(path, "read", 4 * KIB, 5)

    lib.Job(child).result()
    workload.seconds(path, "read", 4 * KIB, 7)
    return os.getpid()


def test(scratch):
    device = scratch.loop()
    blkio = scratch.blkio([device])
    family, left, right = (blkio.group(name) for name in ("family", "left", "right"))

    # 10 reads each by the process, its child and its grandchild.
    family.call(read_here_and_below, device.path, 2)
    lib.check(family.ios(device, "Read") == 30, f"family has {family.ios(device, 'Read')} of 30")

    # left: 3 by the child before it moves and 7 by the parent; right: 5 after the move.
    left.call(move_child, device.path, right)
    counted = (left.ios(device, "Read"), right.ios(device, "Read"))
    lib.check(counted == (10, 5), f"left, right have {counted}, not (10, 5)")
    lib.check(blkio.ios(device, "Read") == 0, "root has none")


lib.main(test)
