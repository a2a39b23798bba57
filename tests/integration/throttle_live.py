# SPDX-License-Identifier: MIT
"""Each of the six limits, changed by `blkioctl throttle set` while somebody reads and writes in turn:
up, down, away and back. Each change binds at once, and every request is answered.

A limit of one direction holds pairs of a read and a write as well as a limit of both that allows two
requests of 4 KiB for each pair.
"""
import os
import time

import lib
import workload
from lib import KIB
from tool import Tool

PAIRS_PER_SECOND = (100, 400, 50, 0, 200)  # 0: no limit
STEP_SECONDS = 0.3
PER_PAIR = {"bps": 8 * KIB, "bps_rd": 4 * KIB, "bps_wr": 4 * KIB,
            "iops": 2, "iops_rd": 1, "iops_wr": 1}


def pairs_until(path, end):
    """When each pair was done."""
    descriptor = workload.open_file(path)
    memory = workload.buffer(4 * KIB)
    times = []
    while not times or times[-1] < end:
        offset = len(times) % 1024 * 4 * KIB
        moved = os.preadv(descriptor, [memory], offset) + os.pwritev(descriptor, [memory], offset)
        if moved != 8 * KIB:
            raise AssertionError(f"pair {len(times)} moved {moved} bytes")
        times.append(time.monotonic())
    return times


def check_steps(times, steps):
    for pairs, (begin, end) in zip(PAIRS_PER_SECOND, steps):
        count = sum(begin <= moment < end for moment in times)
        if not pairs:
            print(f"no limit: {count} pairs")
            lib.check_in_time(count > 400 * STEP_SECONDS, "without a limit it is faster")
            continue
        expected = pairs * (end - begin)
        print(f"{pairs} pairs/s: {count}, expected {expected:.1f}")
        # One pair may have been on its way at either end, and be counted on the other side.
        lib.check(count <= expected * 1.05 + 3, f"{count} pairs are more than {expected:.1f}")
        lib.check_in_time(count >= expected * 0.95 - 3, f"{count} are less than {expected:.1f}")


def test(scratch):
    device = scratch.image()
    blkio = scratch.blkio([device])
    group = blkio.group("a")
    tool = Tool(blkio.mount)
    for limit, per_pair in PER_PAIR.items():
        print(f"--- {limit}")
        tool.run("throttle", "set", "a", device.number, f"{limit}={100 * per_pair}")
        end = time.monotonic() + STEP_SECONDS * (len(PAIRS_PER_SECOND) + 1.5)
        job = group.start(pairs_until, device.path, end)
        time.sleep(STEP_SECONDS / 2)
        steps = []  # from the answer to a change to the question for the next
        for pairs in PAIRS_PER_SECOND:
            tool.run("throttle", "set", "a", device.number, f"{limit}={pairs * per_pair}")
            begin = time.monotonic()
            time.sleep(STEP_SECONDS)
            steps.append((begin, time.monotonic()))
        check_steps(job.result(10), steps)


lib.main(test, tries=3)
