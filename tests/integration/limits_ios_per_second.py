# SPDX-License-Identifier: MIT
"""400 reads at 100 reads per second: the last goes at 399 / 100 = 3.99 s."""
import lib
import workload
from lib import KIB


def test(scratch):
    device = scratch.loop()
    group = scratch.blkio([device]).group("limited")
    group.limit("read_iops", device, 100)
    seconds = group.call(workload.seconds, device.path, "read", 4 * KIB, 400)
    lib.check_duration(seconds, 4.0, 0.02, "400 reads")


lib.main(test, tries=3)
