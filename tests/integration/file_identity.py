# SPDX-License-Identifier: MIT
"""What stat(2) and the directory show of a proxied device."""
import os
import stat

import lib
from lib import MIB


def test(scratch):
    disk, image = scratch.loop(32 * MIB), scratch.image(16 * MIB)
    blkio = scratch.blkio([disk, image])
    for device in (disk, image):
        seen = os.stat(device.path)
        lib.check(stat.S_ISREG(seen.st_mode), "a regular file")
        lib.check(seen.st_size == device.size, f"size {seen.st_size}, not {device.size}")
        by_number = os.path.join(blkio.devdir, device.number)
        lib.check(os.stat(by_number).st_ino == seen.st_ino, "the number is another name of it")
        first, second = os.open(device.path, os.O_RDONLY), os.open(device.path, os.O_RDONLY)
        lib.check(os.fstat(first).st_ino == os.fstat(second).st_ino, "one inode number for all")
        lib.check(os.fstat(first).st_dev == os.fstat(second).st_dev, "one device number for all")
        os.close(first)
        os.close(second)
        # Setting the size it has succeeds (block_resize of a virtual machine), any other does not.
        os.truncate(device.path, device.size)
        lib.check_errno("EINVAL|EPERM|EFBIG|ENOSPC|EOPNOTSUPP", os.truncate, device.path,
                        device.size * 2)
        lib.check(os.stat(device.path).st_size == device.size, "the size stays")
    names = set(os.listdir(blkio.devdir))
    for device in (disk, image):
        lib.check({os.path.basename(device.source), device.number} <= names, f"listed: {names}")


lib.main(test)
