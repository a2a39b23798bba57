# SPDX-License-Identifier: MIT
"""With blkio.throttle.dry_run_device limits hold nobody, and tell what they would have done; switched
off, they hold.

200 reads at 20 a second would take ten seconds.
"""
import re

import lib
import workload
from lib import KIB


def delayed(group):
    return int(re.search(r" read_iops delayed=(\d+) ", group.read("blkio.throttle.stat")).group(1))


def test(scratch):
    device = scratch.image()
    group = scratch.blkio([device]).group("a")
    group.limit("dry_run", device, 1)
    group.limit("read_iops", device, 20)
    seconds = group.call(workload.seconds, device.path, "read", 4 * KIB, 200)
    lib.check_in_time(seconds < 2, f"200 reads took {seconds:.3f} s")
    would = delayed(group)
    print(f"{seconds:.3f} s, {would} would have been delayed")
    lib.check(would > 0, "somebody would have been delayed")

    # From here on it holds. Five reads take no less than the four turns behind the first.
    group.limit("dry_run", device, 0)
    seconds = group.call(workload.seconds, device.path, "read", 4 * KIB, 5)
    print(f"{seconds:.3f} s")
    lib.check(seconds > 0.19, f"five reads took {seconds:.3f} s")


lib.main(test, tries=3)
