# SPDX-License-Identifier: MIT
"""blkio.throttle.stat tells which limit holds whom, and poll(2) on it returns when that begins and
when it ends.

Ten reads of 4 KiB at 20 a second: nine are held for 50 ms each, 0.45 s. Behind them nobody is held.
"""
import os
import re
import select

import lib
import workload
from lib import KIB


class Watch:
    """An open blkio.throttle.stat that has been read."""

    def __init__(self, group):
        self._descriptor = os.open(os.path.join(group.path, "blkio.throttle.stat"), os.O_RDONLY)
        self._poll = select.poll()
        self._poll.register(self._descriptor, select.POLLPRI)

    def read(self):
        return os.pread(self._descriptor, 4096, 0).decode()

    def news(self, seconds):
        """Whether some came in time."""
        return any(events & select.POLLPRI for _, events in self._poll.poll(seconds * 1000))

    def next(self, what):
        lib.check(self.news(5), f"no news: {what}")
        text = self.read()
        print(f"{what}: {text.strip()}", flush=True)
        return text


def numbers(text, limit):
    """(delayed, held_ns, binding)"""
    row = re.search(rf" {limit} delayed=(\d+) held_ns=(\d+) binding=(\d+)$", text, re.MULTILINE)
    lib.check(row, f"a row for {limit} in {text!r}")
    return [int(number) for number in row.groups()]


def test(scratch):
    device = scratch.image()
    group = scratch.blkio([device]).group("a")
    watch = Watch(group)
    lib.check(watch.news(0), "a file that was never read has news")
    lib.check(watch.read() == "", "no limits, no rows")
    group.limit("read_iops", device, 20)
    group.limit("read_bps", device, 1 << 40)
    text = watch.read()
    lib.check(numbers(text, "read_iops") == numbers(text, "read_bps") == [0, 0, 0], text)
    lib.check(not watch.news(0.05), "nothing happens")

    job = group.start(workload.seconds, device.path, "read", 4 * KIB, 10)
    first = watch.next("somebody is held")
    changes = 1
    while numbers(first, "read_iops")[2] == 0:  # between two requests; the next one is held too
        first = watch.next("somebody is held")
        changes += 1
    job.result(10)
    while watch.news(0.2):
        last = watch.read()
        changes += 1
    print(f"news: {changes}")
    lib.check(changes >= 2, "the end is news too")
    delayed, held_ns, binding = numbers(last, "read_iops")
    lib.check(binding == 0, "nobody is held any more")
    lib.check(delayed == 9, f"{delayed} of ten reads were delayed")
    lib.check_duration(held_ns / 1e9, 9 * 0.05, 0.1, "time held by read_iops")
    lib.check(numbers(last, "read_bps") == [0, 0, 0], "the other limit held nobody")

    group.limit("read_iops", device, 0)
    group.limit("read_bps", device, 0)
    lib.check(watch.read() == "", "no limits, no rows")


lib.main(test, tries=3)
