# SPDX-License-Identifier: MIT
"""hierarchy=flat: a rule binds the group's own tasks; the child and, for root's rule, all others are
free. 256 reads of 4 KiB at 1 MiB/s take 255 / 256 = 1.0 s; free ones take a few milliseconds.
"""
import lib
import workload
from lib import KIB, MIB


def seconds(group, device):
    return group.call(workload.seconds, device.path, "read", 4 * KIB, 256)


def test(scratch):
    device = scratch.loop()
    blkio = scratch.blkio([device], "hierarchy=flat")
    parent = blkio.group("parent")
    child = parent.group("child")
    parent.limit("read_bps", device, MIB)
    lib.check_duration(seconds(parent, device), 1.0, 0.03, "the parent's own 256 reads")
    free = seconds(child, device)
    lib.check_in_time(free < 0.5, f"the child is free, took {free:.3f} s")

    parent.limit("read_bps", device, 0)
    blkio.limit("read_bps", device, MIB)
    lib.check_duration(seconds(blkio, device), 1.0, 0.03, "root's own 256 reads")
    free = seconds(child, device)
    lib.check_in_time(free < 0.5, f"root's rule does not bind the grandchild, took {free:.3f} s")
    if not lib.ON_KERNEL:
        lib.check(blkio.read("cgroup.sane_behavior") == "0\n", "sane_behavior reads 0")


lib.main(test, tries=3)
