# SPDX-License-Identifier: MIT
"""A group given to a user by `chown -R` is his: groups below it, rules, weights, his own tasks. The
limit of the group above, which is not his, covers them all.

He allows himself 100 MiB/s below a limit of 1 MiB/s: of 256 reads of 4 KiB the last goes at
255 * 4 KiB / 1 MiB/s = 0.996 s.
"""
import os

import lib
import users
import workload
from lib import KIB, MIB
from users import ALICE


def furnish(given, device):
    """As Alice: a group below hers, with rules, weights and a task of hers; and away again."""
    inner = given.group("inner")
    inner.limit("read_bps", device, 100 * MIB)
    inner.write("blkio.weight", 300)
    inner.write("blkio.weight_device", f"{device.number} 400")
    inner.enter()
    lib.check(inner.read("tasks") == f"{os.getpid()}\n", "she is in it")
    owner = os.stat(inner.path + "/tasks").st_uid
    lib.check(owner == ALICE, f"what she makes belongs to her, not to {owner}")
    inner.limit("read_bps", device, 0)
    given.enter()
    os.rmdir(inner.path)


def read_below(given, device):
    """As Alice; the seconds it takes."""
    inner = given.group("fast")
    inner.limit("read_bps", device, 100 * MIB)
    inner.enter()
    return workload.seconds(device.path, "read", 4 * KIB, 256)


def test(scratch):
    device = scratch.image()
    os.chmod(device.source, 0o666)
    blkio = scratch.blkio([device])
    outer = blkio.group("outer")
    outer.limit("read_bps", device, MIB)
    given = outer.group("given")
    users.give(given, ALICE)

    users.call(ALICE, furnish, given, device)
    seconds = users.call(ALICE, read_below, given, device)
    lib.check_duration(seconds, 255 * 4 * KIB / MIB, 0.03, "1 MiB below a limit of 1 MiB/s")
    users.call(ALICE, lib.check_errno, "EACCES", outer.limit, "read_bps", device, 0)
    users.call(ALICE, lib.check_errno, "EACCES", outer.enter)
    lib.check(outer.read("blkio.throttle.read_bps_device") == f"{device.number} {MIB}\n",
              "the limit above stays")
    lib.check(given.group("fast").ios(device) == 256, "and the reads were counted where she was")


lib.main(test, tries=3)
