# SPDX-License-Identifier: MIT
"""transport=uring: the devices' requests really travel over the ring, one added later's too, and what
is written is read again, aligned or not, direct or not."""
import os

import lib
from lib import KIB, MIB


def test(scratch):
    device, later = scratch.loop(), scratch.loop()
    blkio = scratch.blkio([device], "transport=uring")
    blkio.ctl("device", "add", later.option.removeprefix("device="))
    later.path = os.path.join(blkio.devdir, os.path.basename(later.source))
    for row in blkio.ctl_json("devices"):
        lib.check(row["transport"] == "uring", f"{row['device']} travels over {row['transport']}")
    lib.check(blkio.ctl_json("status")["transport"] == "uring", "status says so")
    for path in (device.path, later.path):
        written = os.urandom(2 * MIB)
        for offset in (0, 513):
            with open(path, "r+b", buffering=0) as stream:
                os.pwrite(stream.fileno(), written, offset)
            with open(path, "rb", buffering=0) as stream:
                read = b"".join(os.pread(stream.fileno(), 100_001, at)
                                for at in range(offset, offset + 2 * MIB, 100_001))
            lib.check(read[:2 * MIB] == written, f"{path}: read back from {offset}")

    device_of_zeros(scratch)


def device_of_zeros(scratch):
    """What was written there is not what is read, whatever lay in the ring's entries before."""
    nothing = lib.Device("null9", "7:9", MIB, f"device=7:9=null:{MIB}")
    scratch.blkio([nothing], "transport=uring", name="zeros")
    with open(nothing.path, "r+b", buffering=0) as stream:
        for _ in range(50):  # more often than there are entries
            os.pwrite(stream.fileno(), os.urandom(64 * KIB), 512)
            os.fstat(stream.fileno())
            for size, offset in ((64 * KIB, 0), (4 * KIB, 512), (100_001, 3), (MIB, 0)):
                lib.check(not any(os.pread(stream.fileno(), size, offset)), f"{size} zeros")


lib.main(test)
