# SPDX-License-Identifier: MIT
"""600 children that read one block the moment they are born and die: all 600 reads are the group's."""
import os

import lib
import workload
from lib import KIB

CHILDREN = 600


def storm(path):
    descriptor = workload.open_file(path, os.O_RDONLY)
    memory = workload.buffer(4 * KIB)
    failed = 0
    for index in range(CHILDREN):
        if os.fork() == 0:
            os._exit(0 if os.preadv(descriptor, [memory], index * 4 * KIB) == 4 * KIB else 1)
        if index % 30 == 29:
            failed += reap(30)
    return failed


def reap(count):
    return sum(os.wait()[1] != 0 for _ in range(count))


def test(scratch):
    device = scratch.loop()
    blkio = scratch.blkio([device])
    group = blkio.group("storm")
    lib.check(group.call(storm, device.path) == 0, "every child read its block")
    counted = (group.ios(device, "Read"), blkio.ios(device, "Read"))
    lib.check(counted == (CHILDREN, 0), f"group, root have {counted}, not ({CHILDREN}, 0)")


lib.main(test)
