# SPDX-License-Identifier: MIT
"""client_vm_killed.py AIO: a virtual machine killed while 64 of its requests wait, at 6 a second
more than 10 s of them: it is gone within a second, and its group empty.
"""
import sys
import time

import lib
import vm
from lib import KIB

REQUESTS = 64


def test(scratch):
    device = scratch.image()
    group = scratch.blkio([device]).group("machine")
    machine = vm.Machine(scratch, group, [vm.Disk(device, sys.argv[1])])
    group.limit("read_iops", device, 6)
    before = group.ios(device, "Read")
    machine.start(vm.io("read", "vda", 4 * KIB, REQUESTS, parallel=REQUESTS))
    lib.eventually(lambda: group.ios(device, "Read") - before >= REQUESTS, 10, "the backlog stands")
    time.sleep(0.2)
    start = time.monotonic()
    machine.kill()
    machine.process.wait(timeout=30)
    lib.eventually(lambda: not group.read("tasks"), 30, "the group is empty")
    seconds = time.monotonic() - start
    print(f"gone after {1000 * seconds:.0f} ms")
    lib.check(seconds < 1, f"took {seconds:.3f} s")


lib.main(test)
