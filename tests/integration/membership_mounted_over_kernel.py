# SPDX-License-Identifier: MIT
"""mirror=real, the tree mounted over the kernel's own hierarchy: programs find group and task by
/proc/PID/cgroup below /sys/fs/cgroup/blkio; other people's groups stay as they are.
"""
import os
import subprocess

import lib
import stacked
from membership_tools import mounted_blkio, path_of


def test(scratch):
    foreign = os.path.join(stacked.MOUNT, f"theirs.{os.getpid()}")
    os.mkdir(foreign)
    theirs = subprocess.Popen(["sleep", "1000"])
    lib.children.append(theirs)
    with open(os.path.join(foreign, "tasks"), "w", encoding="ascii") as tasks:
        tasks.write(str(theirs.pid))
    with mounted_blkio(scratch, stacked.MOUNT, "mirror=real") as blkio:
        lib.check(not os.path.exists(foreign), "another's group is no group of ours")
        group = blkio.group(f"ours.{os.getpid()}")
        process = subprocess.Popen(["sleep", "1000"], preexec_fn=group.enter)
        lib.children.append(process)
        path = path_of(process.pid, "blkio")
        lib.check(stacked.MOUNT + path == group.path, f"/proc shows {path}")
        with open(stacked.MOUNT + path + "/tasks", encoding="ascii") as tasks:
            lib.check(tasks.read() == f"{process.pid}\n", "the path leads to the task")
        same = blkio.group(os.path.basename(foreign))  # mkdir makes their group one of ours too
        lib.check(same.read("tasks") == f"{theirs.pid}\n", "with the task that was in it")
    lib.check(path_of(process.pid, "blkio") == "/", "our task is in the root group at the end")
    lib.check(path_of(theirs.pid, "blkio") == "/" + os.path.basename(foreign), "theirs is not")
    for child in (process, theirs):
        child.kill()
        child.wait()


lib.main(stacked.with_kernel_groups(test))
