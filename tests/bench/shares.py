# SPDX-License-Identifier: MIT
"""What weights make of a device: blkio beside the kernel's BFQ, with its defaults and with
low_latency=0, on one loop device over a serial disk of known speed.

Each group reads 4 KiB blocks at random in a range of its own with fio; shares are counted by the
controller (requests dispatched) and, independently, below it, by the disk. Shown are the medians of
`--rounds` windows in a row. The table fails if the device is faster than it can be, for then it was
a cache that answered.
"""
import statistics
import sys
import time

import contenders
import lib
from slow_disk import SlowDisk

TITLE = "Shares of a serial device of 2,300 requests a second"
SETS = ((100, 200), (100, 500), (1, 1000), (100, 200, 300, 400), (100, 100, 500, 500))
DEPTHS = (1, 8, 32)
STARVED = (1, 1000)  # whose first group gets a few requests a window: it is judged over more time
LONG_SECONDS = 12
SETTLE_SECONDS = 1
MOST_IOPS = 2600  # the disk's are 2299: more, and it was not the disk that answered
MOST_POINTS = 1.0
MOST_FACTOR = 1.5
COLUMNS = ("weights", "contender", "requests/s", "shares below, %", "points off, dispatched",
           "points off, below", "weight 1: times its share", "")


def measure(scratch, arguments):
    lib.need("fio")
    disk = SlowDisk(scratch)
    ours = contenders.Ours(scratch, disk)
    try:
        return list(rows(all_contenders(scratch, disk, ours), arguments))
    finally:
        ours.daemon.stop()
        disk.close()


def all_contenders(scratch, disk, ours):
    found = [ours]
    try:
        found.append(contenders.Kernel(scratch, disk, "BFQ", "bfq"))
        found.append(contenders.Kernel(scratch, disk, "BFQ, low_latency=0", "bfq", low_latency=0))
    except lib.Skip as reason:
        print(f"without BFQ: {reason}", file=sys.stderr)
    return found


def rows(found, arguments):
    for weights in SETS:
        for depth in DEPTHS:
            for contender in found:
                with contender as root:
                    yield row(contender, root, weights, depth, arguments)


def row(contender, root, weights, depth, arguments):
    groups = contenders.weighted(root, weights)
    loads = [contenders.Load(group, contender.path, number, "randread", "4k", depth)
             for number, group in enumerate(groups)]
    rounds = arguments.rounds
    if weights == STARVED:
        rounds = max(rounds, round(LONG_SECONDS / arguments.seconds))
    try:
        time.sleep(SETTLE_SECONDS)
        rates = contenders.windows(lambda: sample(contender.disk, groups), rounds,
                                   arguments.seconds)
    finally:
        contenders.stop_all(loads)
        contenders.remove_groups(*groups)
    return judged(contender.name, weights, depth, rates)


def sample(disk, groups):
    """As counted by the controller, then as counted below."""
    dispatched = [group.count("blkio.bfq.io_serviced", disk.device, "Total") for group in groups]
    return dispatched + disk.counts()[:len(groups)]


def judged(name, weights, depth, rates):
    size, ideal = len(weights), contenders.shares(weights)
    below = [rate[size:] for rate in rates]
    total = statistics.median(map(sum, below))
    lib.check(total <= MOST_IOPS, f"{total:.0f} requests a second: not this device")
    result = {"case": ":".join(map(str, weights)) + f" QD {depth}", "contender": name,
              "iops": total, "ideal": ideal, "windows": rates}
    for side, counted in (("dispatched", [rate[:size] for rate in rates]), ("below", below)):
        result[side] = contenders.medians(map(contenders.shares, counted))
        result[side + "_points"] = contenders.worst_points(result[side], ideal)
    if weights == STARVED:
        overall = contenders.shares([sum(column) for column in zip(*below)])
        result["factor"] = overall[0] / ideal[0]
    return result


def is_met(row):
    """Whether it is what blkio promises. The factor is judged at QD 8 and 32."""
    points = max(row["dispatched_points"], row["below_points"])
    factor = row.get("factor", 1) if not row["case"].endswith("QD 1") else 1
    return points <= MOST_POINTS and 1 / MOST_FACTOR <= factor <= MOST_FACTOR


def print_table(title, found):
    contenders.print_rows(title, COLUMNS, [columns(row) for row in found])


def columns(row):
    return [row["case"], row["contender"], f"{row['iops']:.0f}", contenders.percents(row["below"]),
            f"{row['dispatched_points']:.2f}", f"{row['below_points']:.2f}",
            f"{row['factor']:.2f}" if "factor" in row else "", "" if is_met(row) else "misses"]
