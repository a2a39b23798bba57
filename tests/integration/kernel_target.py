# SPDX-License-Identifier: MIT
"""BLKIO_TEST_TARGET=kernel: the same test against the kernel's own controller and a loop device.

It shows that a test measures what it says. Only tests of limits make sense there, and the kernel
spends 100 ms worth of its limit at once, so allow for that with BLKIO_TEST_TOLERANCE=0.06.
"""
import os
import time

import lib

MOUNT = "/sys/fs/cgroup/blkio"


class Kernel(lib.Group):
    def __init__(self, scratch):
        if not os.path.exists(MOUNT + "/blkio.reset_stats"):
            raise lib.Skip("the kernel's blkio controller is not mounted at " + MOUNT)
        super().__init__(os.path.join(MOUNT, os.path.basename(scratch.directory)))
        os.mkdir(self.path)

    def stop(self):
        for directory, _, files in os.walk(self.path, topdown=False):
            for rule in (name for name in files if name.endswith("ps_device")):
                for line in lib.Group(directory).read(rule).splitlines():
                    lib.Group(directory).write(rule, line.split()[0] + " 0")
            for _ in range(100):
                try:
                    os.rmdir(directory)
                    break
                except OSError:
                    time.sleep(0.02)
        return [self.path] if os.path.exists(self.path) else []
