# SPDX-License-Identifier: MIT
"""What every integration test stands on.

    def test(scratch):
        device = scratch.loop()
        blkio = scratch.blkio([device])
        group = blkio.group("slow")
        group.limit("read_bps", device, MIB)
        seconds = group.call(workload.read, device.path, 4096, 1024)

    lib.main(test)

A Scratch owns everything a test makes (a directory, loop devices, mounts, daemons, processes). When
the test ends, however it ends, all of it is removed, and a test that passed fails if the daemon left
a mount, a process or a busy loop device behind. What a killed test left is swept by the next one.

A script exits 0 (passed), 1 (failed) or 77 (could not run here, with the reason).
"""
import contextlib
import glob
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback

from checks import (SOURCE, Late, Skip, binary, check, check_duration,  # noqa: F401
                    check_errno, check_in_time, check_rate, eventually, has_sanitizer, need,
                    patiently, run, sanitizer_reports)
from groups import Group
from jobs import Job, children, die_on_sigterm_of_parent  # noqa: F401
from machine import (detach_loops, kernel_complaints, mounts_below, offer_fuse_over_io_uring,  # noqa: F401
                     processes_naming, sweep)

KIB = 1 << 10
MIB = 1 << 20
SKIPPED = 77
PREFIX = "blkio-test."
ON_KERNEL = os.environ.get("BLKIO_TEST_TARGET") == "kernel"


@contextlib.contextmanager
def no_kernel_complaints():
    before = len(kernel_complaints())
    yield
    new = kernel_complaints()[before:]
    check(not new, f"the kernel complains: {new}")


class Device:
    """What is proxied. `path` is where the tests do their I/O: the proxied file."""

    def __init__(self, source, number, size, option):
        self.source = source
        self.number = number
        self.size = size
        self.option = option
        self.path = source


class Scratch:
    """Everything a test makes."""

    def __init__(self):
        for old in glob.glob(os.path.join(tempfile.gettempdir(), PREFIX + "*")):
            owner = old.split(PREFIX)[1].split(".")[0]
            if not os.path.exists(f"/proc/{owner}"):
                sweep(old)
        self.directory = tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}.")
        os.chmod(self.directory, 0o755)  # other users walk through it to the mounts
        self._daemons = []
        self._devices = 0

    def path(self, *parts):
        return os.path.join(self.directory, *parts)

    def make_directory(self, *parts):
        path = self.path(*parts)
        os.makedirs(path, exist_ok=True)
        return path

    def file(self, size=64 * MIB, name=None):
        """A sparse file."""
        self._devices += 1
        path = self.path(name or f"disk{self._devices}.img")
        with open(path, "wb") as stream:
            stream.truncate(size)
        return path

    def image(self, size=64 * MIB):
        """A regular file as a device; it has no number of its own, so it is given one."""
        path = self.file(size)
        number = f"259:{self._devices}"
        return Device(path, number, size, f"device={number}={path}")

    def null(self, size=1 << 30):
        """Zeros, as fast as they can be had."""
        self._devices += 1
        number = f"259:{self._devices}"
        return Device(f"null{self._devices}", number, size, f"device={number}=null:{size}")

    def loop(self, size=64 * MIB, *, options=(), backing=None):
        """A loop device over a sparse file; `options` are losetup's."""
        backing = backing or self.file(size)
        for attempt in range(10):  # others on the machine may take the free one first
            try:
                path = run("losetup", "--find", "--show", *options, backing).strip()
                break
            except subprocess.CalledProcessError:
                if attempt == 9:
                    raise Skip("no free loop device")
                time.sleep(0.1)
        with open(f"/sys/block/{os.path.basename(path)}/dev", encoding="ascii") as stream:
            number = stream.read().strip()
        device = Device(path, number, size, f"device={path}")
        device.backing = backing
        return device

    def blkio(self, devices, *options, **arguments):
        if ON_KERNEL:
            import kernel_target

            daemon = kernel_target.Kernel(self)
        else:
            daemon = Blkio(self, devices, options, **arguments)
        self._daemons.append(daemon)
        return daemon

    def close(self):
        """Stops and removes everything; returns what the daemons left behind, in words."""
        for child in children:
            child.kill()
        left = []
        for daemon in reversed(self._daemons):
            left += daemon.stop()
        left += [f"mount {point}" for point, _, kind in mounts_below(self.directory)
                 if kind.startswith("fuse")]
        left += [f"process {pid}" for pid in processes_naming(self.directory)]
        loops = detach_loops(self.directory)
        try:
            eventually(lambda: not detach_loops(self.directory), 2, "loop devices detached")
        except AssertionError:
            left.append(f"busy loop device among {loops}")
        sweep(self.directory)
        return left


class Blkio(Group):
    """A running daemon; as a Group, the root of its hierarchy."""

    def __init__(self, scratch, devices, options=(), foreground=True, name="blkio",
                 own_session=False):
        self.mount = scratch.make_directory(name)
        self.devdir = scratch.make_directory(f"{name}-dev")
        super().__init__(self.mount)
        self.log = scratch.path(f"{name}.log")
        words = [device.option for device in devices] + [f"devdir={self.devdir}", *options]
        words += os.environ.get("BLKIO_TEST_OPTIONS", "").split()
        if "transport=uring" in words:
            offer_fuse_over_io_uring()
        self.command = [binary("blkio"), *(["-f"] if foreground else []), self.mount,
                        "-o", ",".join(words)]
        self.process = None
        self.own_session = own_session
        self.start_daemon(foreground)
        for device in devices:
            device.path = os.path.join(self.devdir, os.path.basename(device.source))

    def start_daemon(self, foreground=True):
        """Again, after it has ended."""
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, preexec_fn=die_on_sigterm_of_parent,
                                            start_new_session=self.own_session)
        if foreground:
            eventually(self._answers_or_dead, 10, "the mount answers")
        else:
            self.process.wait(timeout=10)
        if self.process.poll() not in (None if foreground else 0,):
            raise AssertionError(f"{' '.join(self.command)}: exit code {self.process.returncode}:\n"
                                 f"{self.log_text()}")

    def _answers_or_dead(self):
        if self.process.poll() is not None:
            return True
        return bool(mounts_below(self.mount)) and os.path.exists(self.mount + "/blkio.reset_stats")

    def log_text(self):
        with open(self.log, encoding="utf-8", errors="replace") as stream:
            return stream.read()

    def pids(self):
        return processes_naming(self.mount)

    def worker(self):
        """Its process id."""
        return self.ctl_json("status")["worker_pid"]

    def ctl(self, *words):
        """What blkioctl prints."""
        return run(binary("blkioctl"), "-m", self.mount, *words)

    def ctl_json(self, *words):
        return json.loads(self.ctl(*words, "--json"))

    def kill(self):
        """Holder and worker at once, as a machine short of memory may do."""
        status = self.ctl_json("status")
        pids = [status["holder_pid"], status["worker_pid"]]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        self.process.wait(10)
        eventually(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids), 5, "it is gone")

    def stop(self, seconds=10):
        """SIGTERM and wait; returns complaints in words."""
        if self.process is None:
            return []
        complaints = []
        for pid in [self.process.pid] if self.process.poll() is None else self.pids():
            try:
                os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                pass
        end = time.monotonic() + seconds
        while (self.process.poll() is None or self.pids()) and time.monotonic() < end:
            time.sleep(0.01)
        if self.process.poll() is None or self.pids():
            complaints.append(f"the daemon is alive {seconds} s after SIGTERM")
        elif self.process.returncode != 0:
            complaints.append(f"the daemon's exit code is {self.process.returncode}")
        complaints += sanitizer_reports(self.log_text())
        if complaints:
            complaints.append("its log:\n" + self.log_text()[-4000:])
        self.process = None
        return complaints


def _requirements():
    if os.geteuid() != 0:
        raise Skip("needs root")
    if ON_KERNEL:
        return
    if not os.path.exists("/dev/fuse"):
        raise Skip("needs /dev/fuse")
    binary("blkio")


def _guarded(function, *arguments):
    """0, 1 or SKIPPED; Late passes through."""
    try:
        function(*arguments)
        return 0
    except Skip as reason:
        print(f"skipped: {reason}")
        return SKIPPED
    except Late:
        raise
    except BaseException:
        traceback.print_exc()
        return 1


def _try_once(test, last):
    """One run in a scratch of its own; None if it was late and may be tried again."""
    scratch = Scratch()
    try:
        code = _guarded(test, scratch)
    except Late as complaint:
        print(f"late, at a load average of {os.getloadavg()[0]:.1f}: {complaint}", flush=True)
        code = 1 if last else None
    if code == 1:
        for log in glob.glob(scratch.path("*.log")):
            with open(log, encoding="utf-8", errors="replace") as stream:
                print(f"--- {os.path.basename(log)}\n{stream.read()[-4000:]}")
    left = scratch.close()
    if left:
        print("left behind: " + "; ".join(left))
        code = 1
    return code


def main(test, tries=1):
    """Runs test(scratch) and ends the process.

    A test of timing has more than one try, for the machine may be busy; but only a Late is tried
    again, and a fault is late every time.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    code = _guarded(_requirements)
    for left in range(tries - 1, -1, -1):
        if code == 0:
            code = _try_once(test, last=left == 0)
            if code is not None:
                break
            code = 0
    print({0: "passed", SKIPPED: "skipped"}.get(code, "failed"))
    sys.exit(code)
