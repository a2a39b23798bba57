# SPDX-License-Identifier: MIT
"""FUSE over io_uring is switched off while the daemon uses it: what runs goes on, a device added then
travels over /dev/fuse, and nobody notices."""
import os

import lib
import machine
import workload
from lib import KIB


def test(scratch):
    device, later = scratch.loop(), scratch.loop()
    blkio = scratch.blkio([device], "transport=uring")
    group = blkio.group("g")
    group.call(workload.seconds, device.path, "write", 4 * KIB, 100)
    machine.set_enable_uring("N")
    group.call(workload.seconds, device.path, "write", 4 * KIB, 100)
    blkio.ctl("device", "add", later.option.removeprefix("device="))
    later.path = os.path.join(blkio.devdir, os.path.basename(later.source))
    group.call(workload.seconds, later.path, "write", 4 * KIB, 100)
    rows = {row["device"]: row["transport"] for row in blkio.ctl_json("devices")}
    lib.check(rows == {device.number: "uring", later.number: "classic"}, f"they travel: {rows}")


lib.main(test)
