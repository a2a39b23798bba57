# SPDX-License-Identifier: MIT
"""Both rules set: the tighter one binds, whichever it is, and the other is not felt."""
import lib
import workload
from lib import KIB, MIB


def test(scratch):
    device = scratch.loop()
    blkio = scratch.blkio([device])

    # 1 MiB/s is 256 reads of 4 KiB per second; 100 per second is less: 200 reads take 2 s.
    ios = blkio.group("ios-bind")
    ios.limit("read_bps", device, MIB)
    ios.limit("read_iops", device, 100)
    seconds = ios.call(workload.seconds, device.path, "read", 4 * KIB, 200)
    lib.check_duration(seconds, 2.0, 0.02, "200 reads of 4 KiB")

    # 100 reads of 64 KiB would be 6.25 MiB/s; 1 MiB/s is less: 32 reads are 2 MiB and take 2 s, the
    # last goes at 31 * 62.5 ms = 1.94 s, so the expected figure is that.
    bytes_ = blkio.group("bytes-bind")
    bytes_.limit("read_bps", device, MIB)
    bytes_.limit("read_iops", device, 100)
    seconds = bytes_.call(workload.seconds, device.path, "read", 64 * KIB, 32)
    lib.check_duration(seconds, 31 / 16, 0.02, "32 reads of 64 KiB")


lib.main(test, tries=3)
