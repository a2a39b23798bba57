# SPDX-License-Identifier: MIT
"""What a user without rights may not do in groups that are not his: nothing but look."""
import os

import lib
import users
from users import ALICE, BOB

RULES = [f"blkio.throttle.{direction}_{unit}_device" for direction in ("read", "write")
         for unit in ("bps", "iops")]


def may_not_write(group, device):
    for file in RULES:
        lib.check_errno("EACCES", group.write, file, f"{device.number} 1000")
    for file in ("tasks", "cgroup.procs", "notify_on_release", "cgroup.clone_children",
                 "blkio.reset_stats"):
        lib.check_errno("EACCES", group.write, file, 0)
    for file in ("blkio.weight", "blkio.bfq.weight", "release_agent"):
        if os.path.exists(os.path.join(group.path, file)):
            lib.check_errno("EACCES", group.write, file, 1)


def may_not_own(path):
    lib.check_errno("EPERM", os.chmod, path, 0o777)
    lib.check_errno("EPERM", os.chown, path, ALICE, ALICE)


def stranger(root, bobs, device):
    """As Alice, who owns nothing here."""
    for group in (root, bobs):
        may_not_write(group, device)
        lib.check_errno("EACCES", os.mkdir, group.path + "/mine")
        may_not_own(group.path)
        may_not_own(group.path + "/tasks")
        lib.check_errno("EACCES", group.read, "blkio.reset_stats")
    lib.check_errno("EACCES", os.rmdir, bobs.path)
    lib.check_errno("EACCES", os.rename, bobs.path, bobs.path + "2")
    lib.check_errno("EACCES", os.rmdir, bobs.path + "/below")
    lib.check(bobs.read(RULES[0]) == f"{device.number} 5000\n", "she may look")
    lib.check(bobs.read("tasks") == "", "at all of it")


def test(scratch):
    device = scratch.loop()
    blkio = scratch.blkio([device])
    bobs = blkio.group("bob")
    bobs.group("below")
    users.give(bobs, BOB)
    bobs.limit("read_bps", device, 5000)
    users.call(ALICE, stranger, blkio, bobs, device)
    lib.check(bobs.read(RULES[0]) == f"{device.number} 5000\n", "nothing has changed")
    lib.check(not os.path.exists(blkio.path + "/mine"), "nor is there a new group")
    os.chmod(bobs.path, 0o700)
    users.call(ALICE, lib.check_errno, "EACCES", bobs.read, "tasks")
    users.call(BOB, bobs.read, "tasks")


lib.main(test)
