# SPDX-License-Identifier: MIT
"""attribution_fio_engine.py ENGINE: 256 reads of fio's ENGINE, 32 at a time, are charged to fio's
group to the last one, whatever thread of the kernel carries them; another group's 64 are not mixed in.
"""
import sys

import lib


def test(scratch):
    engine = sys.argv[1]
    device = scratch.loop()
    blkio = scratch.blkio([device])
    first, second = blkio.group("first"), blkio.group("second")
    options = ["--rw=randread", "--bs=4k", f"--ioengine={engine}", "--iodepth=32", "--size=32m",
               "--invalidate=0"]
    first.fio(device, *options, "--number_ios=256")
    second.fio(device, *options, "--number_ios=64")
    counted = [group.ios(device, "Read") for group in (first, second, blkio)]
    lib.check(counted == [256, 64, 0], f"first, second, root have {counted}, not [256, 64, 0]")


lib.main(test)
