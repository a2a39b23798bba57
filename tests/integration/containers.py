# SPDX-License-Identifier: MIT
"""Containers for runc and crun: a bundle made by hand, a root file system of one static busybox."""
import contextlib
import glob
import json
import os
import re
import shutil
import subprocess

import lib

BUSYBOX = "/bin/busybox"
DISK = "/disk"  # where a container sees the proxied file


def need_busybox():
    lib.need("busybox")
    linked = subprocess.run(["ldd", shutil.which("busybox")], capture_output=True, text=True)
    if linked.returncode == 0:
        raise lib.Skip("busybox is not a static one")


def throttle(device, per_second):
    """An entry of the throttle* lists of the OCI runtime specification."""
    major, minor = map(int, device.number.split(":"))
    return {"major": major, "minor": minor, "rate": per_second}


class Container:
    """One container of one runtime; its group has the same path in every hierarchy."""

    def __init__(self, scratch, runtime, device, block_io):
        self.name = os.path.basename(scratch.directory)
        self.cgroup = "/" + self.name
        self._runtime = [runtime, "--root", scratch.make_directory("runtime")]
        self._bundle = scratch.make_directory("bundle")
        self._pid_file = scratch.path("pid")
        self._make_root(scratch)
        with open(os.path.join(self._bundle, "config.json"), "w", encoding="ascii") as stream:
            json.dump(self._configuration(device, block_io), stream)

    def _make_root(self, scratch):
        root = scratch.make_directory("bundle", "rootfs")
        for directory in ("bin", "proc", "dev"):
            os.mkdir(os.path.join(root, directory))
        shutil.copy(shutil.which("busybox"), root + BUSYBOX)
        open(root + DISK, "wb").close()

    def _configuration(self, device, block_io):
        disk = {"destination": DISK, "type": "none", "source": device.path, "options": ["bind"]}
        return {
            "ociVersion": "1.0.2",
            "process": {"user": {"uid": 0, "gid": 0}, "cwd": "/",
                        "args": [BUSYBOX, "sleep", "600"]},
            "root": {"path": "rootfs"},
            "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"},
                       {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"}, disk],
            "linux": {"cgroupsPath": self.cgroup,
                      "namespaces": [{"type": kind} for kind in ("pid", "mount", "ipc", "uts")],
                      "resources": {"blockIO": block_io}},
        }

    def call(self, *words):
        """A command of the runtime that must succeed; returns what it prints."""
        return lib.run(*self._runtime, *words, stdin=subprocess.DEVNULL)

    def start(self):
        """Returns the id of the container's first process. The container inherits the output, so
        that is a file: we would wait for the end of a pipe."""
        with open(self._pid_file + ".log", "wb") as output:
            subprocess.run([*self._runtime, "run", "--detach", "--bundle", self._bundle,
                            "--pid-file", self._pid_file, self.name], stdin=subprocess.DEVNULL,
                           stdout=output, stderr=output, check=True, timeout=20)
        with open(self._pid_file, encoding="ascii") as stream:
            return int(stream.read())

    def dd(self, *words):
        """dd inside the container, as a new process that joins it; its seconds, to 10 ms."""
        said = lib.run(*self._runtime, "exec", self.name, BUSYBOX, "time", "-f", "seconds=%e",
                       BUSYBOX, "dd", *words, stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT)
        return float(re.search(r"seconds=([\d.]+)", said).group(1))

    def delete(self):
        """The container and its groups are gone, in every hierarchy of version 1."""
        self.call("delete", "--force", self.name)
        left = glob.glob(f"/sys/fs/cgroup/*{self.cgroup}/tasks")
        lib.check(not left, f"left behind: {left}")

    def __enter__(self):
        return self

    def __exit__(self, failure, *_):
        if failure:
            subprocess.run([*self._runtime, "delete", "--force", self.name],
                           stderr=subprocess.DEVNULL, timeout=20)
            for directory in glob.glob("/sys/fs/cgroup/*" + self.cgroup):
                with contextlib.suppress(OSError):
                    os.rmdir(directory)
