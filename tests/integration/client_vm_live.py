# SPDX-License-Identifier: MIT
"""A virtual machine under tokens and bursts, under limits that change while it reads, and moved
from group to group; all seen from inside.

Tokens: 140 at once, then 20 every 200 ms: 7 times what comes back in a second, and as much as 100 a
second. A burst: 700 at once, then 100 a second: the 850th goes when the 849 before it, less 100 a
second, are not above 700, at 1.49 s.
"""
import time

import lib
import vm
from lib import KIB
from tool import Tool


def check_tokens(machine, tool, number):
    tool.run("tokens", "set", "machine", number, "tokens-max=140", "tokens-refill=20@200ms")
    [times] = machine.run(vm.io("read", "vda", 4 * KIB, 240))
    steps = [sum(moment < (step + 1) * 0.2 for moment in times) for step in range(5)]
    print(f"tokens: done by the end of each 200 ms: {steps}")
    # The periods count from the rule, which is a little older: at most one more has begun.
    for step, done in enumerate(steps):
        lib.check(done <= 140 + 20 * (step + 1), f"{done} in {step + 1} periods are too many")
        lib.check_in_time(done >= 140 + 20 * step, f"{done} in {step + 1} periods are too few")
    tool.run("tokens", "set", "machine", number, "tokens-max=0", "tokens-refill=0")


def check_burst(machine, tool, number):
    tool.run("throttle", "set", "machine", number, "iops=100", "iops_max=700")
    [times] = machine.run(vm.io("read", "vda", 4 * KIB, 850))
    print(f"burst: 700 requests in {times[699]:.3f} s")
    lib.check_in_time(times[699] < 1, "the burst takes as long as the limit would")
    lib.check_duration(times[849], 1.49, 0.02, "700 at once, and 150 at 100 a second")
    lib.check_rate(49 / (times[849] - times[800]), 100, 0.02, "after the burst, requests a second")


def check_change(machine, group, device):
    """100 a second for a second, 400 for another, then none."""
    group.limit("read_iops", device, 100)
    start = time.monotonic()
    machine.start(vm.io("read", "vda", 4 * KIB, 1000))
    changes = []
    for after, limit in ((1, 400), (2, 0)):
        time.sleep(max(0, start + after - time.monotonic()))
        group.limit("read_iops", device, limit)
        changes.append(time.monotonic() - start)
    [times] = machine.results()
    # The guest counts from a moment after `start`, by what the serial line takes.
    steps = ((0.1, changes[0] - 0.05, 100), (changes[0] + 0.05, changes[1] - 0.05, 400))
    for begin, end, limit in steps:
        count = sum(begin <= moment < end for moment in times)
        print(f"{limit} a second: {count}, expected {limit * (end - begin):.1f}")
        lib.check(count <= limit * (end - begin) * 1.03 + 2, "too many")
        lib.check_in_time(count >= limit * (end - begin) * 0.97 - 2, "too few")
    lib.check_in_time(times[-1] < changes[1] + 1, "without a limit the rest goes at once")


def check_move(machine, groups, device):
    """From 20 a second to 200: one may be waiting in the old group, the next is the new one's."""
    slow, fast = groups
    slow.limit("read_iops", device, 20)
    fast.limit("read_iops", device, 200)
    begin = slow.ios(device)
    start = time.monotonic()
    machine.start(vm.io("read", "vda", 4 * KIB, 100, parallel=1))
    time.sleep(0.5)
    fast.write("cgroup.procs", machine.process.pid)
    before, seconds = slow.ios(device) - begin, time.monotonic() - start
    [times] = machine.results()
    after = slow.ios(device) - begin
    print(f"moved after {before} requests: {after} in one group, {fast.ios(device)} in the other, "
          f"{times[-1]:.3f} s")
    lib.check(after == before and fast.ios(device) == 100 - after, "the next is the new group's")
    lib.check(before <= 20 * seconds + 2, "20 a second, and one that waits")
    lib.check_in_time(before >= 8, "20 a second for half a second")
    lib.check_duration(times[-1] - times[after], (99 - after) / 200, 0.05, "in the new group")


def test(scratch):
    device = scratch.image()
    blkio = scratch.blkio([device])
    group, other = blkio.group("machine"), blkio.group("other")
    tool = Tool(blkio.mount)
    machine = vm.Machine(scratch, group, [vm.Disk(device, "threads")])
    check_tokens(machine, tool, device.number)
    check_burst(machine, tool, device.number)
    tool.run("throttle", "set", "machine", device.number, "iops=0")
    check_change(machine, group, device)
    check_move(machine, (group, other), device)


lib.main(test, tries=3)
