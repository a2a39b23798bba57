# SPDX-License-Identifier: MIT
"""At and after the end: as a block device has it."""
import os

import lib
import workload
from lib import KIB, MIB

END = 8 * MIB


def test(scratch):
    device = scratch.loop(END)
    scratch.blkio([device])
    for direct in (False, True):
        descriptor = workload.open_file(device.path, direct=direct)
        lib.check(os.lseek(descriptor, 0, os.SEEK_END) == END, "SEEK_END is the size")
        memory = workload.buffer(8 * KIB)

        def read(offset, handle=descriptor, target=memory):
            return os.preadv(handle, [target], offset)

        def write(offset, handle=descriptor, source=memory):
            return os.pwritev(handle, [source], offset)

        lib.check(read(END) == 0, "a read at the end gives nothing")
        lib.check(read(END + MIB) == 0, "a read after the end gives nothing")
        lib.check(read(END - 4 * KIB) == 4 * KIB, "a read over the end is short")
        lib.check_errno("ENOSPC", write, END)
        lib.check_errno("ENOSPC", write, END + MIB)
        lib.check(write(END - 4 * KIB) == 4 * KIB, "a write over the end is short")
        lib.check(os.fstat(descriptor).st_size == END, "nothing made it grow")
        os.close(descriptor)


lib.main(test)
