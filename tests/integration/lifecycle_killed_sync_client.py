# SPDX-License-Identifier: MIT
"""A client killed while its request is held dies at once, and the request is never carried out."""
import os
import time

import lib
import workload
from lib import KIB


def two_writes(path):
    descriptor = workload.open_file(path)
    os.pwritev(descriptor, [workload.buffer(4 * KIB, b"1")], 0)
    os.pwritev(descriptor, [workload.buffer(4 * KIB, b"2")], 4 * KIB)


def test(scratch):
    device = scratch.loop()
    group = scratch.blkio([device]).group("held")
    group.limit("write_bps", device, 1)
    job = group.start(two_writes, device.path)
    lib.eventually(lambda: group.ios(device, "Write") == 2, 5, "the second write waits")
    time.sleep(0.1)
    lib.check(job.running(), "it is held")
    start = time.monotonic()
    job.kill()
    job.wait()
    seconds = time.monotonic() - start
    print(f"dead after {1000 * seconds:.1f} ms")
    lib.check_in_time(seconds < 0.1, f"took {seconds:.3f} s")

    group.limit("write_bps", device, 0)
    time.sleep(0.1)
    with open(device.path, "rb") as stream:
        content = stream.read(8 * KIB)
    lib.check(content[:4 * KIB] == b"1" * 4 * KIB, "the first write is there")
    lib.check(content[4 * KIB:] == bytes(4 * KIB), "the held one is not")


lib.main(test, tries=3)
