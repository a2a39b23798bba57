# SPDX-License-Identifier: MIT
"""The ways to a device that the tables of the data path compare.

A peer is at work between start() and stop(), one peer at a time, so that nobody's idle threads and
caches are in another's way. Meanwhile clients open `path`; client `number` belongs into
groups[number], if there are groups; `pids` are the processes whose CPU time is the peer's. Those run
in sessions of their own, as daemons do: the scheduler shares CPUs out to sessions first (autogroup).
"""
import os
import subprocess

import contenders
import lib
import machine

# Per second: rules at work, and never in the way. The kernel takes no more requests than 2^32 - 1.
PLENTY = {"read_bps": 10**15, "write_bps": 10**15,
          "read_iops": 2**32 - 1, "write_iops": 2**32 - 1}
WEIGHTS = (100, 200)
START_SECONDS = 10


class Peer:
    name = ""

    def __init__(self, scratch, disk):
        self.scratch = scratch
        self.disk = disk
        self.path = disk.device.source
        self.groups = []
        self.pids = []

    def start(self):
        self.disk.set("scheduler", "none")

    def stop(self):
        pass

    def enter(self, number):
        """Moves the calling process, which is to become client `number`."""
        if self.groups:
            self.groups[number].enter()

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()


class Native(Peer):
    """The device itself, outside all groups."""

    name = "native, none"


class KernelGroups(Peer):
    """The device itself, from groups of the kernel's controller."""

    scheduler = "none"
    tunables = {}

    def __init__(self, scratch, disk):
        super().__init__(scratch, disk)
        self._kernel = contenders.Kernel(scratch, disk, self.name, self.scheduler, **self.tunables)

    def start(self):
        super().start()
        root = self._kernel.__enter__()
        self.groups = [root.group(f"g{number}") for number in range(len(WEIGHTS))]

    def stop(self):
        self._kernel.__exit__()


class Bfq(KernelGroups):
    scheduler = "bfq"

    def start(self):
        super().start()
        for group, weight in zip(self.groups, WEIGHTS):
            group.write("blkio.bfq.weight", weight)


class Bfq8(Bfq):
    name = "native, bfq slice_idle=8"
    tunables = {"slice_idle": 8}


class Bfq0(Bfq):
    name = "native, bfq slice_idle=0"
    tunables = {"slice_idle": 0}


class BlkThrottle(KernelGroups):
    name = "native, blk-throttle"

    def start(self):
        super().start()
        for group in self.groups:
            set_rules(group, self.disk.device)

    def stop(self):
        for group in self.groups:
            for limit in PLENTY:
                group.limit(limit, self.disk.device, 0)
        self.groups = []
        super().stop()


class Blkio(Peer):
    """With four rules that never bind and two weights, at two levels."""

    transport = "classic"

    def __init__(self, scratch, disk):
        super().__init__(scratch, disk)
        self._daemon = None

    def options(self):
        return [f"transport={self.transport}"]

    def start(self):
        super().start()
        try:
            self._daemon = self.scratch.blkio([self.disk.device], *self.options(), own_session=True)
        except AssertionError as error:
            refusal = [line for line in str(error).splitlines() if "transport=uring: " in line]
            raise lib.Skip(refusal[0]) if refusal else error
        self.path = os.path.join(self._daemon.devdir, os.path.basename(self.disk.device.source))
        self.pids = self._daemon.pids()
        self.control()

    def control(self):
        top = self._daemon.group("bench")
        self.groups = contenders.weighted(top, WEIGHTS)
        for group in (top, *self.groups):
            set_rules(group, self.disk.device)

    def stop(self):
        if self._daemon:
            complaints = self._daemon.stop()
            lib.check(not complaints, "; ".join(complaints))


class Classic(Blkio):
    name = "blkio, classic"


class Uring(Blkio):
    name = "blkio, uring"
    transport = "uring"


class Bypassed:
    """blkio with nothing to do: no rule, no weights, nobody in a group."""

    def options(self):
        return [*super().options(), f"scheduler={self.disk.device.number}=none"]

    def control(self):
        pass


class ClassicBypassed(Bypassed, Classic):
    name = "blkio, classic, no rules, no weights"


class UringBypassed(Bypassed, Uring):
    name = "blkio, uring, no rules, no weights"


class Exported(Peer):
    """Programs that mount the device on a file, the last of them."""

    def __init__(self, scratch, disk):
        super().__init__(scratch, disk)
        self._processes = []

    def commands(self):
        raise NotImplementedError

    def start(self):
        super().start()
        self.path = self.scratch.file(0, "export")
        for ready, command in self.commands():
            self._start(command, ready)
        self.pids = [process.pid for process in self._processes]

    def _start(self, command, ready):
        with open(self.scratch.path("export.log"), "ab") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                       preexec_fn=lib.die_on_sigterm_of_parent,
                                       start_new_session=True)
        self._processes.append(process)
        lib.eventually(lambda: ready() or process.poll() is not None, START_SECONDS,
                       f"{command[0]} is ready")
        lib.check(process.poll() is None, f"{command[0]} has ended")

    def is_mounted(self):
        return bool(machine.mounts_below(self.path)) and os.stat(self.path).st_size > 0

    def stop(self):
        while self._processes:
            process = self._processes.pop()
            process.terminate()
            try:
                process.wait(timeout=START_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        machine.force_unmount(self.path)


class Qemu(Exported):
    """qemu-storage-daemon's FUSE export over a throttle node."""

    name = "QEMU FUSE export, throttle"
    limits = "x-bps-total=1000000000000,x-iops-total=1000000000"

    def __init__(self, scratch, disk):
        lib.need("qemu-storage-daemon")
        super().__init__(scratch, disk)

    def commands(self):
        return [(self.is_mounted, [
            "qemu-storage-daemon", "--object", f"throttle-group,id=limits,{self.limits}",
            "--blockdev", f"driver=host_device,node-name=disk,filename={self.disk.device.source},"
                          "cache.direct=on,aio=io_uring",
            "--blockdev", "driver=throttle,node-name=limited,throttle-group=limits,file=disk",
            "--export", f"type=fuse,id=export,node-name=limited,mountpoint={self.path},"
                        "writable=on"])]


class Nbd(Exported):
    """nbdkit with its rate filter, through nbdfuse. nbdkit has no O_DIRECT: the page cache of the
    device answers it, and takes what it writes."""

    name = "nbdfuse + nbdkit rate"

    def __init__(self, scratch, disk):
        lib.need("nbdkit", "nbdfuse")
        super().__init__(scratch, disk)

    def commands(self):
        directory = self.scratch.make_directory("nbd")
        socket = self.scratch.path("nbdkit.socket")
        if os.path.exists(socket):
            os.unlink(socket)
        self.path = os.path.join(directory, "disk")
        return [(lambda: os.path.exists(socket),
                 ["nbdkit", "-f", "-U", socket, "--filter=rate", "file", self.disk.device.source,
                  "rate=8T"]),
                (lambda: bool(machine.mounts_below(directory)) and os.path.exists(self.path),
                 ["nbdfuse", self.path, f"nbd+unix:///?socket={socket}"])]

    def stop(self):
        subprocess.run(["umount", os.path.dirname(self.path)], stderr=subprocess.DEVNULL)
        super().stop()
        machine.force_unmount(os.path.dirname(self.path))


class Passthrough(Exported):
    """Plain libfuse with pread and pwrite."""

    threads = 1
    name = "libfuse, 1 thread"

    def commands(self):
        return [(self.is_mounted, [lib.binary("passthrough"), self.disk.device.source, self.path,
                                   str(self.threads)])]


class Passthrough4(Passthrough):
    threads = 4
    name = "libfuse, 4 threads"


class NullLoop(Exported):
    """FUSE and nothing else."""

    name = "raw loop"
    words = ()

    def commands(self):
        return [(self.is_mounted, [lib.binary("null_loop"), self.path,
                                   str(self.disk.device.size // lib.MIB), *self.words])]


class FillingNullLoop(NullLoop):
    name = "raw loop, filling"
    words = ("fill",)


class SpinningNullLoop(NullLoop):
    name = "raw loop, spinning"
    words = ("spin",)


def set_rules(group, device):
    for limit, value in PLENTY.items():
        group.limit(limit, device, value)
