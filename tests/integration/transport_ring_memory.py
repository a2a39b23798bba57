# SPDX-License-Identifier: MIT
"""transport=uring: more payload passes through the ring than may stay in memory, so pages are given
back all the time; meanwhile small requests get the answers that are theirs.
"""
import os
import time

import lib
import workload
from lib import KIB, MIB

SECONDS = 3


def test(scratch):
    device = scratch.loop(128 * MIB)
    group = scratch.blkio([device], "transport=uring").group("g")
    large = group.fio_process(device, "--rw=randrw", "--bs=1m", "--ioengine=libaio", "--iodepth=64",
                              "--offset=64m", "--size=64m", "--verify=crc32c", "--verify_fatal=1",
                              "--loops=1000", "--time_based", f"--runtime={SECONDS}")
    descriptor = workload.open_file(device.path)
    size = os.fstat(descriptor).st_size
    memory = workload.buffer(4 * KIB)
    end = time.monotonic() + SECONDS
    count = 0
    while time.monotonic() < end:
        lib.check(os.fstat(descriptor).st_size == size, "the size is what it was")
        lib.check(os.stat(device.path).st_size == size, "looked up anew too")
        block = os.urandom(4 * KIB)
        memory.seek(0)
        memory.write(block)
        lib.check(os.pwritev(descriptor, [memory], count % 1000 * 4 * KIB) == 4 * KIB, "written")
        lib.check(os.preadv(descriptor, [memory], count % 1000 * 4 * KIB) == 4 * KIB, "read")
        lib.check(memory[:] == block, f"block {count} is read as it was written")
        count += 1
    print(f"{count} rounds")
    said = large.communicate(timeout=30)[0]
    lib.check(large.returncode == 0, f"fio: {said[:500]}")
    os.close(descriptor)


lib.main(test)
