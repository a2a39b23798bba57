# SPDX-License-Identifier: MIT
"""Known I/O, exact numbers, own and recursive:

    outer   5 reads of 4 KiB
      inner   3 writes of 8 KiB, 2 fsyncs, 1 discard of 64 KiB

A flush is one write io of no bytes to the throttle, and nothing to the scheduler's counters, as in
the kernel, where flushes do not pass through the scheduler.
"""
import os

import lib
import workload
from lib import KIB, MIB


def inner_io(path):
    workload.seconds(path, "write", 8 * KIB, 3)
    descriptor = os.open(path, os.O_RDWR)
    os.fsync(descriptor)
    os.fsync(descriptor)
    workload.fallocate(descriptor, workload.PUNCH | workload.KEEP_SIZE, MIB, 64 * KIB)
    os.close(descriptor)


def rows(group, file, device):
    names = ("Read", "Write", "Sync", "Async", "Discard", "Total")
    return [group.count(file, device, name) for name in names]


def test(scratch):
    device = scratch.loop()
    blkio = scratch.blkio([device])
    outer = blkio.group("outer")
    inner = outer.group("inner")
    lib.check(inner.read("blkio.throttle.io_serviced") == "Total 0\n", "a new group is one line")
    outer.call(workload.seconds, device.path, "read", 4 * KIB, 5)
    inner.call(inner_io, device.path)

    #                                           Read   Write  Sync   Async Discard Total
    expected = {
        (outer, "throttle.io_serviced"):           [5, 0, 5, 0, 0, 5],
        (inner, "throttle.io_serviced"):           [0, 5, 6, 0, 1, 6],
        (outer, "throttle.io_serviced_recursive"): [5, 5, 11, 0, 1, 11],
        (blkio, "throttle.io_serviced_recursive"): [5, 5, 11, 0, 1, 11],
        (blkio, "throttle.io_serviced"):           [0, 0, 0, 0, 0, 0],
        (outer, "bfq.io_serviced"):                [5, 0, 5, 0, 0, 5],
        (inner, "bfq.io_serviced"):                [0, 3, 4, 0, 1, 4],
        (outer, "bfq.io_serviced_recursive"):      [5, 3, 9, 0, 1, 9],
    }
    for family in ("throttle", "bfq"):
        expected |= {
            (outer, f"{family}.io_service_bytes"): [20480, 0, 20480, 0, 0, 20480],
            (inner, f"{family}.io_service_bytes"): [0, 24576, 90112, 0, 65536, 90112],
            (outer, f"{family}.io_service_bytes_recursive"): [20480, 24576, 110592, 0, 65536, 110592],
        }
    for (group, file), numbers in expected.items():
        found = rows(group, f"blkio.{file}", device)
        lib.check(found == numbers, f"{group.path}/blkio.{file}: {found}, not {numbers}")
        last = group.read(f"blkio.{file}").splitlines()[-1]
        lib.check(last == f"Total {numbers[-1]}", f"{file} ends with {last!r}")


lib.main(test)
