# SPDX-License-Identifier: MIT
"""The holder is killed: I/O goes on, and the worker takes the mounts away when it ends."""
import os
import signal

import lib
import workload
from lib import KIB


def test(scratch):
    device = scratch.loop()
    blkio = scratch.blkio([device], foreground=False)
    group = blkio.group("g")
    pids = blkio.pids()
    lib.check(len(pids) == 2, "a holder and a worker")
    holder = next(pid for pid in pids if parent_of(pid) not in pids)
    os.kill(holder, signal.SIGKILL)
    lib.eventually(lambda: blkio.pids() == [pid for pid in pids if pid != holder], 5, "holder is gone")
    group.call(workload.seconds, device.path, "write", 4 * KIB, 10)
    for pid in blkio.pids():
        os.kill(pid, signal.SIGTERM)
    lib.eventually(lambda: not blkio.pids(), 5, "the worker ended")
    lib.check(not lib.mounts_below(scratch.directory), "no mount is left")
    lib.check(os.listdir(blkio.devdir) == [], "no link is left")


def parent_of(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as stream:
        return int(stream.read().rpartition(")")[2].split()[1])


lib.main(test)
