# SPDX-License-Identifier: MIT
"""The six limits, each on a device, with clients that always have a request waiting."""
import time

import workload

KEYS = [f"{direction}_{unit}" for unit in ("bps", "iops")
        for direction in ("read", "write", "total")]
CLIENTS = 3  # of each group: one waits while another is on its way back


class Limit:
    """One of them on a device, and requests of one size."""

    def __init__(self, device, key, block):
        self.device, self.key, self.block = device, key, block

    def units(self, requests):
        return requests * (self.block if self.key.endswith("bps") else 1)

    def set(self, group, requests_per_second):
        group.limit(self.key, self.device, self.units(requests_per_second))

    def start(self, group, end):
        operation = self.key.split("_")[0]
        return [group.start(workload.repeat_until, self.device.path, operation, self.block, end)
                for _ in range(CLIENTS)]

    def sample(self, groups):
        """(when, how many requests each group has sent to the device)."""
        counts = [group.count("blkio.io_serviced", self.device, "Total") for group in groups]
        return time.monotonic(), counts


def samples_at(moment, limits, groups):
    time.sleep(max(0, moment - time.monotonic()))
    return [limit.sample(groups) for limit in limits]


def between(before, after):
    """(seconds, requests of each group) from one sample to another."""
    return after[0] - before[0], [new - old for old, new in zip(before[1], after[1])]
