# SPDX-License-Identifier: MIT
"""A device that is read-only below is so above: opening it for writing fails, reading works."""
import os

import lib
import workload
from lib import KIB


def test(scratch):
    device = scratch.loop(options=["--read-only"])
    scratch.blkio([device])
    lib.check_errno("EROFS|EACCES", os.open, device.path, os.O_RDWR)
    lib.check_errno("EROFS|EACCES", os.open, device.path, os.O_WRONLY)
    descriptor = workload.open_file(device.path, os.O_RDONLY)
    lib.check(os.preadv(descriptor, [workload.buffer(4 * KIB)], 0) == 4 * KIB, "it can be read")


lib.main(test)
