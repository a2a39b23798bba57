# SPDX-License-Identifier: MIT
"""state=FILE: what was there before a stop, or a kill -9, is there after the next start."""
import os
import subprocess
import sys
import time

import lib
import workload
from lib import KIB, MIB


def furnish(blkio, device):
    """Returns what is to be found again, by group and file."""
    top = blkio.group("web")
    blkio.write("release_agent", "/bin/true x")
    os.setxattr(top.path, "user.note", b"\xff\x00%")
    inner = blkio.group("web/in side")
    gone = blkio.group("web/gone")
    os.rename(blkio.group("old name").path, os.path.join(blkio.path, "new"))
    top.write("blkio.throttle.read_bps_device", f"{device.number} {8 * MIB}")
    inner.write("blkio.throttle.write_iops_device", f"{device.number} 100")
    inner.write("blkio.throttle.read_iops_device", f"{device.number} 0")
    inner.write("blkio.throttle.read_iops_device", f"{device.number} 500")
    inner.write("blkio.weight", "321")
    inner.write("blkio.weight_device", f"{device.number} 77")
    top.write("blkio.leaf_weight", "11")
    top.write("notify_on_release", 1)
    os.chown(os.path.join(top.path, "tasks"), 1234, 2345)
    os.chmod(inner.path, 0o750)
    gone.call(workload.seconds, device.path, "read", 4 * KIB, 5)
    os.rmdir(gone.path)
    inner.call(workload.seconds, device.path, "read", 4 * KIB, 32)
    inner.call(workload.seconds, device.path, "write", 4 * KIB, 7)


def picture(blkio):
    """Every group and every file that does not change by itself, nor begins anew."""
    seen = {}
    for directory, _, files in sorted(os.walk(blkio.mount)):
        at = os.path.relpath(directory, blkio.mount)
        status = os.stat(directory)
        seen[at] = (oct(status.st_mode), status.st_uid, status.st_gid, status.st_mtime_ns)
        for name in files:
            path = os.path.join(directory, name)
            status = os.stat(path)
            text = None
            if name == "blkio.throttle.stat":
                continue  # counts since the start
            if status.st_mode & 0o400 and (at != "." or name not in ("tasks", "cgroup.procs")):
                with open(path, encoding="ascii") as stream:
                    text = stream.read()
            seen[os.path.join(at, name)] = (oct(status.st_mode), status.st_uid, status.st_gid, text)
    return seen


def compare(before, after):
    lib.check(set(before) == set(after), f"other files: {set(before) ^ set(after)}")
    for name, was in before.items():
        lib.check(after[name] == was, f"{name}: {was} became {after[name]}")


def test(scratch, end, mirror):
    device = scratch.loop()
    blkio = scratch.blkio([device], f"state={scratch.path('state')}", f"mirror={mirror}")
    furnish(blkio, device)
    sleeper = subprocess.Popen(["sleep", "100"])
    lib.children.append(sleeper)
    web = blkio.group("web")
    web.write("cgroup.procs", sleeper.pid)
    if end == "stop":
        before = picture(blkio)
        lib.check(not blkio.stop(), "the daemon stops")
    else:
        time.sleep(1.5)  # what was counted is in the file within a second
        before = picture(blkio)
        blkio.kill()
    blkio.start_daemon()
    compare(before, picture(blkio))
    lib.check(web.read("cgroup.procs").split() == [str(sleeper.pid)], "the sleeper is not back")

    # The rules bind again: one goes at once, 100 follow at 500 a second.
    inner = blkio.group("web/in side")
    lib.check_duration(inner.call(workload.seconds, device.path, "read", 4 * KIB, 101), 0.2, 0.2,
                       "100 reads at 500 iops")
    # A change is in the file before it is answered: no wait before this kill.
    inner.write("blkio.throttle.read_iops_device", f"{device.number} 0")
    blkio.group("late")
    os.rmdir(blkio.group("new").path)
    blkio.kill()
    sleeper.kill()
    sleeper.wait()
    blkio.start_daemon()
    lib.check(inner.read("blkio.throttle.read_iops_device") == "", "a rule that was removed is back")
    lib.check(os.path.isdir(os.path.join(blkio.path, "late")), "the group made last is lost")
    lib.check(not os.path.isdir(os.path.join(blkio.path, "new")), "a removed group is back")
    lib.check(web.read("tasks") == "", "a dead task is back")


lib.main(lambda scratch: test(scratch, *sys.argv[1:3]), tries=3)
