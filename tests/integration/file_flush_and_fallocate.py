# SPDX-License-Identifier: MIT
"""fsync, and the modes of fallocate that a disk knows: punch and zero give zeroes, others are refused."""
import os

import lib
from lib import KIB, MIB
from workload import COLLAPSE, KEEP_SIZE, PUNCH, ZERO, fallocate


def test(scratch):
    for device in (scratch.loop(16 * MIB), scratch.image(16 * MIB)):
        blkio = scratch.blkio([device], name=f"blkio-{os.path.basename(device.source)}")
        descriptor = os.open(device.path, os.O_RDWR)
        os.pwrite(descriptor, b"x" * MIB, 0)
        fallocate(descriptor, PUNCH | KEEP_SIZE, 128 * KIB, 64 * KIB)
        fallocate(descriptor, ZERO | KEEP_SIZE, 512 * KIB, 64 * KIB)
        expected = bytearray(b"x" * MIB)
        expected[128 * KIB:192 * KIB] = bytes(64 * KIB)
        expected[512 * KIB:576 * KIB] = bytes(64 * KIB)
        lib.check(os.pread(descriptor, MIB, 0) == expected, "zeroes there and nowhere else")
        lib.check_errno("EOPNOTSUPP|EINVAL", fallocate, descriptor, COLLAPSE, 0, 4 * KIB)
        lib.check_errno("EOPNOTSUPP|EINVAL|ENOSPC|EFBIG", fallocate, descriptor, 0, 16 * MIB, 4 * KIB)
        os.fsync(descriptor)
        os.fdatasync(descriptor)
        os.close(descriptor)
        lib.check(not blkio.stop(), "clean stop")
        with open(device.source, "rb") as stream:
            lib.check(stream.read(MIB) == expected, "what was synced is on the device")


lib.main(test)
