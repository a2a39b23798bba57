# SPDX-License-Identifier: MIT
"""Who may move which task: the attach rule of cgroup v1. Beside write permission on the file it wants
whoever opened it to be root, or the real or saved user of the task.
"""
import os

import lib
import users
from users import ALICE, BOB, CAROL


def may(group, pid):
    for file in ("tasks", "cgroup.procs"):
        group.write(file, pid)


def may_not(group, pid):
    for file in ("tasks", "cgroup.procs"):
        lib.check_errno("EACCES", group.write, file, pid)


def check_listed(group, *jobs):
    expected = "".join(f"{pid}\n" for pid in sorted(job.pid for job in jobs))
    lib.check(group.read("tasks") == expected, f"{group.read('tasks')!r}, not {expected!r}")


def write_to(descriptor, text):
    os.write(descriptor, str(text).encode())


def test(scratch):
    blkio = scratch.blkio([scratch.loop()])
    group, roots_group = blkio.group("alice"), blkio.group("root")
    users.give(group, ALICE)

    own, bobs, roots = users.sleeper(ALICE), users.sleeper(BOB), users.sleeper(0)
    saved = users.sleeper(CAROL, BOB, ALICE)
    effective_only = users.sleeper(CAROL, ALICE, BOB)
    for allowed in (own, saved):
        users.call(ALICE, may, group, allowed.pid)
    for refused in (bobs, roots, effective_only):
        users.call(ALICE, may_not, group, refused.pid)
    check_listed(group, own, saved)

    for job in (bobs, roots, effective_only):  # root may move everybody
        may(roots_group, job.pid)
    check_listed(roots_group, bobs, roots, effective_only)
    users.call(ALICE, may_not, roots_group, own.pid)  # his task, but not his file
    check_listed(group, own, saved)

    # The right is that of who opened the file: a program of root's that is handed the descriptor, as
    # its standard output say, moves nobody more.
    inherited = users_descriptor(group)
    lib.check_errno("EACCES", write_to, inherited, bobs.pid)
    write_to(inherited, own.pid)
    os.close(inherited)
    roots_own = os.open(group.path + "/tasks", os.O_WRONLY)
    users.call(BOB, write_to, roots_own, effective_only.pid)
    os.close(roots_own)
    check_listed(group, own, saved, effective_only)


def users_descriptor(group):
    """`tasks`, opened by Alice."""
    os.seteuid(ALICE)
    try:
        return os.open(group.path + "/tasks", os.O_WRONLY)
    finally:
        os.seteuid(0)


lib.main(test)
