# SPDX-License-Identifier: MIT
"""dialect=doc: reset_stats clears a group's own numbers and what removed children left, no living
child's; a removed child's numbers stay in the parent's recursive view. dialect=kernel: neither.
"""
import os

import lib
import workload
from lib import KIB


def total(group, device, recursive=False):
    return group.ios(device) if not recursive else group.count(
        "blkio.throttle.io_serviced_recursive", device, "Total")


def scenario(scratch, dialect):
    """Own, recursive after the removal of a child with 10; then own, recursive, child's after reset."""
    device = scratch.loop()
    blkio = scratch.blkio([device], f"dialect={dialect}", name=dialect)
    parent = blkio.group("parent")
    parent.limit("read_bps", device, 0)  # the kernel's counters start with a rule
    gone, stays = parent.group("gone"), parent.group("stays")
    for group, count in ((parent, 1), (gone, 10), (stays, 100)):
        group.call(workload.seconds, device.path, "read", 4 * KIB, count)
    lib.check(total(parent, device, True) == 111, "the recursive view has all before")
    lib.eventually(lambda: not gone.read("tasks"), 5, "the child is empty")
    os.rmdir(gone.path)
    before = (total(parent, device), total(parent, device, True))
    parent.write("blkio.reset_stats", 1)
    after = (total(parent, device), total(parent, device, True), total(stays, device))
    lib.check(not blkio.stop(), "clean stop")
    return before, after


def test(scratch):
    found = scenario(scratch, "doc")
    lib.check(found == ((1, 111), (0, 100, 100)), f"doc: {found}")
    found = scenario(scratch, "kernel")
    lib.check(found == ((1, 101), (1, 101, 100)), f"kernel: {found}")


lib.main(test)
