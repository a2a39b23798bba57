# SPDX-License-Identifier: MIT
"""A virtual machine whose disks are proxied files: QEMU, a kernel of Debian's and, in it, guest_io.

    machine = vm.Machine(scratch, group, [vm.Disk(device, "native")])
    [times] = machine.run(vm.io("read", "vda", 4096, 1024))

QEMU interprets the guest's instructions (TCG), so it runs wherever the tests do. The guest's clock
is QEMU's, which is the host's.
"""
import json
import os
import platform
import socket
import stat

import lib

KERNEL = os.environ.get("BLKIO_GUEST_KERNEL") or os.path.join(lib.SOURCE, "build/guest-kernel")
BOOT_SECONDS = 60
NICE = -15  # what the guest measures is the daemon, not who else wants a CPU


class Disk:
    def __init__(self, device, aio="threads", iothread=None):
        self.device, self.aio, self.iothread = device, aio, iothread


def io(operation, disk, block, count, parallel=16):
    """What one job of guest_io is told. With enough requests at a time, some still wait for their
    turn while the machine waits for a CPU."""
    return f"{operation} {disk} {block} {count} {parallel}"


class Machine:
    """Runs in `group` from its start on; `paused`: until go()."""

    def __init__(self, scratch, group, disks, paused=False):
        kernel = requirements()
        name = f"vm{next_number(scratch)}"
        initramfs = scratch.path(f"{name}.cpio")
        write_initramfs(initramfs)
        serial = Listener(scratch.path(f"{name}.serial"))
        qmp = Listener(scratch.path(f"{name}.qmp"))
        # What the kernel has to say is in a *.log, which a test that fails shows.
        self.process = group.popen(
            "nice", "-n", str(NICE), "qemu-system-x86_64", "-nodefaults", "-no-user-config",
            "-display", "none", "-no-reboot", "-accel", "tcg", "-cpu", "max", "-m", "128",
            "-kernel", kernel, "-initrd", initramfs,
            "-append", "console=ttyS0 loglevel=4 panic=-1 tsc=unstable clocksource=acpi_pm",
            "-serial", f"file:{scratch.path(name)}-console.log",
            "-chardev", f"socket,id=port,path={serial.path}", "-serial", "chardev:port",
            "-qmp", f"unix:{qmp.path}", *(["-S"] if paused else []), *disk_options(disks))
        self._qmp = qmp.accept(BOOT_SECONDS)
        self._port = serial.accept(BOOT_SECONDS)
        self._qmp.readline()
        self.qmp("qmp_capabilities")
        if not paused:
            self._wait_until_ready()

    def go(self):
        self.qmp("cont")
        self._wait_until_ready()

    def qmp(self, command, **arguments):
        """What it returns; events are passed over."""
        words = {"execute": command, "arguments": arguments}
        self._qmp.write(json.dumps(words).encode() + b"\n")
        while True:
            answer = json.loads(self._qmp.readline() or b'{"error": "QEMU has ended"}')
            lib.check("error" not in answer, f"{command}: {answer}")
            if "return" in answer:
                return answer["return"]

    def start(self, *jobs):
        """Tells the guest to do them at the same time."""
        self._port.write((" ".join(jobs) + "\n").encode())

    def results(self):
        """For each job when its requests completed, in seconds since it was told."""
        lists = []
        while True:
            line = self._line()
            if line == "done":
                return lists
            lib.check(not line.startswith("error"), f"in the guest: {line}")
            lists.append([int(word) / 1e6 for word in line.split()])

    def run(self, *jobs):
        self.start(*jobs)
        return self.results()

    def kill(self):
        self.process.kill()

    def _wait_until_ready(self):
        line = self._line()
        lib.check(line == "ready", f"the guest says {line!r}")

    def _line(self):
        line = self._port.readline().decode()
        lib.check(line.endswith("\n"), "the machine has ended")
        return line.strip()


class Listener:
    """A socket for QEMU to connect to."""

    def __init__(self, path):
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(path)
        self._socket.listen(1)

    def accept(self, seconds):
        """The connection as an unbuffered stream; reading waits for at most so long."""
        self._socket.settimeout(seconds)
        connection = self._socket.accept()[0]
        connection.settimeout(seconds)
        return Stream(connection)


class Stream:
    def __init__(self, connection):
        self._reader = connection.makefile("rb")
        self.write = connection.sendall
        self.readline = self._reader.readline


def requirements():
    """The kernel's path."""
    if platform.machine() != "x86_64":
        raise lib.Skip("the guest is a PC")
    lib.need("qemu-system-x86_64")
    lib.binary("guest_io")
    kernel = os.path.join(KERNEL, "vmlinuz")
    if not os.path.exists(kernel):
        raise lib.Skip(f"no {kernel}: tests/integration/guest/fetch_kernel.sh {KERNEL} gets one")
    return kernel


def next_number(scratch):
    return sum(name.endswith(".cpio") for name in os.listdir(scratch.directory))


def disk_options(disks):
    for number, disk in enumerate(disks):
        yield from ("-blockdev", f"driver=file,node-name=disk{number},filename={disk.device.path},"
                                 f"cache.direct=on,aio={disk.aio}")
        iothread = ""
        if disk.iothread:
            yield from ("-object", f"iothread,id={disk.iothread}")
            iothread = f",iothread={disk.iothread}"
        yield from ("-device", f"virtio-blk-pci,drive=disk{number}{iothread}")


def write_initramfs(path):
    """guest_io as /init, and the modules beside it."""
    files = [("init", lib.binary("guest_io"))]
    files += [(name, os.path.join(KERNEL, name)) for name in os.listdir(KERNEL)
              if name.endswith(".ko")]
    with open(path, "wb") as archive:
        archive.write(entry("dev", stat.S_IFDIR | 0o755, b"", 0))
        archive.write(entry("dev/console", stat.S_IFCHR | 0o600, b"", os.makedev(5, 1)))
        for name, source in files:
            with open(source, "rb") as stream:
                archive.write(entry(name, stat.S_IFREG | 0o755, stream.read(), 0))
        archive.write(entry("TRAILER!!!", 0, b"", 0))


def entry(name, mode, content, number):
    """A file of a cpio archive, as the kernel unpacks it: 14 fields of 8 hexadecimal digits."""
    fields = (0, mode, 0, 0, 1, 0, len(content), 0, 0, os.major(number), os.minor(number),
              len(name) + 1, 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
    return padded(head) + padded(content)


def padded(data):
    return data + bytes(-len(data) % 4)
