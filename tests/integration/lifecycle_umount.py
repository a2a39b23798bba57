# SPDX-License-Identifier: MIT
"""The daemon in the background: its parent returns when the mount answers; umount of the tree ends it
and takes the device mounts along.
"""
import os

import lib
import workload
from lib import KIB


def test(scratch):
    device = scratch.loop()
    blkio = scratch.blkio([device], foreground=False)
    lib.check(os.path.exists(blkio.mount + "/blkio.reset_stats"), "it answers when the parent is back")
    blkio.group("g").call(workload.seconds, device.path, "write", 4 * KIB, 10)
    lib.check(blkio.pids(), "somebody serves it")
    lib.run("umount", blkio.mount)
    seconds = lib.eventually(lambda: not blkio.pids(), 2, "the daemon ended")
    print(f"ended after {seconds:.3f} s")
    lib.check(not lib.mounts_below(scratch.directory), "the device mounts are gone")


lib.main(test)
