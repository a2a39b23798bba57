# SPDX-License-Identifier: MIT
"""Users of the machine without rights, as children of the test."""
import encodings.ascii  # noqa: F401  not found any more by who may not look where Python lives
import os
import time

import lib
from jobs import die_with_parent

ALICE, BOB, CAROL = 54321, 54322, 54323  # no name goes with them, and none is needed


def become(real, effective=None, saved=None):
    """The calling process is that user from here on, in no group of users but his own."""
    os.setgroups([])
    os.setresgid(real, real, real)
    os.setresuid(real, real if effective is None else effective, real if saved is None else saved)
    die_with_parent()  # the kernel forgets it with a change of user


def call(uid, function, *arguments, timeout=60):
    """function(*arguments) in a child of that user; its value, or its exception here."""
    return lib.Job(function, *arguments, prepare=lambda: become(uid)).result(timeout)


def sleeper(*ids):
    """A process that does nothing, of these ids: real, effective and saved."""
    job = lib.Job(time.sleep, 1000, prepare=lambda: become(*ids))
    wanted = [str(identity) for identity in (ids if len(ids) == 3 else ids * 3)]
    lib.eventually(lambda: _user_ids(job.pid) == wanted, 5, f"a process of {ids}")
    return job


def _user_ids(pid):
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:
        line = next(line for line in status if line.startswith("Uid:"))
    return line.split()[1:4]


def give(group, uid):
    """The group and its files are that user's, as `chown -R` leaves them."""
    lib.run("chown", "--recursive", f"{uid}:{uid}", group.path)
