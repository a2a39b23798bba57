# SPDX-License-Identifier: MIT
"""A rule in the root group is the device's cap: root's own task and a grandchild share 2 MiB/s."""
import time

import lib
import workload
from lib import KIB, MIB


def test(scratch):
    device = scratch.loop()
    blkio = scratch.blkio([device])
    blkio.limit("read_bps", device, 2 * MIB)
    deep = blkio.group("outer").group("inner")
    start = time.monotonic()
    end = start + 3
    jobs = [group.start(workload.repeat_until, device.path, "read", 4 * KIB, end)
            for group in (blkio, deep)]
    done = [job.result() for job in jobs]
    lib.check_rate(sum(done) * 4 * KIB / 3 / MIB, 2.0, 0.03, f"root and grandchild {done} in MiB/s")
    lib.check(min(done) >= 0.4 * sum(done), f"they share the cap: {done}")


lib.main(test, tries=3)
