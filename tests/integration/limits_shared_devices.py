# SPDX-License-Identifier: MIT
"""blkio.throttle.shared_device: two devices have one limit together, as two drives in a throttle group
of QEMU: the limit within 2 %, half of it each within 10 %; one alone has all of it.

A rule written for either is that of both, before a restart and after it; a device that is removed
leaves the other its rules.
"""
import time

import lib
from lib import KIB
from six_limits import Limit, between, samples_at
from tool import Tool

RATE = 400
WARM, SECONDS = 0.5, 2


def check_near(count, expected, part, what):
    """One request more or less is what either end of the window may cut."""
    lib.check_in_time(abs(count - expected) <= expected * part + 1, f"{what}: {count} of {expected}")


def counts_between(start, limits, group):
    """Of each device, and how many the limit should have let pass."""
    before = samples_at(start, limits, [group])
    after = samples_at(start + SECONDS, limits, [group])
    pairs = [between(*samples) for samples in zip(before, after)]
    counts = [count for _, (count,) in pairs]
    print(counts, flush=True)
    return counts, RATE * pairs[0][0]


def run(group, limits):
    start = time.monotonic()
    middle = start + WARM + SECONDS
    jobs = limits[0].start(group, middle + 0.1) + limits[1].start(group, middle + 1 + SECONDS)
    counts, expected = counts_between(start + WARM, limits, group)
    check_near(sum(counts), expected, 0.02, "together")
    for count in counts:
        check_near(count, expected / 2, 0.1, "half")
    counts, expected = counts_between(middle + 0.5, limits, group)
    lib.check(counts[0] == 0, "the first has stopped")
    check_near(counts[1], expected, 0.02, "alone")
    for job in jobs:
        job.result(10)


def check_rules(group, first, second):
    def both(value):
        return f"{second.number} {value}\n{first.number} {value}\n"

    def rule():
        return group.read("blkio.throttle.read_iops_device")

    lib.check(sorted(rule().split()) == sorted(both(RATE).split()), rule())
    group.limit("read_iops", second, 2 * RATE)
    lib.check(sorted(rule().split()) == sorted(both(2 * RATE).split()), rule())
    lib.check_errno("EINVAL", group.write, "blkio.throttle.shared_device",
                    f"{first.number} {first.number}")
    lib.check_errno("ENODEV", group.write, "blkio.throttle.shared_device",
                    f"{first.number} 250:250")


def test(scratch):
    first, second = scratch.null(), scratch.null()
    blkio = scratch.blkio([first, second], f"state={scratch.path('state')}")
    tool = Tool(blkio.mount)
    group = blkio.group("vm")
    limits = [Limit(device, "read_iops", 4 * KIB) for device in (first, second)]
    limits[0].set(group, RATE)
    group.write("blkio.throttle.shared_device", f"{second.number} {first.number}")
    lib.patiently(run, group, limits)

    check_rules(group, first, second)
    blkio.kill()
    blkio.start_daemon()
    shown = f"{second.number} {first.number}\n"
    lib.check(group.read("blkio.throttle.shared_device") == shown, "they are together again")
    tool.run("throttle", "set", "vm", second.number, f"iops_rd={RATE}")
    lib.patiently(run, group, limits)
    lib.check(tool.words("throttle", "get", "vm", second.number)["shared"] == first.number, "get")
    tool.refused("no such device", "throttle", "set", "vm", second.number, "shared=250:250")

    blkio.ctl("device", "remove", first.number)
    lib.check(group.read("blkio.throttle.shared_device") == "", "one alone shares nothing")
    lib.check(group.read("blkio.throttle.read_iops_device") == f"{second.number} {RATE}\n",
              "and keeps the rule")


lib.main(test)
