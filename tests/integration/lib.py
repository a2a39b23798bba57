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
import ctypes
import errno
import glob
import json
import os
import pickle
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

KIB = 1 << 10
MIB = 1 << 20
SKIPPED = 77
SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PREFIX = "blkio-test."
ON_KERNEL = os.environ.get("BLKIO_TEST_TARGET") == "kernel"
_libc = ctypes.CDLL(None, use_errno=True)


class Skip(Exception):
    """The test cannot run here; the text says why."""


# ---------------------------------------------------------------- checks


def check(condition, message):
    if not condition:
        raise AssertionError(message)


def check_near(measured, expected, tolerance, what):
    """Always prints the exact figure; `tolerance` is relative."""
    tolerance = float(os.environ.get("BLKIO_TEST_TOLERANCE", tolerance))
    deviation = measured / expected - 1
    print(f"{what}: {measured:.4f}, expected {expected:.4f} ({deviation:+.2%})", flush=True)
    check(abs(deviation) <= tolerance, f"{what} is off by {deviation:+.2%}, allowed {tolerance:.0%}")


def check_errno(expected, function, *arguments):
    """function(*arguments) fails with one of the errno names in `expected` ("EROFS|EACCES")."""
    try:
        function(*arguments)
    except OSError as error:
        numbers = [getattr(errno, name) for name in expected.split("|")]
        check(error.errno in numbers, f"expected {expected}, got {error}")
        return
    raise AssertionError(f"expected {expected}, but the call succeeded")


def eventually(condition, seconds, what):
    """Polls; returns the seconds it took."""
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > seconds:
            raise AssertionError(f"after {seconds} s still not: {what}")
        time.sleep(0.005)
    return time.monotonic() - start


def need(*programs):
    for program in programs:
        if not shutil.which(program):
            raise Skip(f"{program} is not installed")


def binary(name):
    directory = os.environ.get("BLKIO_BIN") or os.path.join(SOURCE, "build/release/bin")
    path = os.path.join(directory, name)
    if not os.access(path, os.X_OK):
        raise Skip(f"{path} has not been built")
    return path


def run(*command, **options):
    """A program that must succeed; returns what it prints."""
    options = {"timeout": 60, "check": True, "text": True, **options}
    return subprocess.run(command, stdout=subprocess.PIPE, **options).stdout


# ---------------------------------------------------------------- processes

_children = []  # Jobs and Popens: the end of the test ends them


def die_with_parent(number=signal.SIGKILL):
    _libc.prctl(1, int(number), 0, 0, 0)  # PR_SET_PDEATHSIG


class Job:
    """A forked child that runs one function; its value or exception comes back through a pipe."""

    def __init__(self, function, *arguments, prepare=None):
        reader, writer = os.pipe()
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(reader)
            self._child(writer, function, arguments, prepare)
        os.close(writer)
        self._reader = reader
        self._status = None
        _children.append(self)

    @staticmethod
    def _child(writer, function, arguments, prepare):
        code = 1
        try:
            die_with_parent()
            if prepare:
                prepare()
            reply = (None, function(*arguments))
            code = 0
        except BaseException as error:
            error.__traceback__ = None
            reply = (error, None)
        try:
            with os.fdopen(writer, "wb") as pipe:
                pipe.write(pickle.dumps(reply))
        finally:
            os._exit(code)

    def result(self, timeout=60):
        data = b""
        end = time.monotonic() + timeout
        while True:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self._reader], [], [], left)[0]:
                raise AssertionError(f"the child has not finished within {timeout} s")
            piece = os.read(self._reader, 1 << 16)
            if not piece:
                break
            data += piece
        self.wait()
        if not data:
            raise AssertionError(f"the child died of wait status {self._status}")
        error, value = pickle.loads(data)
        if error:
            raise error
        return value

    def running(self):
        if self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._status = status
        return self._status is None

    def kill(self, number=signal.SIGKILL):
        if self.running():
            os.kill(self.pid, number)

    def wait(self):
        if self._status is None:
            self._status = os.waitpid(self.pid, 0)[1]
        return self._status


# ---------------------------------------------------------------- groups


class Group:
    """A directory of the mounted hierarchy."""

    def __init__(self, path):
        self.path = path

    def group(self, name):
        path = os.path.join(self.path, name)
        os.makedirs(path, exist_ok=True)
        return Group(path)

    def write(self, file, value):
        """One write(2), as echo does it."""
        descriptor = os.open(os.path.join(self.path, file), os.O_WRONLY)
        try:
            os.write(descriptor, str(value).encode())
        finally:
            os.close(descriptor)

    def read(self, file):
        with open(os.path.join(self.path, file), encoding="ascii") as stream:
            return stream.read()

    def limit(self, name, device, per_second):
        """name: read_bps, write_bps, read_iops or write_iops; 0 removes."""
        self.write(f"blkio.throttle.{name}_device", f"{device.number} {per_second}")

    def count(self, file, device, row):
        """A number of a statistics file; 0 if the group has no row for the device."""
        found = re.search(rf"^{device.number} {row} (\d+)$", self.read(file), re.MULTILINE)
        return int(found.group(1)) if found else 0

    def ios(self, device, row="Total"):
        return self.count("blkio.throttle.io_serviced", device, row)

    def bytes(self, device, row="Total"):
        return self.count("blkio.throttle.io_service_bytes", device, row)

    def enter(self):
        """Moves the calling process."""
        self.write("cgroup.procs", 0)

    def enter_thread(self):
        """Moves the calling thread alone."""
        self.write("tasks", 0)

    def start(self, function, *arguments):
        return Job(function, *arguments, prepare=self.enter)

    def call(self, function, *arguments, timeout=60):
        return self.start(function, *arguments).result(timeout)

    def popen(self, *command, **options):
        def prepare():
            die_with_parent()
            self.enter()

        process = subprocess.Popen(command, preexec_fn=prepare, text=True, **options)
        _children.append(process)
        return process

    def run(self, *command, timeout=60, **options):
        """A program inside the group that must succeed; returns what it prints."""
        process = self.popen(*command, stdout=subprocess.PIPE, **options)
        try:
            output = process.communicate(timeout=timeout)[0]
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        check(process.returncode == 0, f"{command[0]} exited with {process.returncode}")
        return output

    def fio_process(self, device, *options):
        need("fio")
        command = ["fio", "--name=test", f"--filename={device.path}", "--allow_file_create=0",
                   "--direct=1", "--thread", "--output-format=json", *options]
        return self.popen(*command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def fio(self, device, *options, timeout=120):
        """Runs fio inside the group; returns its job as fio's JSON has it."""
        process = self.fio_process(device, *options)
        try:
            output = process.communicate(timeout=timeout)[0]
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        check(process.returncode == 0, f"fio exited with {process.returncode}: {output[:2000]}")
        return json.loads(output[output.index("{"):])["jobs"][0]


# ---------------------------------------------------------------- devices and mounts


class Device:
    """What is proxied. `path` is where the tests do their I/O: the proxied file."""

    def __init__(self, source, number, size, option):
        self.source = source
        self.number = number
        self.size = size
        self.option = option
        self.path = source


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
    if not mounts_below(directory):
        shutil.rmtree(directory, ignore_errors=True)


class Scratch:
    """Everything a test makes."""

    def __init__(self):
        for old in glob.glob(os.path.join(tempfile.gettempdir(), PREFIX + "*")):
            owner = old.split(PREFIX)[1].split(".")[0]
            if not os.path.exists(f"/proc/{owner}"):
                sweep(old)
        self.directory = tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}.")
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
        for child in _children:
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

    def __init__(self, scratch, devices, options=(), foreground=True, name="blkio"):
        self.mount = scratch.make_directory(name)
        self.devdir = scratch.make_directory(f"{name}-dev")
        super().__init__(self.mount)
        self.log = scratch.path(f"{name}.log")
        words = [device.option for device in devices] + [f"devdir={self.devdir}", *options]
        self.command = [binary("blkio"), *(["-f"] if foreground else []), self.mount,
                        "-o", ",".join(words)]
        self.process = None
        self._start(foreground)
        for device in devices:
            device.path = os.path.join(self.devdir, os.path.basename(device.source))

    def _start(self, foreground):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, preexec_fn=die_on_sigterm_of_parent)
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
        if complaints:
            complaints.append("its log:\n" + self.log_text()[-4000:])
        self.process = None
        return complaints


def die_on_sigterm_of_parent():
    die_with_parent(signal.SIGTERM)


# ---------------------------------------------------------------- main


def _requirements():
    if os.geteuid() != 0:
        raise Skip("needs root")
    if ON_KERNEL:
        return
    if not os.path.exists("/dev/fuse"):
        raise Skip("needs /dev/fuse")
    binary("blkio")


def _guarded(function, *arguments):
    try:
        function(*arguments)
        return 0
    except Skip as reason:
        print(f"skipped: {reason}")
        return SKIPPED
    except BaseException:
        traceback.print_exc()
        return 1


def main(test):
    """Runs test(scratch) and ends the process."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    code = _guarded(_requirements)
    if code:
        sys.exit(code)
    scratch = Scratch()
    code = _guarded(test, scratch)
    if code == 1:
        for log in glob.glob(scratch.path("*.log")):
            with open(log, encoding="utf-8", errors="replace") as stream:
                print(f"--- {os.path.basename(log)}\n{stream.read()[-4000:]}")
    left = scratch.close()
    if left:
        print("left behind: " + "; ".join(left))
        code = 1
    print({0: "passed", SKIPPED: "skipped"}.get(code, "failed"))
    sys.exit(code)
