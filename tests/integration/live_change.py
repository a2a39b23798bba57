# SPDX-License-Identifier: MIT
"""A rule changed under load takes effect at once, and nothing that waits is lost.

One reader of 4 KiB blocks; 1, 4, 0.5 and 2 MiB/s for a second each: 256, 1024, 128 and 512 reads.
A second is judged from the change on, so a late effect shows as a wrong count.
"""
import time

import lib
import workload
from lib import KIB, MIB

STEPS = (MIB, 4 * MIB, MIB // 2, 2 * MIB)
TOTAL = 4096


def test(scratch):
    device = scratch.loop()
    group = scratch.blkio([device]).group("changing")
    group.limit("read_bps", device, STEPS[0])
    job = group.start(workload.completions, device.path, "read", 4 * KIB, TOTAL)
    time.sleep(0.3)
    changes = []
    for limit in STEPS:
        group.limit("read_bps", device, limit)
        changes.append(time.monotonic())
        time.sleep(1)
    group.limit("read_bps", device, 0)
    changes.append(time.monotonic())

    _, times = job.result(10)
    lib.check(len(times) == TOTAL, "every read was answered")
    for limit, begin, end in zip(STEPS, changes, changes[1:]):
        count = sum(begin <= moment < end for moment in times)
        expected = limit / (4 * KIB) * (end - begin)
        print(f"{limit / MIB} MiB/s: {count} reads, expected {expected:.1f}")
        # One request of slack at either end, for it may have been on its way at the change.
        slack = 2 + 0.03 * expected
        lib.check(count <= expected + slack, f"{count} reads are more than {expected:.1f}")
        lib.check_in_time(count >= expected - slack, f"{count} reads are less than {expected:.1f}")
    lib.check_in_time(times[-1] - changes[-1] < 2, "without a rule the rest is unlimited")


lib.main(test, tries=3)
