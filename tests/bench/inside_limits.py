# SPDX-License-Identifier: MIT
"""Weights inside limits, on a fast loop device: a parent of 20 MiB/s, children of weight 100 and
300; one of them gone; two levels. And on a serial disk, where a limited group then has its half
beside a neighbour: the first tenth of a second after the limit was lifted."""
import time

import contenders
import lib
from lib import MIB
from slow_disk import SlowDisk

TITLE = "Weights inside limits"
LIMIT = 20 * MIB
SETTLE_SECONDS = 0.7
NESTED = ((300, (100, 300)), (100, (200, 100)))  # weight of a child, and of its children
MOST_OFF = 0.01  # of what it should have
MOST_NESTED_OFF = 0.02
MOST_LIFTED_POINTS = 5.0  # a tenth of a second is 220 requests: one is half a point
LOW_LIMIT = 2 * MIB
LIFTED_SECONDS = 0.1


class Fast:
    """As much of a SlowDisk as contenders.Ours needs, but fast."""

    def __init__(self, scratch):
        self.device = scratch.loop(8 * contenders.RANGE)

    def set(self, *_):
        pass


def measure(scratch, arguments):
    lib.need("fio")
    ours = contenders.Ours(scratch, Fast(scratch), name="fast")
    with ours as root:
        root.limit("read_bps", ours.disk.device, LIMIT)
        rows = flat(ours, root, arguments) + [nested(ours, root, arguments)]
    disk = SlowDisk(scratch)
    ours = contenders.Ours(scratch, disk, name="slow")
    try:
        with ours as root:
            return rows + [lifted(ours, root, arguments)]
    finally:
        ours.daemon.stop()
        disk.close()


def load(ours, group, number):
    return contenders.Load(group, ours.path, number, "randread", "4k", 8)


def rates_of(groups, device, number, seconds):
    return contenders.windows(lambda: [group.count("blkio.bfq.io_service_bytes", device, "Read")
                                       for group in groups], number, seconds)


def judged(case, weights, rates, most_off):
    """As contenders.judged; but judged is each one's rate, against its part of the limit."""
    row = contenders.judged(case, "the limit", weights, rates, 100)
    row["of_limit"] = row["total"] / LIMIT
    parts = zip(contenders.medians(rates), row["ideal"])
    row["off"] = max(abs(rate / (share * LIMIT) - 1) for rate, share in parts if share)
    row["met"] = row["off"] <= most_off
    return row


def flat(ours, root, arguments):
    device = ours.disk.device
    groups = contenders.weighted(root, (100, 300))
    loads = [load(ours, group, number) for number, group in enumerate(groups)]
    try:
        time.sleep(SETTLE_SECONDS)
        both = rates_of(groups, device, arguments.rounds, arguments.seconds)
        contenders.stop_all(loads[1:])
        time.sleep(SETTLE_SECONDS)
        alone = rates_of(groups, device, arguments.rounds, arguments.seconds)
    finally:
        contenders.stop_all(loads)
        contenders.remove_groups(*groups)
    return [judged("100:300", (100, 300), both, MOST_OFF),
            judged("100:300, the second has stopped", (1, 0), alone, MOST_OFF)]


def nested(ours, root, arguments):
    parents = contenders.weighted(root, [weight for weight, _ in NESTED])
    leaves, weights = [], []
    for parent, (weight, below) in zip(parents, NESTED):
        leaves += contenders.weighted(parent, below)
        weights += [weight * each / sum(below) for each in below]
    loads = [load(ours, leaf, number) for number, leaf in enumerate(leaves)]
    try:
        time.sleep(SETTLE_SECONDS)
        rates = rates_of(leaves, ours.disk.device, arguments.rounds, arguments.seconds)
    finally:
        contenders.stop_all(loads)
        contenders.remove_groups(*parents)
    return judged("100:300 in 300, 200:100 in 100", weights, rates, MOST_NESTED_OFF)


def lifted(ours, root, arguments):
    """The second of two equal groups is limited to less than its half until the limit goes."""
    device = ours.disk.device
    groups = contenders.weighted(root, (100, 100))
    loads = [load(ours, group, number) for number, group in enumerate(groups)]
    rates = []
    try:
        for _ in range(arguments.rounds):
            groups[1].limit("read_bps", device, LOW_LIMIT)
            time.sleep(SETTLE_SECONDS)
            groups[1].limit("read_bps", device, 0)
            rates += rates_of(groups, device, 1, LIFTED_SECONDS)
    finally:
        contenders.stop_all(loads)
        contenders.remove_groups(*groups)
    case = "100:100, in the 100 ms after the second's limit of 2 MiB/s was lifted"
    return contenders.judged(case, "the device", (100, 100), rates, MOST_LIFTED_POINTS)


def print_table(title, found):
    contenders.print_shares(title, found)
