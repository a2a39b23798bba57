# SPDX-License-Identifier: MIT
"""Who is held for longer than blkio.throttle.max_hold_device allows gets ETIMEDOUT, and has not paid.

One request a second and a bound of 200 ms: the first read goes, one sent at once fails after 0.2 s, so
do its followers; one that is sent 0.15 s before its turn goes.
"""
import errno
import os
import time

import lib
import workload
from lib import KIB


def reads(path):
    """(result, seconds it took) of each; the last is sent 0.85 s after the first."""
    descriptor = workload.open_file(path)
    memory = workload.buffer(4 * KIB)
    begin = time.monotonic()
    results = []
    for wait_until in (0, 0, 0, 0.85):
        time.sleep(max(0, begin + wait_until - time.monotonic()))
        sent = time.monotonic()
        try:
            result = os.preadv(descriptor, [memory], 0)
        except OSError as error:
            result = errno.errorcode[error.errno]
        results.append((result, time.monotonic() - sent))
    return results


def test(scratch):
    device = scratch.image()
    group = scratch.blkio([device]).group("a")
    group.limit("max_hold", device, 200)
    group.limit("total_iops", device, 1)
    results = group.call(reads, device.path)
    print(results)
    outcomes = [result for result, _ in results]
    lib.check(outcomes[:3] == [4 * KIB, "ETIMEDOUT", "ETIMEDOUT"], f"{outcomes}")
    for _, seconds in results[1:3]:
        lib.check_duration(seconds, 0.2, 0.1, "held")
    lib.check_in_time(outcomes[3] == 4 * KIB, "a read near its turn failed")
    lib.check(group.read("blkio.bfq.io_serviced").endswith("Total 2\n"), "two reads were done")


lib.main(test, tries=3)
