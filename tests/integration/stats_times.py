# SPDX-License-Identifier: MIT
"""The statistics that speak of time and queues, of real requests. The clock is the machine's, so the
bounds are wide; that the sums are exact is shown in virtual time by the simulation.

    8 reads, one after the other, at 100/s: each of the last 7 waits for what is left of its 10 ms
    8 reads at once, at 100/s:              they wait 0, 10 .. 70 ms, together 280 ms
"""
import threading
import time

import lib
import workload
from lib import KIB

MS = 1_000_000  # ns
READS = 8


def at_once(path, count):
    """As many threads, one read each; how long until all have it."""
    threads = [threading.Thread(target=workload.seconds, args=(path, "read", 4 * KIB, 1))
               for _ in range(count)]
    start = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.monotonic() - start


def total(group, file, device):
    return group.count(f"blkio.{file}", device, "Total")


def number(group, file, device):
    """Of a file with one row per device; the same under both its names."""
    rows = dict(line.split() for line in group.read(f"blkio.{file}").splitlines())
    lib.check(group.read(f"blkio.bfq.{file}") == group.read(f"blkio.{file}"), f"two names of {file}")
    return int(rows[device.number])


def check_between(low, value, high, what):
    print(f"{what}: {value}, expected {low} .. {high}", flush=True)
    lib.check(low <= value <= high, f"{what} is {value}, not within {low} .. {high}")


def one_after_the_other(blkio, device):
    group = blkio.group("sequence")
    group.limit("read_iops", device, 100)
    wall_ns = int(group.call(workload.seconds, device.path, "read", 4 * KIB, READS) * 1e9)
    waited, served = (total(group, f"io_{what}_time", device) for what in ("wait", "service"))
    check_between(35 * MS, waited, wall_ns, "io_wait_time, ns")
    check_between(1, served, wall_ns - waited, "io_service_time, ns")
    # One request at a time: the group waits whenever its request does, and has the device alone.
    check_between(waited, number(group, "group_wait_time", device), waited, "group_wait_time, ns")
    check_between(served // MS, number(group, "time", device), served // MS, "time, ms")
    check_between(1, number(group, "avg_queue_size", device), 1, "avg_queue_size")
    check_between(0, number(group, "empty_time", device), wall_ns - waited - served, "empty_time, ns")
    check_between(READS, number(group, "dequeue", device), READS, "dequeue")
    return group


def all_at_once(blkio, device):
    group = blkio.group("crowd")
    group.limit("read_iops", device, 100)
    wall_ns = int(group.call(at_once, device.path, READS) * 1e9)
    waited = total(group, "io_wait_time", device)
    check_between(140 * MS, waited, READS * wall_ns, "io_wait_time of 8 at once, ns")
    check_between(0, number(group, "time", device), wall_ns // MS, "time, ms")
    check_between(2, number(group, "avg_queue_size", device), READS, "avg_queue_size")
    return group


def queue_length(group, device):
    """io_queued counts who waits, and forgets who was served."""
    group.limit("read_iops", device, 10)
    job = group.start(at_once, device.path, 4)
    lib.eventually(lambda: total(group, "io_queued", device) >= 2, 5, "some are queued")
    job.result(60)
    lib.check(total(group, "io_queued", device) == 0, "nobody is queued any more")


def test(scratch):
    device = scratch.loop()
    blkio = scratch.blkio([device])
    sequence, crowd = one_after_the_other(blkio, device), all_at_once(blkio, device)
    for group in (sequence, crowd):
        lib.check(number(group, "sectors", device) == READS * 4 * KIB // 512, "sectors")
        lib.check(total(group, "io_queued", device) == 0, "the queue is empty")
        lib.check(total(group, "io_merged", device) == 0, "nothing is merged")
        lib.check(number(group, "idle_time", device) == 0, "no idling")
    lib.check(number(blkio, "sectors_recursive", device) == 2 * READS * 8, "sectors of both")
    lib.check(number(blkio, "time", device) == 0, "the root did nothing itself")

    # Empty for 0.2 s at least, between its first requests and these.
    time.sleep(0.2)
    queue_length(sequence, device)
    check_between(200 * MS, number(sequence, "empty_time", device), 60_000 * MS, "empty_time, ns")
    sequence.write("blkio.reset_stats", 1)
    lib.check(total(sequence, "io_wait_time", device) == 0, "reset")
    lib.check(number(sequence, "empty_time", device) == 0, "reset")


lib.main(test)
