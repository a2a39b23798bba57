# SPDX-License-Identifier: MIT
"""Shares of service when requests differ, on a serial disk of known speed.

A request's service is its bytes and 16 KiB more, whatever the disk makes of it (kRequestCostBytes).
So of 4 KiB requests beside 64 KiB ones with equal weights four go for each: (64 + 16) / (4 + 16).
"""
import time

import contenders
import lib
from lib import KIB, MIB
from slow_disk import SlowDisk

TITLE = "Shares of service: sizes and directions"
REQUEST_COST = 16 * KIB
SETTLE_SECONDS = 1
MOST_POINTS = 2.0
READ_LIMIT = 2 * MIB

# What each group does, as (weight, (kind of fio job, block, depth)...).
PAIRS = {
    "4 KiB, 64 KiB": ((100, ("randread", "4k", 8)), (100, ("randread", "64k", 8))),
    "4 KiB, 1 MiB": ((100, ("randread", "4k", 8)), (100, ("randread", "1m", 8))),
    "4 KiB, 1 MiB, 300:100": ((300, ("randread", "4k", 8)), (100, ("randread", "1m", 8))),
    "4 KiB, 64 KiB, QD 1": ((100, ("randread", "4k", 1)), (100, ("randread", "64k", 1))),
    "reads, writes": ((100, ("randread", "4k", 8)), (100, ("randwrite", "4k", 8))),
    "reads, writes of 64 KiB, 100:300": ((100, ("randread", "4k", 8)),
                                         (300, ("randwrite", "64k", 8))),
}


def measure(scratch, arguments):
    lib.need("fio")
    disk = SlowDisk(scratch)
    ours = contenders.Ours(scratch, disk)
    try:
        with ours as root:
            rows = [pair(ours, root, name, arguments) for name in PAIRS]
            return rows + [under_read_limit(ours, root, weights, arguments)
                           for weights in ((100, 100), (200, 100))]
    finally:
        ours.daemon.stop()
        disk.close()


def pair(ours, root, name, arguments):
    jobs = [job for _, job in PAIRS[name]]
    weights = [weight for weight, _ in PAIRS[name]]
    rates = run(ours, root, weights, [[job] for job in jobs], arguments, service)
    return contenders.judged(name, "service", weights, rates, MOST_POINTS)


def under_read_limit(ours, root, weights, arguments):
    """One reads, one reads and writes, and reads are limited for both together. Shares hold among
    those who may go at that moment: whenever a read may go, it is the turn of one or the other by
    weight, and who has both sends the read, which is older. Between, the writes go, and are not
    held against the writer."""
    root.limit("read_bps", ours.disk.device, READ_LIMIT)
    mix = [("randread", "4k", 8), ("randwrite", "4k", 8)]
    try:
        rates = run(ours, root, weights, [mix[:1], mix], arguments, reads)
    finally:
        root.write("blkio.throttle.read_bps_device", f"{ours.disk.device.number} 0")
    name = "reads, reads and writes under a read limit, " + ":".join(map(str, weights))
    row = contenders.judged(name, "reads", weights, rates, MOST_POINTS)
    row["of_limit"] = row["total"] / READ_LIMIT
    return row


def run(ours, root, weights, jobs_of, arguments, sample):
    groups = contenders.weighted(root, weights)
    loads = [contenders.Load(group, ours.path, number, *job)
             for number, (group, jobs) in enumerate(zip(groups, jobs_of)) for job in jobs]
    try:
        time.sleep(SETTLE_SECONDS)
        return contenders.windows(lambda: [sample(group, ours.disk.device) for group in groups],
                                  arguments.rounds, arguments.seconds)
    finally:
        contenders.stop_all(loads)
        contenders.remove_groups(*groups)


def service(group, device):
    return (group.count("blkio.bfq.io_service_bytes", device, "Total")
            + REQUEST_COST * group.count("blkio.bfq.io_serviced", device, "Total"))


def reads(group, device):
    return group.count("blkio.bfq.io_service_bytes", device, "Read")


def print_table(title, found):
    contenders.print_shares(title, found)
