# SPDX-License-Identifier: MIT
"""limits_burst_rates.py quick|full: each of the six limits with a burst of seven times as much:
first the burst's rate, then the limit's, each within 2 % and the one request that a window's ends
may cut.

The bucket holds 7 * length seconds' worth of the limit and fills at 7 - 1 times the limit, so the
burst lasts 7 / 6 of its length: 4.67 s of 4, 2.33 s of 2.
"""
import sys
import time

import lib
from lib import KIB
from six_limits import KEYS, Limit, between, samples_at

TIMES = 7
# In seconds since the start, where the burst is measured and where the limit.
QUICK = {"rate": 40, "length": 2, "burst": (0.5, 2), "base": (2.6, 4.6)}
FULL = {"rate": 100, "length": 4, "burst": (0.5, 4), "base": (5, 10)}


def check_window(limit, what, expected_rate, before, after):
    seconds, [count] = between(before, after)
    expected = expected_rate * seconds
    print(f"{limit.key}, {what}: {count}, expected {expected:.1f}", flush=True)
    lib.check(count <= expected * 1.02 + 1, f"{what}: too many")
    lib.check_in_time(count >= expected * 0.98 - 1, f"{what}: too few")


def run(group, limits, rate, length, burst, base):
    for limit in limits:
        limit.set(group, rate)
        group.limit(f"{limit.key}_max", limit.device, limit.units(TIMES * rate))
        group.limit(f"{limit.key}_max_length", limit.device, length)
    start = time.monotonic()
    jobs = [job for limit in limits for job in limit.start(group, start + base[1] + 0.3)]
    samples = [samples_at(start + moment, limits, [group]) for moment in (*burst, *base)]
    for job in jobs:
        job.result(30)
    for limit, *taken in zip(limits, *samples):
        check_window(limit, "burst", TIMES * rate, *taken[:2])
        check_window(limit, "limit", rate, *taken[2:])


def test(scratch):
    devices = [scratch.null() for _ in KEYS]
    group = scratch.blkio(devices).group("bursting")
    limits = [Limit(device, key, 4 * KIB) for device, key in zip(devices, KEYS)]
    run(group, limits, **(QUICK if sys.argv[1] == "quick" else FULL))


lib.main(test, tries=4)
