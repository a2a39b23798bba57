# SPDX-License-Identifier: MIT
"""Where a case is played: its group, its processes, its devices."""
import errno
import fcntl
import mmap
import os
import struct
import time

from actors import Actor, add_child, add_thread, end_first_thread
from case_files import expand
from checks import eventually
from jobs import Job
from verbs import FileVerbs, expect

SOON_SECONDS = 2
BLKDISCARD = 0x1277
NOWHERE = "99:99"  # a device nobody has

# Verbs whose arguments are a step.
OVER_STEPS = {"fails": "_fails", "soon": "_soon", "takes": "_takes", "as": "_as", "by": "_by"}


class Failed(Exception):
    """A step was not as it says; the text begins with its place."""


def device_values(name, number):
    """The ways to write a device's number; the accidental ones are Linux's own."""
    major, minor = map(int, number.split(":"))
    return {name: number, name + ".digit": number[0],
            name + ".major": major, name + ".minor": minor,
            name + ".zeros": f"00{major}:00{minor}",
            name + ".wrapped": f"{major + (1 << 32)}:{minor + (1 << 32)}",
            name + ".wrapped64": f"{major + (1 << 64)}:{minor + (3 << 64) + (1 << 32)}",
            # a minor above 20 bits runs into the bits of the major
            name + ".carried": f"{major & ~1}:{minor + (1 << 20)}"}


def state_of(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stream:
        return stream.read().rpartition(")")[2].split()[0]


class Stage(FileVerbs):
    """The verbs that need processes and devices; how a step is run."""

    def __init__(self, root, group, devices):
        super().__init__(root, group)
        os.mkdir(group)
        self._devices = devices  # by name
        self._actors = {}
        self._jobs = {}
        self.values = {"none": NOWHERE, "group": os.path.basename(group)}
        for name, device in devices.items():
            self.values.update(device_values(name, device.number))

    def play(self, step):
        words = [expand(word, self.values) for word in step.words]
        text = None if step.text is None else expand(step.text, self.values)
        try:
            self.perform(words, text)
        except (OSError, AssertionError) as problem:
            line = " ".join(step.words) + ("" if step.text is None else " | " + step.text)
            raise Failed(f"{step.place}: {line[:120]}: {str(problem)[:600]}") from problem

    def perform(self, words, text):
        verb, *arguments = words
        if verb in OVER_STEPS:
            return getattr(self, OVER_STEPS[verb])(arguments, text)
        method = getattr(self, verb, None)
        if method is None or verb.startswith("_"):
            raise AssertionError(f"no verb {verb!r}")
        return method(*arguments, **({} if text is None else {"text": text}))

    # --- steps over steps
    def _fails(self, words, text):
        wanted = getattr(errno, words[0])
        try:
            self.perform(words[1:], text)
        except OSError as problem:
            if problem.errno != wanted:
                found = errno.errorcode[problem.errno]
                raise AssertionError(f"{found}, not {words[0]}") from problem
            return
        raise AssertionError(f"no error, not {words[0]}")

    def _soon(self, words, text):
        end = time.monotonic() + SOON_SECONDS
        while True:
            try:
                return self.perform(words, text)
            except (OSError, AssertionError):
                if time.monotonic() > end:
                    raise
            time.sleep(0.01)

    def _takes(self, words, text):
        least, most = float(words[0]), float(words[1])
        begin = time.monotonic()
        self.perform(words[2:], text)
        seconds = time.monotonic() - begin
        if not least <= seconds <= most:
            raise AssertionError(f"{seconds:.3f} s, not {least} to {most} s")

    def _as(self, words, text):
        user = int(words[0])

        def drop_privileges():
            os.setgroups([])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)

        Job(self.perform, words[1:], text, prepare=drop_privileges).result(20)

    def _by(self, words, text):
        """A process of the case does it."""
        self._actors[words[0]].call(_perform_as, self.root, self.group, words[1:], text)

    # --- processes
    def start(self, *names):
        for name in names:
            self._actors[name] = Actor()
            pid = self._actors[name].pid
            self.values.update({name: pid, name + ".hex": hex(pid), name + ".oct": f"0{pid:o}",
                                name + ".digit": str(pid)[0]})

    def thread(self, process, name):
        self.values[name] = self._actors[process].call(add_thread)

    def fork(self, process, name):
        self.values[name] = self._actors[process].call(add_child)

    def end(self, name):
        self._actors[name].end()

    def zombie(self, name):
        self._actors[name].become_zombie()

    def behead(self, name):
        """Its first thread ends, the others stay; it cannot be told anything from then on."""
        self._actors[name].begin(end_first_thread)
        pid = self._actors[name].pid
        eventually(lambda: state_of(pid) == "Z", SOON_SECONDS, "the first thread is a zombie")

    def ids(self, file, text=""):
        """Exactly these, ascending."""
        expect(self.rows_of(file), [str(pid) for pid in sorted(map(int, text.split()))])

    # --- I/O
    def _enter_and_do(self, group, device, *work):
        with open(os.path.join(os.fsdecode(self.path(group)), "cgroup.procs"), "w") as stream:
            stream.write("0")
        transfer(self._devices[device].path, *work)

    def io(self, group, device, *work):
        Job(self._enter_and_do, group, device, *work).result(30)

    def begin(self, name, group, device, *work):
        self._jobs[name] = Job(self._enter_and_do, group, device, *work)

    def wait(self, name, seconds):
        self._jobs.pop(name).result(float(seconds))

    def pause(self, seconds):
        time.sleep(float(seconds))

    def count(self, file, device, row, wanted):
        number = self.values[device]
        rows = [line for line in self.rows_of(file) if line.startswith(f"{number} {row} ")]
        expect([line.split()[2] for line in rows], [wanted])

    # --- the end
    def clear(self):
        """Nothing may stay; a dead task keeps its group busy for a moment."""
        for job in self._jobs.values():
            job.kill()
        for actor in self._actors.values():
            actor.end()
        self.close()
        end = time.monotonic() + SOON_SECONDS + 3
        while os.path.exists(self.group):
            try:
                for directory, _, _ in os.walk(os.fsencode(self.group), topdown=False):
                    os.rmdir(directory)
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.02)


class _Bystander(Stage):
    """A stage without a group of its own making."""

    def __init__(self, root, group):
        FileVerbs.__init__(self, root, group)


def _perform_as(root, group, words, text):
    _Bystander(root, group).perform(words, text)


def transfer(path, operation, size, count="1", *options):
    """COUNT requests of SIZE bytes each, one after the other from the start of the device."""
    size = int(size)
    flags = os.O_RDWR | (0 if "buffered" in options else os.O_DIRECT)
    flags |= os.O_SYNC if "osync" in options else 0
    descriptor = os.open(path, flags)
    if operation == "discard":
        fcntl.ioctl(descriptor, BLKDISCARD, struct.pack("QQ", 0, size))
        return
    buffer = mmap.mmap(-1, max(size, 4096))  # aligned, as O_DIRECT wants it
    view = memoryview(buffer)[:size]
    move = {"read": os.preadv, "write": os.pwritev}[operation]
    for i in range(int(count)):
        expect(move(descriptor, [view], i * size), size)
    if "fsync" in options:
        os.fsync(descriptor)
    os.close(descriptor)
