# SPDX-License-Identifier: MIT
"""Readers that never stop of themselves, and how what they get is shared.

Shares are those of requests that were let go to the device, in a time between two looks at the
counters. Where a limit above the readers is what they share, they do not depend on the machine as
long as it manages the limit.
"""
import os
import time

import lib
import workload

SETTLE_SECONDS = 0.2


class Readers:
    """`number` processes in the group, one request each all the time."""

    def __init__(self, group, device, number, block=16 * lib.KIB):
        self.jobs = [group.start(_read, device.path, block, index, number)
                     for index in range(number)]

    def stop(self):
        for job in self.jobs:
            job.kill()
        for job in self.jobs:
            job.wait()


def _read(path, block, index, number):
    """Blocks of a part of the device, over and over."""
    descriptor = workload.open_file(path, os.O_RDONLY)
    memory = workload.buffer(block)
    part = os.lseek(descriptor, 0, os.SEEK_END) // number
    while True:
        for offset in range(0, part - block + 1, block):
            os.preadv(descriptor, [memory], index * part + offset)


def dispatched(groups, device):
    return [group.count("blkio.io_serviced", device, "Total") for group in groups]


def rates(groups, device, seconds):
    """Requests per second of each of the groups from now on."""
    before, start = dispatched(groups, device), time.monotonic()
    time.sleep(seconds)
    after, end = dispatched(groups, device), time.monotonic()
    return [(new - old) / (end - start) for old, new in zip(before, after)]


def check_shares(found, weights, points, what):
    """`found` rates are as the weights within some percentage points. What is off is Late, for on a
    busy machine a reader may be late with its next request."""
    total = sum(found)
    lib.check_in_time(total > 0, f"{what}: nothing was read")
    shares = [100 * rate / total for rate in found]
    ideal = [100 * weight / sum(weights) for weight in weights]
    text = " ".join(f"{share:.1f} ({wanted:.1f})" for share, wanted in zip(shares, ideal))
    print(f"{what}: {text} % of {total:.0f}/s", flush=True)
    worst = max(abs(share - wanted) for share, wanted in zip(shares, ideal))
    lib.check_in_time(worst <= points, f"{what}: a share is {worst:.1f} points off: {text}")
