# SPDX-License-Identifier: MIT
"""Removing a rule, or raising it, lets go what it held at once: 32 writers wait for hours, then not."""
import time

import lib
import workload
from lib import KIB


def held(group, device, count):
    jobs = [group.start(workload.seconds, device.path, "write", 4 * KIB, 1, True, False, 4 * KIB * n)
            for n in range(count)]
    time.sleep(0.5)
    return jobs


def test(scratch):
    device = scratch.loop()
    blkio = scratch.blkio([device])
    for name, value in (("removed", 0), ("raised", 1 << 30)):
        group = blkio.group(name)
        group.limit("write_bps", device, 1)  # one byte a second: the second write waits 4096 s
        jobs = held(group, device, 32)
        waiting = sum(job.running() for job in jobs)
        lib.check(waiting == 31, f"{waiting} of 32 wait, one went at once")
        start = time.monotonic()
        group.limit("write_bps", device, value)
        for job in jobs:
            job.result(5)
        seconds = time.monotonic() - start
        print(f"{name}: all went within {seconds:.3f} s")
        lib.check_in_time(seconds < 0.5, f"{name}: took {seconds:.3f} s")
        lib.check(group.bytes(device, "Write") == 32 * 4 * KIB, "each is counted once")


lib.main(test, tries=3)
