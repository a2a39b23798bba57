# SPDX-License-Identifier: MIT
"""A device's connection is aborted through /sys/fs/fuse/connections under load: its clients get errors
and do not hang, other devices and the groups are as before, and the daemon ends in order.
"""
import os

import lib
import mixed_load
import workload
from lib import KIB


def test(scratch):
    device, other = scratch.loop(), scratch.loop()
    blkio = scratch.blkio([device, other])
    load = mixed_load.start(blkio, device)
    connections = scratch.make_directory("connections")
    lib.run("mount", "-t", "fusectl", "none", connections)
    minor = os.minor(os.stat(f"{blkio.devdir}/.{device.number}").st_dev)
    with lib.no_kernel_complaints():
        with open(f"{connections}/{minor}/abort", "w", encoding="ascii") as abort:
            abort.write("1")
        lib.run("umount", connections)
        load.ends_with_errors(5)
        blkio.group("g").call(workload.seconds, other.path, "write", 4 * KIB, 10)
        rows = {row["device"]: row for row in blkio.ctl_json("devices")}
        lib.check(not rows[device.number]["connected"], "the tool shows that it is gone")
        lib.check(rows[other.number]["connected"], "the other is there")


lib.main(test)
