# SPDX-License-Identifier: MIT
"""A burst: so much above a limit for so long, then the limit; and again after a rest.

100 ios a second, and 500 for 2 s: the bucket holds 500 * 2 = 1000 and loses 100 a second, so request
n goes when n - 100 t is not above 1000: the 1300th at 3.0 s. Inside the burst a second bucket holds a
tenth of a second's worth, 50, and loses 500 a second: the 600th goes at (600 - 50) / 500 = 1.1 s.
"""
import lib
import workload
from lib import KIB
from tool import Tool


def test(scratch):
    device = scratch.image()
    blkio = scratch.blkio([device])
    group = blkio.group("a")
    Tool(blkio.mount).run("throttle", "set", "a", device.number, "iops=100", "iops_max=500",
                          "iops_max_length=2")
    start, times = group.call(workload.completions, device.path, "read", 4 * KIB, 1300)
    lib.check_duration(times[599] - start, 1.1, 0.05, "600 reads in the burst")
    lib.check_duration(times[1299] - start, 3.0, 0.03, "1300 reads, the last at the limit")


lib.main(test, tries=3)
