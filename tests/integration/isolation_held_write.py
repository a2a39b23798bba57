# SPDX-License-Identifier: MIT
"""A write held for 3 s delays nobody else's writes to the same device.

The kernel serialises the writes of one inode, and a flush or a hole punch takes the same lock; each
open has an inode of its own here, so a stranger's write stays within 10 ms meanwhile.
"""
import os
import time

import lib
import workload
from lib import KIB, MIB


def hold(path):
    """12 KiB at 4 KiB/s go at once and leave a debt of 3 s: the second write waits for it."""
    descriptor = workload.open_file(path)
    os.pwritev(descriptor, [workload.buffer(12 * KIB)], 0)
    os.pwritev(descriptor, [workload.buffer(4 * KIB)], 12 * KIB)
    return time.monotonic()


def flush_and_punch(path):
    descriptor = workload.open_file(path)
    os.fsync(descriptor)
    workload.fallocate(descriptor, workload.PUNCH | workload.KEEP_SIZE, MIB, 64 * KIB)
    os.close(descriptor)


def test(scratch):
    device = scratch.loop()
    blkio = scratch.blkio([device])
    slow, free = blkio.group("slow"), blkio.group("free")
    slow.limit("write_bps", device, 4 * KIB)
    start = time.monotonic()
    held = slow.start(hold, device.path)
    time.sleep(0.2)
    lib.check(held.running(), "the second write is held")

    worst = []
    for _ in range(8):  # the machine's own hiccups must not hit all of the rounds
        stranger = lib.Job(flush_and_punch, device.path)
        latency = free.call(workload.worst_latency, device.path, "write", 4 * KIB, 20)
        stranger.result(2)
        worst.append(latency)
    lib.check(held.running(), "the write was held all the time")
    print("worst write latencies in ms:", " ".join(f"{1000 * value:.2f}" for value in worst))
    lib.check_in_time(min(worst) <= 0.010, f"a held write delays others by {min(worst):.3f} s")
    lib.check_duration(held.result() - start, 3.0, 0.05, "the held write")


lib.main(test, tries=3)
