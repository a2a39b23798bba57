# SPDX-License-Identifier: MIT
"""Two disks of one virtual machine, each with an iothread of its own, whose ids QEMU tells, in groups of
their own: each disk has its group's limit, 100 and 200 requests a second.

The threads are moved while the machine is paused, so that helpers they start are where they are.
"""
import lib
import vm
from lib import KIB

LIMITS = (100, 200)
SECONDS = 2


def test(scratch):
    devices = [scratch.image(), scratch.image()]
    blkio = scratch.blkio(devices)
    groups = [blkio.group("a"), blkio.group("b")]
    machine = vm.Machine(scratch, blkio.group("machine"), paused=True, disks=[
        vm.Disk(devices[0], "native", iothread="io0"), vm.Disk(devices[1], "io_uring", iothread="io1")])
    threads = {thread["id"]: thread["thread-id"] for thread in machine.qmp("query-iothreads")}
    for number, group in enumerate(groups):
        group.write("tasks", threads[f"io{number}"])
    machine.go()
    for group, limit in zip(groups, LIMITS):
        for device in devices:
            group.limit("read_iops", device, limit)
    before = [group.ios(device, "Read") for group, device in zip(groups, devices)]
    lists = machine.run(vm.io("read", "vda", 4 * KIB, LIMITS[0] * SECONDS),
                        vm.io("read", "vdb", 4 * KIB, LIMITS[1] * SECONDS))
    for number, (times, limit) in enumerate(zip(lists, LIMITS)):
        lib.check_rate((len(times) - 1) / (times[-1] - times[0]), limit, 0.02, f"iothread {number}")
        counted = groups[number].ios(devices[number], "Read") - before[number]
        lib.check(counted == limit * SECONDS, f"its group counted {counted}")
        lib.check(groups[number].ios(devices[1 - number]) == 0, "and nothing of the other disk")


lib.main(test, tries=3)
