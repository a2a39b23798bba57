# SPDX-License-Identifier: MIT
"""Mounts, processes and loop devices of the machine: looking at them, and getting rid of them."""
import atexit
import glob
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

from checks import Skip, run


def mounts_below(directory):
    """(mount point, MAJ:MIN, type) of every mount at or below the directory, innermost last."""
    found = []
    with open("/proc/self/mountinfo", encoding="utf-8") as stream:
        for line in stream:
            fields = line.split(" ")
            point = re.sub(r"\\(\d{3})", lambda code: chr(int(code.group(1), 8)), fields[4])
            if point == directory or point.startswith(directory + "/"):
                found.append((point, fields[2], fields[fields.index("-") + 1]))
    return found


def kernel_complaints():
    """Lines of the kernel's log that tell of a fault of its own."""
    log = run("dmesg").splitlines()
    return [line for line in log if any(word in line for word in ("WARNING:", "BUG:", "Oops"))]


ENABLE_URING = "/sys/module/fuse/parameters/enable_uring"


def offer_fuse_over_io_uring():
    """New connections are offered it; afterwards the switch is as it was."""
    try:
        with open(ENABLE_URING, "r+", encoding="ascii") as switch:
            before = switch.read().strip()
            if before == "Y":
                return
            switch.write("Y")
    except OSError as error:
        raise Skip(f"FUSE over io_uring: {error}") from error
    atexit.register(set_enable_uring, before)


def set_enable_uring(value):
    with open(ENABLE_URING, "w", encoding="ascii") as switch:
        switch.write(value)


def processes_naming(text):
    """Ids of the processes that have `text` on their command line (our own process excepted)."""
    found = []
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        pid = int(path.split("/")[2])
        try:
            with open(path, "rb") as stream:
                if text.encode() in stream.read() and pid != os.getpid():
                    found.append(pid)
        except OSError:
            pass
    return found


def force_unmount(directory):
    """Also when nobody answers behind the mounts any more: aborts the connections first."""
    for point, number, kind in reversed(mounts_below(directory)):
        if kind.startswith("fuse"):
            try:
                with open(f"/sys/fs/fuse/connections/{number.split(':')[1]}/abort", "w") as stream:
                    stream.write("1")
            except OSError:
                pass
        subprocess.run(["umount", "-l", point], stderr=subprocess.DEVNULL)


def detach_loops(directory):
    """Detaches every loop device over a file below the directory; returns their names."""
    output = run("losetup", "--list", "--noheadings", "--raw", "--output", "NAME,BACK-FILE")
    found = []
    for line in output.splitlines():
        name, _, backing = line.partition(" ")
        if backing.startswith(directory + "/"):
            found.append(name)
            subprocess.run(["losetup", "--detach", name], stderr=subprocess.DEVNULL)
    return found


def remove_mirrors(directory):
    """Removes the kernel's hierarchies of daemons below the directory, their groups first; their names
    end like the mount point, with a dash for each slash. One that a daemon still uses stays."""
    tail = re.sub(r"[^A-Za-z0-9._]", "-", directory.lstrip("/"))
    with open("/proc/self/cgroup", encoding="utf-8", errors="replace") as stream:
        names = re.findall(r"^\d+:name=(blkio-[0-9a-f]{16}-[^:]*):", stream.read(), re.MULTILINE)
    for name in names:
        if tail not in name:
            continue
        point = tempfile.mkdtemp()
        mount = ["mount", "-t", "cgroup", "-o", f"none,name={name}", "none", point]
        if subprocess.run(mount, stderr=subprocess.DEVNULL).returncode == 0:
            for group, _, _ in os.walk(point, topdown=False):
                try:
                    os.rmdir(group)
                except OSError:
                    pass
            time.sleep(0.1)  # the kernel is not done with them at once
            subprocess.run(["umount", point], stderr=subprocess.DEVNULL)
        os.rmdir(point)


def sweep(directory):
    """Removes everything that lives in a scratch directory."""
    for pid in processes_naming(directory):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    detach_loops(directory)
    force_unmount(directory)
    detach_loops(directory)
    remove_mirrors(directory)
    if not mounts_below(directory):
        shutil.rmtree(directory, ignore_errors=True)
