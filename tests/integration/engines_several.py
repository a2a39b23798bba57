# SPDX-License-Identifier: MIT
"""engines=2: three devices dealt out to two threads; a limit holds on each, groups and devices come and
go on all of them, requests held on both are let go together.
"""
import os

import lib
import workload
from lib import KIB


def threads(pid, name):
    directory = f"/proc/{pid}/task"
    found = []
    for task in os.listdir(directory):
        with open(f"{directory}/{task}/comm", encoding="ascii") as comm:
            found.append(comm.read().strip())
    return found.count(name)


def test(scratch):
    devices = [scratch.loop() for _ in range(3)]
    later = scratch.loop()
    blkio = scratch.blkio(devices, "engines=2")
    lib.check(threads(blkio.worker(), "blkio-engine") == 2, "two engines are at work")
    slow = blkio.group("slow")
    for device in devices:
        slow.limit("read_iops", device, 100)
    # 101 reads at 100 a second, on all three at once: 1 s.
    jobs = [slow.start(workload.seconds, device.path, "read", 4 * KIB, 101) for device in devices]
    for job in jobs:
        lib.check_duration(job.result(), 1.0, 0.05, "101 reads")

    blkio.ctl("device", "add", later.option.removeprefix("device="))
    later.path = os.path.join(blkio.devdir, os.path.basename(later.source))
    slow.limit("read_iops", later, 100)
    seconds = slow.call(workload.seconds, later.path, "read", 4 * KIB, 51)
    lib.check_duration(seconds, 0.5, 0.05, "51 reads of the device added later")

    # Dealt out in turn: the first and the third are on one engine, the second is not.
    one, apart, together = (device.number for device in devices)
    shared = blkio.group("shared")
    lib.check_errno("EXDEV", shared.write, "blkio.throttle.shared_device", f"{apart} {one}")
    shared.write("blkio.throttle.shared_device", f"{together} {one}")
    lib.check(shared.read("blkio.throttle.shared_device") == f"{together} {one}\n", "they share")

    doomed = slow.group("doomed")
    for device in devices:
        doomed.limit("read_bps", device, 1)
    held = [doomed.start(workload.seconds, device.path, "read", 4 * KIB, 2) for device in devices]
    lib.eventually(lambda: all(doomed.ios(device, "Read") >= 2 for device in devices), 10,
                   "requests are held on all devices")
    for pid in doomed.read("tasks").split():
        slow.write("tasks", pid)
    os.rmdir(doomed.path)
    for job in held:
        job.result(5)
    lib.check("engines" in blkio.ctl_json("status"), "status tells how many")
    blkio.ctl("device", "remove", devices[0].number)
    lib.check(len(blkio.ctl_json("devices")) == 3, "one device less")


lib.main(test, tries=3)
