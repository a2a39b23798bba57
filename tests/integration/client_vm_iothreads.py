# SPDX-License-Identifier: MIT
"""Three disks of one virtual machine, each with an iothread of its own, whose ids QEMU tells, in
groups of their own: each disk has its group's limit, 100, 150 and 200 requests a second.

The threads are moved while the machine is paused: the helpers that aio=threads has then start where
their iothread is. Those of the other two need no helpers.
"""
import lib
import vm
from lib import KIB

AIO = ("native", "io_uring", "threads")
LIMITS = (100, 150, 200)
SECONDS = 2


def test(scratch):
    devices = [scratch.image() for _ in AIO]
    blkio = scratch.blkio(devices)
    groups = [blkio.group(aio) for aio in AIO]
    disks = [vm.Disk(device, aio, iothread=aio) for device, aio in zip(devices, AIO)]
    machine = vm.Machine(scratch, blkio.group("machine"), disks, paused=True)
    for thread in machine.qmp("query-iothreads"):
        groups[AIO.index(thread["id"])].write("tasks", thread["thread-id"])
    machine.go()
    for group, limit in zip(groups, LIMITS):
        for device in devices:
            group.limit("read_iops", device, limit)
    before = [group.ios(device, "Read") for group, device in zip(groups, devices)]
    lists = machine.run(*[vm.io("read", f"vd{letter}", 4 * KIB, limit * SECONDS)
                          for letter, limit in zip("abc", LIMITS)])
    for aio, group, device, limit, begin, times in zip(AIO, groups, devices, LIMITS, before, lists):
        lib.check_rate((len(times) - 1) / (times[-1] - times[0]), limit, 0.02, aio)
        counted = group.ios(device, "Read") - begin
        lib.check(counted == limit * SECONDS, f"{aio}: its group counted {counted}")
        others = sum(group.ios(other) for other in devices if other is not device)
        lib.check(others == 0, f"{aio}: its group counted {others} of other disks")


lib.main(test, tries=3)
