# SPDX-License-Identifier: MIT
"""Limits as QEMU has them: blkio beside qemu-storage-daemon's FUSE export with its own throttle
group, on one loop device. Each is started anew, and so idle, for each run; `--qemu-strict` is blkio
with QEMU's bucket of a tenth of a second.

  rate             requests completed / those of the limit, over 4 s after the first half second
  worst 100 ms     most requests in any 100 ms / those of the limit, from idle and after that half
                   second

A burst is seven times the limit with a length of 2 s: the bucket is full after 14 / 6 = 2.33 s. Its
rate is taken from 0.5 to 2 s and that of the limit from 3 to 5 s. The worst 100 ms are over the
limit's here, too: 7 for the burst, and as much again for what may go at once when it begins.
"""
import statistics

import contenders
import disks
import lib
import limits
import peers
from lib import KIB, MIB

TITLE = "Limits as QEMU has them"
CLIENTS = 4
TIMES, LENGTH = 7, 2
RATE_WINDOW = (0.5, 4.5)
BURST_WINDOW, BASE_WINDOW = (0.5, 2), (3, 5)
COLUMNS = ("limit", "contender", "rate", "worst 100 ms from idle", "later", "rate of the burst")

# (unit, per second, a burst too), in requests of 4 KiB
CASES = (("bps", MIB, False), ("bps", 10 * MIB, False), ("iops", 100, False), ("iops", 1000, False),
         ("bps", MIB, True), ("iops", 100, True))


class Blkio(peers.Blkio):
    name = "blkio"
    flags = ()

    def __init__(self, scratch, disk, words):
        super().__init__(scratch, disk)
        self._words = [f"{unit}{what}={number}" for unit, what, number in words]

    def control(self):
        self.groups = [self._daemon.group("limited")]
        self._daemon.ctl("throttle", "set", "limited", self.disk.device.number, *self._words,
                         *self.flags)


class Strict(Blkio):
    name = "blkio, --qemu-strict"
    flags = ("--qemu-strict",)


class Qemu(peers.Qemu):
    def __init__(self, scratch, disk, words):
        super().__init__(scratch, disk)
        self.limits = ",".join(f"x-{unit}-total{what.replace('_', '-')}={number}"
                               for unit, what, number in words)


class Outside:
    """Where who has no groups starts its clients."""

    start = lib.Job


def words_of(unit, per_second, burst):
    words = [(unit, "", per_second)]
    if burst:
        words += [(unit, "_max", TIMES * per_second), (unit, "_max_length", LENGTH)]
    return words


def measure(scratch, arguments):
    rows = []
    with disks.disk(scratch, "loop") as disk:
        for case in CASES:
            runs = {Peer.name: [] for Peer in (Blkio, Strict, Qemu)}
            for _ in range(arguments.rounds):
                for Peer in (Blkio, Strict, Qemu):
                    with Peer(scratch, disk, words_of(*case)) as peer:
                        runs[peer.name].append(run(peer, *case))
            rows += [row(case, name, found) for name, found in runs.items()]
    return rows


def run(peer, unit, per_second, burst):
    limit = per_second / (4 * KIB if unit == "bps" else 1)
    window = BASE_WINDOW if burst else RATE_WINDOW
    group = peer.groups[0] if peer.groups else Outside
    start, ends, _ = limits.requests(group, peer.path, "read", 4 * KIB, CLIENTS, window[1] + 0.1)
    ends = [end - start for end in ends]
    found = {"rate": rate(ends, window) / limit,
             "idle": limits.most_in_window(ends) / (limit * limits.WINDOW_SECONDS),
             "later": limits.most_in_window(inside(ends, window)) / (limit * limits.WINDOW_SECONDS)}
    if burst:
        found["burst"] = rate(ends, BURST_WINDOW) / (TIMES * limit)
    return found


def inside(ends, window):
    return [end for end in ends if window[0] <= end < window[1]]


def rate(ends, window):
    return len(inside(ends, window)) / (window[1] - window[0])


def row(case, name, runs):
    unit, per_second, burst = case
    case = f"{per_second // MIB} MiB/s" if unit == "bps" else f"{per_second} iops"
    if burst:
        case += f", {TIMES} times for {LENGTH} s"
    return {"case": case, "contender": name, "runs": runs,
            **{key: statistics.median(one[key] for one in runs) for key in runs[0]}}


def print_table(title, rows):
    contenders.print_rows(title, COLUMNS, [columns(row) for row in rows])


def columns(row):
    return [row["case"], row["contender"], f"{row['rate']:.4f}", f"{row['idle']:.2f}",
            f"{row['later']:.2f}", f"{row['burst']:.4f}" if "burst" in row else ""]
