# SPDX-License-Identifier: MIT
"""Requests larger than any burst at 1 MiB/s: 1 MiB each second, 256 KiB four times a second.

A limiter that wants the whole cost beforehand never lets them go; one that sums up slices lets them
go in clumps. Here every gap between two completions is the request's own time at the limit.
"""
import lib
import workload
from lib import KIB, MIB


def gaps(group, device, block, count):
    _, times = group.call(workload.completions, device.path, "read", block, count)
    return [later - earlier for earlier, later in zip(times, times[1:])]


def test(scratch):
    device = scratch.loop()
    group = scratch.blkio([device]).group("limited")
    group.limit("read_bps", device, MIB)
    for block, count in ((MIB, 4), (256 * KIB, 9)):
        # The first of a run may owe the rest of the run before it: only the gaps are judged. One of
        # them may suffer from a busy machine, their mean may not.
        found = gaps(group, device, block, count)
        mean = sum(found) / len(found)
        print("gaps in seconds:", " ".join(f"{gap:.4f}" for gap in found))
        lib.check_duration(mean, block / MIB, 0.02, f"mean gap of {block >> 10} KiB reads")
        lib.check_in_time(max(abs(gap - mean) for gap in found) < 0.04, "no gap stands out")


lib.main(test, tries=3)
