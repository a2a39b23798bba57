# SPDX-License-Identifier: MIT
"""Tokens, by tool and by file: one for each request, however large; so many at once, then so many in
each period, counted from the write of the rule.

20 tokens, and 10 back every 100 ms: of 60 reads 20 go at once and 10 at each 100 ms, the last ten at
400 ms. Ten of them are of 4 KiB, the others of 64 KiB.
"""
import time

import lib
import workload
from lib import KIB
from tool import Tool


def reads(path):
    """When they completed, since the first was sent."""
    start, times = workload.completions(path, "read", 4 * KIB, 10)
    _, more = workload.completions(path, "read", 64 * KIB, 50)
    return [moment - start for moment in times + more]


def check_pace(times):
    steps = [sum(moment < (step + 1) * 0.1 for moment in times) for step in range(5)]
    print(f"done by the end of each 100 ms: {steps}")
    # The periods count from the rule, which is a little older than the first read: at most one
    # more has begun.
    for step, done in enumerate(steps):
        lib.check(done <= 20 + 10 * (step + 1), f"{done} in {step + 1} periods are too many")
        lib.check_in_time(done >= 20 + 10 * step, f"{done} in {step + 1} periods are too few")


def test(scratch):
    device = scratch.image()
    blkio = scratch.blkio([device])
    group = blkio.group("a")
    tool = Tool(blkio.mount)
    number = device.number

    tool.run("tokens", "set", "a", number, "tokens-max=20", "tokens-refill=10@100ms")
    check_pace(group.call(reads, device.path))
    lib.check(group.read("blkio.tokens.max_device") == f"{number} 20\n", "the file of the maximum")
    lib.check(group.read("blkio.tokens.refill_device") == f"{number} 10@100ms\n", "of the refill")
    status = group.read("blkio.tokens.status")
    lib.check(status.startswith(f"{number} io_count=60 io_rate="), status)
    lib.check(status.endswith(" token_refill=10 token_max=20\n"), status)
    lib.check(tool.words("tokens", "get", "a", number)["io_count"] == "60", "the tool tells the same")

    tool.run("tokens", "set", "a", number, "credit=5000/s@50ms")
    lib.check(group.read("blkio.tokens.max_device") == f"{number} 250\n", "a bucket of 50 ms")
    lib.check(group.read("blkio.tokens.refill_device") == f"{number} 5000/s@50ms\n", "xend's form")
    tool.refused("credit=5000/s: should be", "tokens", "set", "a", number, "credit=5000/s")
    group.write("blkio.tokens.refill_device", f"{number} 0")
    lib.check(group.read("blkio.tokens.status") == "", "one alone does not bind")
    begin = time.monotonic()
    group.call(workload.seconds, device.path, "read", 4 * KIB, 500)
    lib.check_in_time(time.monotonic() - begin < 2, "nobody is held")
    tool.run("tokens", "set", "a", number, "tokens-max=0")
    shown = tool.json("tokens", "get", "a", number)
    lib.check(shown == {"tokens-max": 0, "tokens-refill": "0"}, f"{shown}")


lib.main(test, tries=3)
