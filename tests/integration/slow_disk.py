# SPDX-License-Identifier: MIT
"""A loop device of known speed: over a file served by tests/bench/slow_disk.cpp, one request after
the other, each for the same time. What it did is counted there, too, by ranges of the device."""
import array
import mmap
import os
import subprocess

import lib
from lib import MIB

RANGE = 64 * MIB  # of the device, one for each group, so that they can be told apart below
RANGES = 8
SERVICE_US = 435  # 1 s / 435 us are 2299 requests a second


class SlowDisk:
    def __init__(self, scratch, service_us=SERVICE_US):
        self.file = scratch.file(0)
        counters = scratch.path("counters")
        self.process = subprocess.Popen(
            [lib.binary("slow_disk"), self.file, str(RANGES * RANGE // MIB), str(service_us),
             counters, str(RANGE // MIB)], preexec_fn=lib.die_on_sigterm_of_parent)
        lib.eventually(self._answers_or_dead, 10, "the slow disk answers")
        lib.check(self.process.poll() is None, "the slow disk runs")
        with open(counters, "rb") as stream:
            self._memory = mmap.mmap(stream.fileno(), 8 * RANGES, prot=mmap.PROT_READ)
        # Without direct I/O the page cache would answer.
        self.device = scratch.loop(RANGES * RANGE, options=("--direct-io=on",), backing=self.file)
        self._queue = f"/sys/block/{os.path.basename(self.device.source)}/queue/"

    def _answers_or_dead(self):
        return os.stat(self.file).st_size == RANGES * RANGE or self.process.poll() is not None

    def counts(self):
        """Requests that ended in each range, ever."""
        return array.array("Q", self._memory[:]).tolist()

    def set(self, file, value):
        """A setting of the loop device's queue."""
        with open(self._queue + file, "w", encoding="ascii") as stream:
            stream.write(str(value))

    def close(self):
        """Whoever uses the device has gone before."""
        lib.run("losetup", "--detach", self.device.source)
        lib.eventually(self._unmounted, 10, "the slow disk is let go")
        self.process.wait(timeout=10)

    def _unmounted(self):
        return subprocess.run(["umount", self.file], stderr=subprocess.DEVNULL).returncode == 0
