# SPDX-License-Identifier: MIT
"""What the tables of shares and limits measure, blkio's hierarchy and the kernel's own on one loop
device; the load they put on it; and what they make of the counts."""
import os
import statistics
import subprocess
import time

import lib
from groups import Group
from slow_disk import RANGE

KERNEL = "/sys/fs/cgroup/blkio"
# Of the clients: one that waits for a CPU wants nothing from the device, and others have its share.
NICE = -15


class Ours:
    name = "blkio"

    def __init__(self, scratch, disk, *options, name="blkio"):
        self.disk = disk
        self.daemon = scratch.blkio([disk.device], *options, name=name)
        self.root = self.daemon.group("bench")
        self.path = disk.device.path
        self.worker = self.daemon.worker()

    def __enter__(self):
        self.disk.set("scheduler", "none")
        return self.root

    def __exit__(self, *_):
        pass


class Kernel:
    """The kernel's controller; its scheduler is on the device only inside the `with`."""

    def __init__(self, scratch, disk, name="kernel", scheduler="none", **tunables):
        if not os.path.exists(KERNEL + "/blkio.throttle.io_serviced"):
            raise lib.Skip("the kernel's blkio controller is not mounted at " + KERNEL)
        self.name = name
        self.disk = disk
        self.scheduler = scheduler
        self.tunables = tunables
        self.path = disk.device.source
        self.top = kernel_top(scratch)

    def __enter__(self):
        self.disk.set("scheduler", self.scheduler)
        for name, value in self.tunables.items():
            self.disk.set("iosched/" + name, value)
        os.mkdir(self.top)
        return Group(self.top)

    def __exit__(self, *_):
        remove_groups(Group(self.top))
        self.disk.set("scheduler", "none")


def kernel_top(scratch):
    """The one group of the kernel's hierarchy below which a run makes its own."""
    return f"{KERNEL}/{os.path.basename(scratch.directory)}"


def weighted(parent, weights):
    """A group for each weight."""
    groups = []
    for number, weight in enumerate(weights):
        groups.append(parent.group(f"g{number}"))
        groups[-1].write("blkio.bfq.weight", weight)
    return groups


def remove_groups(*groups):
    for group in groups:
        for directory, _, _ in os.walk(group.path, topdown=False):
            lib.eventually(lambda path=directory: removed(path), 10, f"{directory} removed")


def removed(directory):
    try:
        os.rmdir(directory)
    except OSError:
        return False
    return True


class Load:
    """fio in a group, on the group's own range of the device; until stop_all()."""

    def __init__(self, group, path, number, rw="randread", block="4k", depth=1, *options):
        command = ["nice", "-n", str(NICE), "fio", "--name=load", f"--filename={path}",
                   "--allow_file_create=0", "--direct=1", "--thread", "--ioengine=libaio",
                   f"--rw={rw}", f"--bs={block}", f"--iodepth={depth}",
                   f"--offset={number * RANGE}", f"--size={RANGE}", "--time_based",
                   "--runtime=1000", "--norandommap", "--randrepeat=0", "--gtod_reduce=1", *options]
        self.process = group.popen(*command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def stop_all(loads):
    for load in loads:
        load.process.kill()
    for load in loads:
        load.process.wait()


def windows(sample, number, seconds):
    """By how much the counts of `sample` grow per second, in `number` windows in a row."""
    rates = []
    before, since = sample(), time.monotonic()
    for _ in range(number):
        time.sleep(max(0, since + seconds - time.monotonic()))
        counts, now = sample(), time.monotonic()
        rates.append([(new - old) / (now - since) for old, new in zip(before, counts)])
        before, since = counts, now
    return rates


def shares(counts):
    total = sum(counts) or 1
    return [count / total for count in counts]


def medians(lists):
    return [statistics.median(column) for column in zip(*lists)]


def worst_points(found, ideal):
    return max(abs(share - wanted) * 100 for share, wanted in zip(found, ideal))


def judged(case, what, weights, rates, most_points):
    """A row of shares: medians over windows of rates."""
    found, ideal = medians(map(shares, rates)), shares(weights)
    points = worst_points(found, ideal)
    return {"case": case, "of": what, "total": statistics.median(map(sum, rates)), "shares": found,
            "ideal": ideal, "points": points, "met": points <= most_points, "windows": rates}


def percents(values):
    return " ".join(f"{100 * value:.2f}" for value in values)


def print_rows(title, columns, rows):
    """As Markdown."""
    print(f"\n### {title}\n")
    for words in (columns, ["---"] * len(columns), *rows):
        print("| " + " | ".join(words) + " |")


def print_shares(title, rows):
    columns = ("case", "shares of", "%, should be", "%, are", "points off", "total, MiB/s", "")
    print_rows(title, columns, [share_columns(row) for row in rows])


def share_columns(row):
    limit = f", {row['of_limit']:.4f} of the limit" if "of_limit" in row else ""
    return [row["case"], row["of"], percents(row["ideal"]), percents(row["shares"]),
            f"{row['points']:.2f}", f"{row['total'] / lib.MIB:.2f}{limit}",
            "" if row["met"] else "misses"]
