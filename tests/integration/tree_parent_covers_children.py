# SPDX-License-Identifier: MIT
"""A rule of 2 MiB/s in the parent and none in its two children:

    parent 2 MiB/s --- first   4 KiB reads
                   \\-- second  4 KiB reads

Over 4 s both together read 8 MiB = 2048 blocks; neither is shut out.
"""
import time

import lib
import workload
from lib import KIB, MIB


def test(scratch):
    device = scratch.loop()
    parent = scratch.blkio([device]).group("parent")
    parent.limit("read_bps", device, 2 * MIB)
    end = time.monotonic() + 4.5
    children = [parent.group(name) for name in ("first", "second")]
    jobs = [child.start(workload.repeat_until, device.path, "read", 4 * KIB, end)
            for child in children]
    time.sleep(0.5)
    start = time.monotonic()
    before = [child.ios(device, "Read") for child in children]
    for job in jobs:
        job.result()
    after = [child.ios(device, "Read") for child in children]
    done = [later - earlier for earlier, later in zip(before, after)]
    rate = sum(done) * 4 * KIB / (end - start)
    lib.check_rate(rate / MIB, 2.0, 0.03, "both children in MiB/s")
    lib.check(min(done) >= 0.4 * sum(done), f"the children share the parent's limit: {done}")


lib.main(test, tries=3)
