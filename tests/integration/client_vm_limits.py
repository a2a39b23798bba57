# SPDX-License-Identifier: MIT
"""client_vm_limits.py AIO: limits of a virtual machine's disks, measured inside of it.

Two disks, read at the same time from idle: 1 MiB/s in requests of 4 KiB, 256 a second, and 100
requests a second. After 4 s 1024 and 400 are through; the first goes at once, the others 1 / rate
apart. In no 100 ms are there more than 1.2 times the limit's, of 100 a second: 12.
"""
import sys

import lib
import vm
from lib import KIB, MIB

SECONDS = 4
MOST_IN_WINDOW = 1.2


def most_in_100_ms(times):
    return max(sum(first <= moment < first + 0.1 for moment in times) for first in times)


def check_even(times, per_second, what):
    lib.check_rate((len(times) - 1) / (times[-1] - times[0]), per_second, 0.005, what)
    worst = most_in_100_ms(times) / (per_second / 10)
    print(f"{what}: worst 100 ms {worst:.2f}")
    lib.check_in_time(worst <= MOST_IN_WINDOW, f"{what}: {worst:.2f} times the limit in 100 ms")


def test(scratch):
    devices = [scratch.image(), scratch.image()]
    group = scratch.blkio(devices).group("machine")
    machine = vm.Machine(scratch, group, [vm.Disk(device, sys.argv[1]) for device in devices])
    group.limit("read_bps", devices[0], MIB)
    group.limit("read_iops", devices[1], 100)
    bytes_limited, ios_limited = machine.run(
        vm.io("read", "vda", 4 * KIB, 256 * SECONDS), vm.io("read", "vdb", 4 * KIB, 100 * SECONDS))
    check_even(bytes_limited, 256, "1 MiB/s in requests of 4 KiB")
    check_even(ios_limited, 100, "100 requests a second")


lib.main(test, tries=4)
