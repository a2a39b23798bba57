# SPDX-License-Identifier: MIT
"""How exactly limits are kept: blkio beside the kernel's blk-throttle, on one loop device.

Completion times are taken by the clients, one process for each request at a time, all started at
the same moment in a group that has been idle. Shown and judged, over T = 4 s after the first half
second:

  rate            completed / (limit * T); |completed - limit * T| <= 1 + 0.1 %
  worst 100 ms    most completions in any 100 ms / those of the limit; <= 1.03 and one request more,
                  judged from 100 requests a window on
  first burst     most completions in the first 100 ms above what had become due since the first
                  request was sent; <= 1 and the requests of 1 ms more
  p50, p99        latency in ms; p99 <= 40 at 1000 requests a second, 32 at a time

A row whose limit is above 0.8 of what the same clients get without one is not judged.
"""
import array
import os
import statistics
import sys
import time

import contenders
import lib
import workload
from lib import KIB, MIB

TITLE = "Limits"
WARM_SECONDS = 0.5
TIME_SECONDS = 4
WINDOW_SECONDS = 0.1
BURST_SECONDS = 0.001
UNLIMITED_SECONDS = 1
FREE_SHARE = 0.8
MOST_WINDOW = 1.03
MOST_P99_MS = 40
SIZE = 256 * MIB
COLUMNS = ("limit", "contender", "rate", "worst 100 ms", "first burst, requests", "p50, ms",
           "p99, ms", "misses")

# (direction, block, limit of, per second, clients)
CASES = (
    ("read", 4 * KIB, "bps", MIB, 1),
    ("read", 4 * KIB, "bps", 10 * MIB, 4),
    ("read", 64 * KIB, "bps", 100 * MIB, 4),
    ("read", MIB, "bps", MIB, 1),
    ("read", MIB, "bps", 100 * MIB, 2),
    ("write", 4 * KIB, "bps", 10 * MIB, 4),
    ("read", 4 * KIB, "iops", 100, 1),
    ("read", 4 * KIB, "iops", 1000, 1),
    ("read", 4 * KIB, "iops", 1000, 32),
    ("read", 4 * KIB, "iops", 10_000, 8),  # fewer, and none may be waiting while the CPUs are busy
)


class Disk:
    """As much of a SlowDisk as the contenders need, but fast."""

    def __init__(self, scratch):
        self.device = scratch.loop(SIZE)
        self.queue = f"/sys/block/{os.path.basename(self.device.source)}/queue/"

    def set(self, file, value):
        with open(self.queue + file, "w", encoding="ascii") as stream:
            stream.write(str(value))


def measure(scratch, arguments):
    disk = Disk(scratch)
    found = [contenders.Ours(scratch, disk)]
    try:
        found.append(contenders.Kernel(scratch, disk, "blk-throttle"))
    except lib.Skip as reason:
        print(f"without blk-throttle: {reason}", file=sys.stderr)
    return [row(contender, case, arguments.rounds) for case in CASES for contender in found]


def row(contender, case, rounds):
    direction, block, kind, per_second, clients = case
    limit = per_second / (block if kind == "bps" else 1)
    with contender as root:
        free = requests(root, contender.path, direction, block, clients, UNLIMITED_SECONDS)
        runs = []
        for number in range(rounds):
            group = root.group(f"limited{number}")
            group.limit(f"{direction}_{kind}", contender.disk.device, per_second)
            seconds = WARM_SECONDS + TIME_SECONDS
            done = requests(group, contender.path, direction, block, clients, seconds)
            runs.append(figures(*done, limit))
            group.limit(f"{direction}_{kind}", contender.disk.device, 0)
            contenders.remove_groups(group)
    unlimited = len(free[1]) / UNLIMITED_SECONDS
    result = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
    name = f"{per_second // MIB} MiB/s" if kind == "bps" else f"{per_second} iops"
    return {"case": f"{name}, {direction}s of {block // KIB} KiB, {clients} at a time",
            "contender": contender.name, "limit": limit, "unlimited": unlimited, "runs": runs,
            **result,
            "misses": misses(result, limit, clients) if limit <= FREE_SHARE * unlimited else None}


def requests(group, path, direction, block, clients, seconds):
    """(start, completions, latencies), in seconds of the monotonic clock, in their order."""
    start = time.monotonic() + 0.1 + 0.01 * clients
    jobs = [group.start(client, path, direction, block, number, clients, start, start + seconds)
            for number in range(clients)]
    done = []
    for job in jobs:
        ends, latencies = job.result(60)
        done += zip(ends, latencies)
    done.sort()
    return start, [end for end, _ in done], [latency for _, latency in done]


def client(path, direction, block, number, clients, start, end):
    os.nice(contenders.NICE)
    descriptor = workload.open_file(path)
    memory = workload.buffer(block)
    step = os.preadv if direction == "read" else os.pwritev
    part = SIZE // clients // block * block
    ends, latencies = array.array("d"), array.array("d")
    offset, first = 0, number * part
    time.sleep(max(0, start - time.monotonic()))
    now = time.monotonic()
    while now < end:
        step(descriptor, [memory], first + offset)
        offset = (offset + block) % part
        before, now = now, time.monotonic()
        ends.append(now)
        latencies.append(now - before)
    return ends, latencies


def figures(start, ends, latencies, limit):
    first = start + WARM_SECONDS
    inside = [index for index, end in enumerate(ends) if first <= end < first + TIME_SECONDS]
    times = [ends[index] for index in inside]
    waits = sorted(latencies[index] for index in inside)
    return {"completed": len(times), "rate": len(times) / (limit * TIME_SECONDS),
            "window": most_in_window(times), "burst": first_burst(ends, latencies, limit),
            "p50_ms": 1000 * waits[len(waits) // 2] if waits else 0,
            "p99_ms": 1000 * waits[len(waits) * 99 // 100] if waits else 0}


def most_in_window(times):
    most = oldest = 0
    for index, now in enumerate(times):
        while times[oldest] <= now - WINDOW_SECONDS:
            oldest += 1
        most = max(most, index - oldest + 1)
    return most


def first_burst(ends, latencies, limit):
    sent = min(end - latency for end, latency in zip(ends, latencies))
    early = [end for end in ends if end < sent + WINDOW_SECONDS]
    return max((index + 1 - limit * (end - sent) for index, end in enumerate(early)), default=0)


def misses(found, limit, clients):
    """What of the promises it does not keep."""
    result = []
    due, window = limit * TIME_SECONDS, limit * WINDOW_SECONDS
    if abs(found["completed"] - due) > 1 + due / 1000:
        result.append("rate")
    if window >= 100 and found["window"] > MOST_WINDOW * window + 1:
        result.append("worst 100 ms")
    if found["burst"] > 1 + limit * BURST_SECONDS:
        result.append("first burst")
    if clients == 32 and found["p99_ms"] > MOST_P99_MS:
        result.append("p99")
    return result


def print_table(title, found):
    contenders.print_rows(title, COLUMNS, [columns(row) for row in found])


def columns(row):
    window = row["window"] / (row["limit"] * WINDOW_SECONDS)
    verdict = "not judged" if row["misses"] is None else ", ".join(row["misses"])
    return [row["case"], row["contender"], f"{row['rate']:.4f}", f"{window:.2f}",
            f"{row['burst']:.1f}", f"{row['p50_ms']:.2f}", f"{row['p99_ms']:.2f}", verdict]
