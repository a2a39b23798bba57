# SPDX-License-Identifier: MIT
"""The clients of the data path's tables: fio, in a peer's groups; and what they and the machine say
about a run."""
import ctypes
import dataclasses
import json
import os
import struct
import subprocess
import sys
import time

import jobs
import lib
from disks import SIZE

MORE_SECONDS = 60  # than the run itself: then something hangs
TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")
FOREVER_SECONDS = 1000
FIRST = 20  # reads that show the plan
FOLLOWERS = 10  # after a stall, before the most punctual of them says anything


@dataclasses.dataclass(frozen=True)
class Load:
    operation: str
    block: str
    depth: int
    clients: int = 1

    def __str__(self):
        clients = f", {self.clients} clients" if self.clients > 1 else ""
        return f"{self.operation} {self.block} QD {self.depth}{clients}"


def start(peer, load, number, seconds):
    """fio as client `number` of the peer."""
    command = ["fio", "--name=bench", f"--filename={peer.path}", "--allow_file_create=0",
               "--direct=1", "--thread", "--ioengine=libaio", "--time_based",
               f"--runtime={round(1000 * seconds)}ms", f"--size={SIZE}", "--norandommap",
               "--randrepeat=0", f"--rw={load.operation}", f"--bs={load.block}",
               f"--iodepth={load.depth}", "--lat_percentiles=1", "--clat_percentiles=0",
               "--percentile_list=50:99", "--output-format=json"]

    def prepare():
        jobs.die_with_parent()
        peer.enter(number)

    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               text=True, preexec_fn=prepare)
    jobs.children.append(process)
    return process


def finish(process, load, seconds):
    """fio's own words about what it did."""
    try:
        output = process.communicate(timeout=seconds + MORE_SECONDS)[0]
    except subprocess.TimeoutExpired as error:
        raise AssertionError(f"fio has not ended {MORE_SECONDS} s after its time") from error
    said, _, report = output.partition("{")
    lib.check(process.returncode == 0, f"fio exited with {process.returncode}: {said[:500]}")
    job = json.JSONDecoder().raw_decode("{" + report)[0]["jobs"][0]
    return job["read" if "read" in load.operation else "write"]


def kill(processes):
    for process in processes:
        process.kill()
        process.communicate()
        jobs.children.remove(process)


def run(peer, load, seconds):
    """One run: requests per second of all clients; the worst client's latencies in us; what a
    request cost the peer's processes and the whole machine, in us of a CPU."""
    before, machine_before = cpu_seconds(peer.pids), machine_seconds()
    processes = [start(peer, load, number, seconds) for number in range(load.clients)]
    try:
        reports = [finish(process, load, seconds) for process in processes]
    finally:
        kill(processes)
    used = cpu_seconds(peer.pids) - before
    machine = {key: value - machine_before[key] for key, value in machine_seconds().items()}
    ios = max(1, sum(report["total_ios"] for report in reports))
    return {"iops": sum(report["iops"] for report in reports),
            "p50_us": max(percentile(report, "50") for report in reports),
            "p99_us": max(percentile(report, "99") for report in reports),
            "cpu_us": 1e6 * used / ios if peer.pids else None,
            "machine_cpu_us": 1e6 * machine["busy"] / ios,
            "steal": machine["steal"] / machine["all"]}


def percentile(report, percent):
    return report["lat_ns"]["percentile"][percent + ".000000"] / 1000


def cpu_seconds(pids):
    """User and system time of the processes, which must be alive."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as stream:
            fields = stream.read().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) * TICK_SECONDS
    return total


def machine_seconds():
    """Of all CPUs: at work, stolen by the host, and altogether."""
    with open("/proc/stat", encoding="ascii") as stream:
        ticks = map(int, stream.readline().split()[1:9])
    user, nice, system, idle, wait, irq, softirq, steal = ticks
    busy = user + nice + system + irq + softirq
    return {"busy": busy * TICK_SECONDS, "steal": steal * TICK_SECONDS,
            "all": (busy + steal + idle + wait) * TICK_SECONDS}


class Neighbour:
    """A client of group 1 in the background, held to `iops` with `load.depth` requests waiting."""

    def __init__(self, peer, load, iops):
        self._group, self._device = peer.groups[1], peer.disk.device
        self._group.limit("read_iops", self._device, iops)
        self._process = start(peer, load, 1, FOREVER_SECONDS)
        # Some count what arrives: from when all of the backlog is there, that is what leaves, too.
        lib.eventually(lambda: self._group.ios(self._device) >= load.depth or self._ended(), 10,
                       "the neighbour is at work")
        self._since, self._before = time.monotonic(), self._group.ios(self._device)

    def _ended(self):
        return self._process.poll() is not None

    def iops(self):
        """What it has had per second, as its group has counted."""
        lib.check(not self._ended(), "the neighbour has ended")
        done = self._group.ios(self._device) - self._before
        return done / (time.monotonic() - self._since)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        kill([self._process])


def lateness(path, interval_ns, catch_up_ns, seconds, awake):
    """Reads one after the other under a limit of one per interval; by how many ns each came back
    after its planned time. The first ones are read awake: none goes before its time, so the most
    punctual of them shows when that is. `awake`: looks for the end of a read all the time, so that
    what it takes to be woken is not in the figures."""
    import workload

    descriptor, memory = workload.open_file(path), workload.buffer(4096)
    reader = AwakeReader(descriptor, memory)

    def asleep():
        os.preadv(descriptor, [memory], 0)

    reads = [reader.read] * FIRST + [reader.read if awake else asleep] * round(
        1e9 * seconds / interval_ns)
    late, plan = [], time.monotonic_ns()
    for read in reads:
        read()
        late.append(time.monotonic_ns() - plan)
        plan += interval_ns
    late = without_moves(late[1:], catch_up_ns)  # the first has the credit of an idle group
    begin = min(late[:FIRST])
    return [value - begin for value in late[FIRST:]]


class AwakeReader:
    """Reads the first bytes of a file with libaio, one read at a time."""

    BLOCK = struct.Struct("@QIIHhIQQQQII")  # struct iocb
    EVENT_BYTES = 32

    def __init__(self, descriptor, memory):
        self._aio = ctypes.CDLL("libaio.so.1")
        self._context = ctypes.c_void_p()
        found = self._aio.io_setup(1, ctypes.byref(self._context))
        lib.check(found == 0, f"io_setup: {-found}")
        address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        block = self.BLOCK.pack(0, 0, 0, 0, 0, descriptor, address, len(memory), 0, 0, 0, 0)
        self._block = ctypes.create_string_buffer(block)
        self._blocks = (ctypes.c_void_p * 1)(ctypes.addressof(self._block))
        self._event = ctypes.create_string_buffer(self.EVENT_BYTES)

    def read(self):
        found = self._aio.io_submit(self._context, 1, self._blocks)
        lib.check(found == 1, f"io_submit: {-found}")
        ended = 0
        now = ctypes.create_string_buffer(16)  # a timespec of 0
        while ended == 0:
            ended = self._aio.io_getevents(self._context, 0, 1, self._event, now)
        read = int.from_bytes(self._event.raw[16:24], sys.byteorder, signed=True)
        lib.check(ended == 1 and read > 0, f"a read ended with {read}")


def without_moves(late, catch_up_ns):
    """A request that goes later than `catch_up` moves the plan of all that follow; one that had
    gone in time, and whose client was late, does not. Which of them it was, those who follow show:
    of a moved plan even the most punctual are late."""
    best, moved, result = min(late), 0, []
    for index, value in enumerate(late):
        follow = late[index:]
        if result and result[-1] > catch_up_ns and len(follow) >= FOLLOWERS:
            moved = max(moved, min(follow) - best)
        result.append(value - moved)
    return result


def own_lateness(interval_ns, seconds):
    """The same of a client that only sleeps: the least that can be had of this machine."""
    ctypes.CDLL(None).prctl(29, 1, 0, 0, 0)  # PR_SET_TIMERSLACK, in ns
    plan = time.monotonic_ns()
    late = []
    for _ in range(round(1e9 * seconds / interval_ns)):
        plan += interval_ns
        time.sleep(max(0, plan - time.monotonic_ns()) / 1e9)
        late.append(time.monotonic_ns() - plan)
    return late
