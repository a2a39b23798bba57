# SPDX-License-Identifier: MIT
"""membership.py SOURCE [CASE]: the same questions to each source of the knowledge who is in which
group. Without CASE all that the source can answer; with one that it cannot, skipped with the reason.

SOURCE is none (news of the kernel's proc connector), walk (/proc alone), named, real (a mirror), or
named-walk (a mirror without the connector's news).
"""
import ctypes
import errno
import os
import signal
import subprocess
import sys
import threading

import lib
import stacked
import workload
from lib import KIB

MEMBERSHIP = {"none": "connector", "walk": "proc-walk", "named": "mirror-named",
              "real": "mirror-real", "named-walk": "mirror-named"}
NO_WORD_OF_FORKER = "the connector names a task's parent, which did not fork it"
NO_MIRROR = "without a mirror the knowledge dies with the daemon"
NO_KERNEL_GROUP = "without a mirror the kernel knows nothing of the group"
CANNOT = {
    ("walk", "orphan"): "a task whose parent was gone before anybody looked is init's for /proc",
    ("walk", "storm"): "as with orphans: children are gone before their parent is asked for",
    ("walk", "exec_by_thread"): "its id, parent and start time are the old leader's",
    ("none", "clone_parent"): NO_WORD_OF_FORKER,
    ("walk", "clone_parent"): "in /proc, too, a task's parent may not be the one that forked it",
    ("none", "thread_of_thread"): NO_WORD_OF_FORKER,
    ("walk", "thread_of_thread"): "/proc does not tell which thread cloned another",
    ("none", "survives"): NO_MIRROR,
    ("walk", "survives"): NO_MIRROR,
    ("none", "kernel_path"): NO_KERNEL_GROUP,
    ("walk", "kernel_path"): NO_KERNEL_GROUP,
}
SYS_CLONE = 56  # of x86-64
CLONE_PARENT = 0x8000
_libc = ctypes.CDLL(None, use_errno=True)


class Place:
    """A daemon and one device."""

    def __init__(self, scratch, source):
        self.scratch = scratch
        self.source = source
        self.device = scratch.loop()
        self.blkio = None
        self.start()

    def start(self):
        """Or starts it again in the same place."""
        if self.source.endswith("walk"):
            os.environ["BLKIO_NO_TASK_EVENTS"] = "1"
        try:
            if self.blkio:
                self.blkio.start_daemon()
            else:
                mirror = self.source.split("-")[0].replace("walk", "none")
                self.blkio = self.scratch.blkio([self.device], f"mirror={mirror}")
        finally:
            os.environ.pop("BLKIO_NO_TASK_EVENTS", None)

    def status(self, word):
        text = lib.run(lib.binary("blkioctl"), "-m", self.blkio.mount, "status")
        return next(line.split(": ")[1] for line in text.splitlines() if line.startswith(word))

    def read(self, blocks=1):
        workload.seconds(self.device.path, "read", 4 * KIB, blocks)

    def counted(self, group):
        return group.ios(self.device, "Read")


def ids(group, file="tasks"):
    return [int(line) for line in group.read(file).split()]


def in_child(function):
    """Forks; the child runs the function and ends; returns its id, not reaped."""
    pid = os.fork()
    if pid == 0:
        try:
            function()
            os._exit(0)
        finally:
            os._exit(1)
    return pid


def reap(pid):
    lib.check(os.waitpid(pid, 0)[1] == 0, f"process {pid} did what it had to")


def sleeper(group=None):
    process = subprocess.Popen(["sleep", "1000"],
                               preexec_fn=lambda: group and group.enter())
    lib.children.append(process)
    return process


# --- the questions --------------------------------------------------------------------------------

def inherits(place):
    """Processes, threads and what they fork."""
    group = place.blkio.group("inherits")

    def family():
        group.enter()
        place.read()
        reap(in_child(place.read))
        thread = threading.Thread(target=lambda: reap(in_child(place.read)))
        thread.start()
        thread.join()

    reap(in_child(family))
    lib.check(place.counted(group) == 3, f"{place.counted(group)} reads counted, not 3")
    lib.check(ids(group) == [], "nobody is left in the group")
    os.rmdir(group.path)


def lists(place):
    """tasks, cgroup.procs, zombies, rmdir."""
    group = place.blkio.group("lists")
    process = sleeper(group)
    lib.check(ids(group) == ids(group, "cgroup.procs") == [process.pid], "it is in the lists")
    lib.check(process.pid not in ids(place.blkio), "and in no other")
    lib.check_errno("EBUSY", os.rmdir, group.path)
    lib.check_errno("ESRCH", group.write, "tasks", 2 ** 22 + 1)  # above the highest pid_max
    lib.check_errno("EINVAL", group.write, "tasks", 2)  # kthreadd
    process.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    lib.check(ids(group) == [], "a zombie is no member")
    group.write("cgroup.procs", process.pid)
    lib.check(ids(group) == [], "nor if its id is written")
    process.wait()
    os.rmdir(group.path)


def threads(place):
    """Each thread is where it was put, and goes where its process is put."""
    groups = [place.blkio.group(f"thread{index}") for index in range(3)]
    start = threading.Barrier(4)
    go_on = threading.Barrier(4)

    def work(group):
        group.enter_thread()
        place.read(5)
        start.wait()
        go_on.wait()
        place.read(7)

    def process():
        running = [threading.Thread(target=work, args=(group,)) for group in groups]
        for thread in running:
            thread.start()
        start.wait()
        lib.check(all(ids(group, "cgroup.procs") == [os.getpid()] for group in groups), "listed")
        groups[0].enter()
        go_on.wait()
        for thread in running:
            thread.join()

    reap(in_child(process))
    counted = [place.counted(group) for group in groups]
    lib.check(counted == [5 + 3 * 7, 5, 5], f"counted {counted}, not [26, 5, 5]")


def orphan(place):
    group = place.blkio.group("orphan")
    reader, writer = os.pipe()

    def grandchild():
        os.close(reader)
        while os.getppid() == parent:
            pass
        place.read()

    def child():
        nonlocal parent
        group.enter()
        parent = os.getpid()
        in_child(grandchild)

    parent = 0
    reap(in_child(child))
    os.close(writer)
    os.read(reader, 1)  # until the grandchild has ended
    os.close(reader)
    lib.check(place.counted(group) == 1, "the orphan's read is its group's")


def storm(place):
    """300 children that read a block each, every other one an orphan."""
    group = place.blkio.group("storm")
    reader, writer = os.pipe()

    def family():
        os.close(reader)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        group.enter()
        for index in range(300):
            if os.fork() == 0:
                if index % 2 and os.fork():
                    os._exit(0)
                place.read()
                os._exit(0)

    reap(in_child(family))
    os.close(writer)
    os.read(reader, 1)
    os.close(reader)
    counted = (place.counted(group), place.counted(place.blkio))
    lib.check(counted[0] == 300, f"group, root have {counted}, not 300 for the group")


def clone_parent(place):
    """A child made with CLONE_PARENT is its maker's sibling, and in its maker's group."""
    group = place.blkio.group("clone_parent")
    reader, writer = os.pipe()

    def maker():
        group.enter()
        sibling = _libc.syscall(SYS_CLONE, CLONE_PARENT | signal.SIGCHLD, 0, 0, 0, 0)
        if sibling == 0:
            place.read()
            os._exit(0)
        os.write(writer, str(sibling).encode())

    before = place.counted(place.blkio)
    reap(in_child(maker))
    reap(int(os.read(reader, 20)))
    counted = (place.counted(group), place.counted(place.blkio) - before)
    lib.check(counted == (1, 0), f"group, root have {counted}, not (1, 0)")


def thread_of_thread(place):
    """A thread in a group clones another one; the leader is elsewhere."""
    group = place.blkio.group("thread_of_thread")

    def first():
        group.enter_thread()
        second = threading.Thread(target=place.read)
        second.start()
        second.join()

    def process():
        thread = threading.Thread(target=first)
        thread.start()
        thread.join()

    before = place.counted(place.blkio)
    reap(in_child(process))
    counted = (place.counted(group), place.counted(place.blkio) - before)
    lib.check(counted == (1, 0), f"group, root have {counted}, not (1, 0)")


def exec_by_thread(place):
    """A thread that calls exec takes its group along to the leader's id."""
    group = place.blkio.group("exec_by_thread")

    def thread():
        group.enter_thread()
        os.execlp("dd", "dd", f"if={place.device.path}", "of=/dev/null", "bs=4k", "count=3",
                  "iflag=direct", "status=none")

    def process():
        running = threading.Thread(target=thread)
        running.start()
        running.join()

    reap(in_child(process))
    lib.check(place.counted(group) == 3, f"{place.counted(group)} reads counted, not 3")


def dead(path):
    try:
        os.stat(path)
    except OSError as error:
        return error.errno == errno.ENOTCONN
    return False


def survives(place):
    """Daemon and holder are killed; the next daemon has the groups and their tasks again."""
    group = place.blkio.group("survives").group("inner")
    process = sleeper(group)
    for pid in place.blkio.pids():
        os.kill(pid, signal.SIGKILL)
    place.blkio.process.wait()
    for path in (place.blkio.mount, place.device.path):
        lib.eventually(lambda path=path: dead(path), 5, f"nobody answers behind {path}")
    place.start()
    lib.check(ids(group) == [process.pid], "it is where it was")
    process.kill()
    process.wait()
    os.rmdir(group.path)


def kernel_path(place):
    """/proc/PID/cgroup shows the group's path, also after a rename."""
    label = "blkio" if place.source == "real" else "name=blkio-"
    group = place.blkio.group("kernel_path").group("a b")
    process = sleeper(group)

    def path():
        with open(f"/proc/{process.pid}/cgroup", encoding="ascii") as lines:
            found = [line.strip().split(":", 2)[2] for line in lines if f":{label}" in line]
        return [path for path in found if path != "/"]

    lib.check(path() == ["/kernel_path/a b"], f"the kernel says {path()}")
    os.rename(group.path, group.path + "c")
    lib.check(path() == ["/kernel_path/a bc"], f"the kernel says {path()}")
    place.blkio.stop()
    lib.check(path() == [], "the group is gone with the daemon")
    process.kill()


CASES = [inherits, lists, threads, orphan, storm, clone_parent, thread_of_thread, exec_by_thread,
         survives, kernel_path]


def main(source, only=None):
    def test(scratch):
        if only and (source, only) in CANNOT:
            raise lib.Skip(CANNOT[source, only])
        place = Place(scratch, source)
        found = place.status("membership")
        if found != MEMBERSHIP[source]:
            raise lib.Skip(f"this machine has no {MEMBERSHIP[source]} ({found} instead)")
        for case in CASES:
            if (source, case.__name__) not in CANNOT and only in (None, case.__name__):
                print(case.__name__, flush=True)
                case(place)

    lib.main(stacked.with_kernel_groups(test) if source == "real" else test)


main(*sys.argv[1:])
