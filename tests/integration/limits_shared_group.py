# SPDX-License-Identifier: MIT
"""limits_shared_group.py quick|full: one to three groups share their parent's limit, each of the
six, with requests of 512 bytes to 1 MiB: each has its part within 10 %, and together they have the
limit within 1 %, give or take the one request that either end of the window may cut.

Each group makes 120 requests in a quick window, 200 in a full one. Quick: each limit on a device of
its own, all six at once, each with one size; full: one after the other, with every size.
"""
import sys
import time

import lib
from lib import KIB, MIB
from six_limits import KEYS, Limit, between, samples_at

BLOCKS = (512, 4 * KIB, 64 * KIB, MIB)
QUICK = {"rate": 60, "warm": 0.5, "seconds": 2}
FULL = {"rate": 40, "warm": 1, "seconds": 5}


def check_shares(limit, counts, rate, seconds):
    total = len(counts) * rate * seconds
    print(f"{len(counts)} groups, {limit.key}, {limit.block} bytes: {counts}, {sum(counts)} of "
          f"{total:.1f}", flush=True)
    lib.check(sum(counts) <= total * 1.01 + 1, "more than the limit")
    lib.check_in_time(sum(counts) >= total * 0.99 - 1, "less than the limit")
    part = total / len(counts)
    lib.check_in_time(all(abs(count - part) <= part * 0.1 + 1 for count in counts), "uneven parts")


def run(parent, groups, limits, times):
    """These limits at the same time."""
    rate, warm, seconds = times["rate"], times["warm"], times["seconds"]
    for limit in limits:
        limit.set(parent, rate * len(groups))
    start = time.monotonic()
    jobs = [job for limit in limits for group in groups
            for job in limit.start(group, start + warm + seconds + 0.5)]
    before = samples_at(start + warm, limits, groups)
    after = samples_at(start + warm + seconds, limits, groups)
    for limit in limits:
        limit.set(parent, 0)
    for job in jobs:
        job.result(30)
    for limit, begin, end in zip(limits, before, after):
        length, counts = between(begin, end)
        check_shares(limit, counts, rate, length)


def test(scratch):
    devices = [scratch.null() for _ in KEYS]
    blkio = scratch.blkio(devices)
    for number in (1, 2, 3):
        parent = blkio.group(f"parent{number}")
        groups = [parent.group(f"g{index}") for index in range(number)]
        if sys.argv[1] == "quick":
            blocks = [BLOCKS[(index + number) % 4] for index in range(len(KEYS))]
            lib.patiently(run, parent, groups, list(map(Limit, devices, KEYS, blocks)), QUICK)
            continue
        for device, key in zip(devices, KEYS):
            for block in BLOCKS:
                lib.patiently(run, parent, groups, [Limit(device, key, block)], FULL)


lib.main(test)
