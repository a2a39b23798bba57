# SPDX-License-Identifier: MIT
"""limits_changed_often.py SECONDS: the limits of two groups are changed 100 times a second.

In one, fio writes and reads back what it wrote, 32 requests at a time: no error, and it has moved
what the limits allowed, the sum of each times how long it stood, within 2 %.

In the other, one request is made after the other. It finds at most the one before it to be paid
for; so none waits longer than that costs under the limit that was last written before it went, and
5 ms. A request that is later because the machine was busy is not the daemon's fault: one in a
hundred may be.
"""
import bisect
import os
import random
import sys
import time

import lib
import workload
from lib import KIB, MIB

BLOCK = 16 * KIB
PERIOD_SECONDS = 0.01
SLACK_SECONDS = 0.005
SIZE = 64 * MIB


def requests_until(path, end):
    """(sent, done) of each."""
    descriptor = workload.open_file(path)
    memory = workload.buffer(BLOCK)
    found = []
    while not found or found[-1][1] < end:
        sent = time.monotonic()
        os.preadv(descriptor, [memory], len(found) % 1024 * BLOCK)
        found.append((sent, time.monotonic()))
    return found


def change_until(end, groups, device, dice):
    """(moment, limit) of each change of both groups' limit."""
    changes = []
    due = time.monotonic()
    while not changes or due < end:
        limit = dice.randint(2 * MIB, 16 * MIB)
        for group in groups:
            group.limit("total_bps", device, limit)
        changes.append((time.monotonic(), limit))
        due += PERIOD_SECONDS
        time.sleep(max(0, due - time.monotonic()))
    return changes


def check_waits(requests, changes):
    """A wait is counted from the last change, if that came while the request waited."""
    moments = [moment for moment, _ in changes]
    excess = []
    for sent, done in requests:
        moment, limit = changes[bisect.bisect(moments, done) - 1]
        excess.append(done - max(sent, moment) - BLOCK / limit)
    late = sum(seconds > SLACK_SECONDS for seconds in excess)
    print(f"{len(excess)} requests, {late} of them later than {1000 * SLACK_SECONDS:.0f} ms; the "
          f"worst {1000 * max(excess):.1f} ms")
    lib.check_in_time(late <= len(excess) / 100, "requests wait longer than their limit makes them")


def check_throughput(samples, changes):
    """What was moved between two samples, and what the limits allowed meanwhile."""
    (begin, before), (end, after) = samples
    steps = [(begin, changes[bisect.bisect([m for m, _ in changes], begin) - 1][1])]
    steps += [change for change in changes if begin < change[0] < end] + [(end, 0)]
    allowed = sum(limit * (later - moment) for (moment, limit), (later, _) in zip(steps, steps[1:]))
    lib.check_rate((after - before) / MIB, allowed / MIB, 0.02, "MiB moved beside fio's checks")


def sample(group, device):
    return time.monotonic(), group.count("blkio.io_service_bytes", device, "Total")


def test(scratch):
    seconds = float(sys.argv[1])
    device = scratch.image(SIZE)
    blkio = scratch.blkio([device])
    checked, probed = groups = [blkio.group("checked"), blkio.group("probed")]
    dice = random.Random(1)
    changes = change_until(0, groups, device, dice)
    fio = checked.fio_process(
        device, "--rw=randwrite", f"--bs={BLOCK}", "--ioengine=libaio", "--iodepth=32",
        f"--size={SIZE}", "--verify=crc32c", "--verify_fatal=1", "--verify_backlog=64",
        "--randseed=1", "--time_based", f"--runtime={seconds + 1:.0f}")
    lib.eventually(lambda: checked.ios(device) > 64, 10, "fio has begun")
    end = time.monotonic() + seconds - 0.5
    job = probed.start(requests_until, device.path, end)
    samples = [sample(checked, device)]
    changes += change_until(end, groups, device, dice)
    samples.append(sample(checked, device))
    for group in groups:
        group.limit("total_bps", device, 0)
    output = fio.communicate(timeout=60)[0]
    lib.check(fio.returncode == 0, f"fio exited with {fio.returncode}: {output[:2000]}")
    print(f"{len(changes)} changes in {seconds:g} s")
    lib.check_in_time(len(changes) > 90 * (seconds - 0.5), "the limits changed less often")
    check_throughput(samples, changes)
    check_waits(job.result(10), changes)


lib.main(test, tries=4)
