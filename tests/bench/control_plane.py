# SPDX-License-Identifier: MIT
"""What the files of many groups cost, beside the kernel's own, and beside I/O that saturates a device.

Three hierarchies side by side: blkio without a mirror, blkio with its named mirror (where a mkdir
costs a mkdir of the kernel's as well), and the kernel's blkio controller. Times are medians of single
calls, taken in turns; what is measured is the call, not the path to it: files are open. A FUSE round
trip is what reading a flag costs.
"""
import os
import statistics
import subprocess
import sys
import threading
import time

import contenders
import lib
from groups import Group

FEW = 10
MANY = 10_000
RULES = 10  # a group: four limits on two devices, two on a third
TASKS = 20_000
SAMPLES = 300
PLENTY = 10**12  # bytes per second: a rule that never makes anybody wait
LIMITS = ("read_bps", "write_bps", "read_iops", "write_iops")
FLAG = "notify_on_release"
STATISTICS = "blkio.throttle.io_service_bytes"
KERNEL = "/sys/fs/cgroup/blkio"
ORDER = ("mirror=none", "mirror=named", "kernel")

TITLE = "The files of many groups"


class Hierarchy:
    """A place for groups, flat below its root; `devices` are numbers that rules may name."""

    def __init__(self, name, root, devices, worker=None):
        self.name = name
        self.root = root
        self.devices = devices
        self.worker = worker
        self.groups = 0
        os.mkdir(root + "/probe")
        self.flag = self.open(FLAG)
        self.statistics = self.open(STATISTICS)
        self.rule = self.open("blkio.throttle.read_bps_device")
        self.values = 0
        self.write_rule()

    def open(self, file, group="probe"):
        return os.open(f"{self.root}/{group}/{file}", os.O_RDWR if file != STATISTICS else os.O_RDONLY)

    def grow(self, total):
        while self.groups < total:
            os.mkdir(f"{self.root}/g{self.groups}")
            self.groups += 1

    def set_rules(self):
        """RULES for each group."""
        for group in range(self.groups):
            for number in range(RULES):
                name = f"{self.root}/g{group}/blkio.throttle.{LIMITS[number % 4]}_device"
                descriptor = os.open(name, os.O_WRONLY)
                os.write(descriptor, f"{self.devices[number // 4]} {PLENTY % 2**32}".encode())
                os.close(descriptor)

    # The single calls.
    def read_flag(self):
        os.pread(self.flag, 4096, 0)

    def read_statistics(self):
        os.pread(self.statistics, 4096, 0)

    def write_flag(self):
        os.pwrite(self.flag, b"0", 0)

    def write_rule(self):
        self.values += 1
        os.pwrite(self.rule, b"%s %d" % (self.devices[0].encode(), PLENTY + self.values), 0)

    def make(self):
        os.mkdir(self.root + "/new")

    def remove(self):
        os.rmdir(self.root + "/new")

    def close(self):
        for descriptor in (self.flag, self.statistics, self.rule):
            os.close(descriptor)


class Kernel(Hierarchy):
    def __init__(self, scratch, size):
        if not os.path.exists(KERNEL + "/" + STATISTICS):
            raise lib.Skip("the kernel's blkio controller is not mounted at " + KERNEL)
        self.top = f"{KERNEL}/{os.path.basename(scratch.directory)}.{size}"
        devices = [scratch.loop().number for _ in range(3)]
        os.mkdir(self.top)
        super().__init__("kernel", self.top, devices)

    def close(self):
        super().close()
        contenders.remove_groups(Group(self.top))


class Blkio(Hierarchy):
    def __init__(self, scratch, mirror, devices, size=""):
        nulls = [scratch.null() for _ in range(devices)]
        self.daemon = scratch.blkio(nulls, f"mirror={mirror}", name=mirror + size)
        self.device = nulls[0].path
        super().__init__(f"mirror={mirror}", self.daemon.mount, [each.number for each in nulls],
                         self.daemon.worker())

    def close(self):
        super().close()
        stop(self.daemon)


def stop(daemon):
    lib.check(not daemon.stop(60), "the daemon stops")


def micros(call):
    start = time.perf_counter_ns()
    call()
    return (time.perf_counter_ns() - start) / 1000


CALLS = {"read a flag": "read_flag", "read a statistics file": "read_statistics",
         "write a flag": "write_flag", "write a rule": "write_rule", "mkdir": "make", "rmdir": "remove"}


def one_round(sets):
    """For each set of hierarchies {(what, hierarchy): median in microseconds}, all in turns."""
    samples = [{(what, each.name): [] for what in CALLS for each in hierarchies} for hierarchies in sets]
    for _ in range(SAMPLES):
        for hierarchies, found in zip(sets, samples):
            for each in hierarchies:
                each.read_flag()  # both sides are awake
                for what, method in CALLS.items():
                    found[what, each.name].append(micros(getattr(each, method)))
    return [{key: statistics.median(values) for key, values in found.items()} for found in samples]


def single_calls(*sets):
    """For each set {what: {hierarchy: microseconds}}, the least of three rounds: where the scheduler
    lets two processes meet on different CPUs, a round trip takes several times as long for a while."""
    rounds = []
    for _ in range(3):
        time.sleep(0.5)
        rounds.append(one_round(sets))
    return [{what: {each.name: min(found[index][what, each.name] for found in rounds)
                    for each in hierarchies} for what in CALLS}
            for index, hierarchies in enumerate(sets)]


def resident_bytes(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as stream:
        line = next(line for line in stream if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


class Report:
    """Rows of the table."""

    def __init__(self):
        self.rows = []

    def add(self, case, values, unit, target="", met=None):
        """values: {hierarchy: number}; met: {hierarchy: bool}"""
        self.rows.append({"case": case, "values": values, "unit": unit, "target": target,
                          "met": met or {}})

    def below(self, case, values, unit, most):
        met = {name: value <= most for name, value in values.items() if name != "kernel"}
        self.add(case, values, unit, f"≤ {most:g} {unit}", met)


def compare_calls(report, small, large, label):
    """The calls among few and many groups, in turns."""
    few, many = single_calls(small, large)
    for what in CALLS:
        report.add(f"{what}, {FEW} groups", few[what], "us")
        report.add(f"{what}, {label}", many[what], "us")
    for what in ("read a statistics file", "write a rule", "mkdir"):
        growth = {name: us / few[what][name] for name, us in many[what].items()}
        report.below(f"{what}, {label} to {FEW}", growth, "x", 1.3)
    if "kernel" in many["mkdir"]:
        ratios = {name: us / many["mkdir"]["kernel"] for name, us in many["mkdir"].items()}
        report.below(f"mkdir to the kernel's, {label}", ratios, "x", 3)
    for what, most in (("read a statistics file", 20), ("write a rule", 80)):
        above = {name: us - many["read a flag"][name] for name, us in many[what].items() if name != "kernel"}
        report.below(f"{what} above a round trip, {label}", above, "us", most)


def recursive_ms(hierarchy):
    with open(f"{hierarchy.root}/{STATISTICS}_recursive", "rb", buffering=0) as stream:
        return statistics.median(micros(lambda: os.pread(stream.fileno(), 65536, 0))
                                 for _ in range(20)) / 1000


def hierarchies_of(scratch, size):
    found = [Blkio(scratch, mirror, 4, size) for mirror in ("none", "named")]
    try:
        found.append(Kernel(scratch, size))
    except lib.Skip as reason:
        print(f"without the kernel: {reason}", file=sys.stderr)
    for each in found:
        each.grow(FEW)
    return found


def groups_and_rules(scratch, report):
    small, large = hierarchies_of(scratch, "small"), hierarchies_of(scratch, "large")
    try:
        ours = [each for each in large if each.worker]
        before = {each.name: resident_bytes(each.worker) for each in ours}
        for each in large:
            each.grow(FEW + MANY)
        report.below("memory of an idle group, 4 devices", memory(ours, before), "B", 2048)
        compare_calls(report, small, large, f"{MANY} groups")
        report.below(f"read _recursive at the root, {MANY} groups",
                     {each.name: recursive_ms(each) for each in large}, "ms", 20)
        for each in large:
            each.set_rules()
        report.add(f"memory of a group with {RULES} rules on 3 devices", memory(ours, before), "B")
        compare_calls(report, small, large, f"{MANY * RULES} rules")
        report.below(f"read _recursive at the root, {MANY * RULES} rules",
                     {each.name: recursive_ms(each) for each in large}, "ms", 20)
    finally:
        for each in small + large:
            each.close()


def memory(hierarchies, before):
    """Bytes for each of MANY groups."""
    return {each.name: (resident_bytes(each.worker) - before[each.name]) / MANY
            for each in hierarchies}


def memory_with_one_device(scratch, report):
    values = {}
    for mirror in ("none", "named"):
        hierarchy = Blkio(scratch, mirror, 1)
        hierarchy.grow(FEW)
        before = {hierarchy.name: resident_bytes(hierarchy.worker)}
        hierarchy.grow(FEW + MANY)
        values.update(memory([hierarchy], before))
        hierarchy.close()
    report.below("memory of an idle group, 1 device", values, "B", 2048)


# --- beside saturated I/O ----------------------------------------------------------------------

def saturate(path, group, seconds, depth=128):
    """fio: as many reads of 4 KiB at once as `depth`."""
    return subprocess.Popen(
        ["fio", "--name=bench", f"--filename={path}", "--allow_file_create=0", "--direct=1",
         "--thread", "--ioengine=libaio", "--rw=randread", "--bs=4k", f"--iodepth={depth}",
         "--time_based", f"--runtime={seconds}", "--size=256m", "--norandommap",
         "--output-format=terse", "--terse-version=3"],
        stdout=subprocess.PIPE, text=True, preexec_fn=group.enter)


def iops(process):
    return float(process.communicate(timeout=120)[0].splitlines()[-1].split(";")[7])


def percentile(values, share):
    values = sorted(values)
    return values[min(int(len(values) * share), len(values) - 1)]


def beside_io(scratch, report, seconds):
    calls = {what: CALLS[what] for what in ("read a statistics file", "write a rule", "mkdir", "rmdir")}
    found = {}
    for mirror in ("none", "named"):
        hierarchy = Blkio(scratch, mirror, 1)
        hierarchy.grow(100)
        groups = [hierarchy.daemon.group(f"client{i}") for i in range(2)]
        clients = [saturate(hierarchy.device, group, seconds + 2) for group in groups]
        time.sleep(1)  # they are at full speed
        samples = {what: [] for what in calls}
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for what, method in calls.items():
                samples[what].append(micros(getattr(hierarchy, method)) / 1000)
            time.sleep(0.001)
        total = sum(iops(client) for client in clients)
        print(f"{hierarchy.name}: {total:.0f} IOPS meanwhile, {len(samples['mkdir'])} samples",
              file=sys.stderr)
        found[hierarchy.name] = samples
        hierarchy.close()
    for what in calls:
        values = {name: samples[what] for name, samples in found.items()}
        report.add(f"{what} beside saturated I/O, p50",
                   {name: percentile(each, 0.5) for name, each in values.items()}, "ms")
        report.below(f"{what} beside saturated I/O, p99",
                     {name: percentile(each, 0.99) for name, each in values.items()}, "ms", 10)
        report.add(f"{what} beside saturated I/O, worst",
                   {name: max(each) for name, each in values.items()}, "ms")


# --- tasks -------------------------------------------------------------------------------------

# Threads that are no Python threads: those would queue for the interpreter.
CROWD = """
import ctypes, os, sys
libc = ctypes.CDLL(None)
attributes, thread = ctypes.create_string_buffer(64), ctypes.c_ulong()
libc.pthread_attr_init(attributes)
libc.pthread_attr_setstacksize(attributes, ctypes.c_size_t(65536))
for _ in range(int(sys.argv[1]) - 1):
    if libc.pthread_create(ctypes.byref(thread), attributes, libc.pause, None):
        sys.exit(1)
print("ready", flush=True)
sys.stdin.read()
os._exit(0)
"""


def crowd(count):
    """A process of so many threads that sleep."""
    process = subprocess.Popen([sys.executable, "-c", CROWD, str(count)], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True)
    if process.stdout.readline().strip() != "ready":
        process.kill()
        process.wait()
        raise lib.Skip(f"{count} threads cannot be made here")
    return process


def move(group, pid):
    group.write("cgroup.procs", pid)


def disturbed_iops(device, group, disturb):
    """Of a client, while disturb() is called over and over."""
    client = saturate(device.path, group, 2, depth=32)
    stop = threading.Event()

    def again():
        while not stop.is_set():
            disturb()

    thread = threading.Thread(target=again) if disturb else None
    if thread:
        thread.start()
    try:
        return iops(client)
    finally:
        stop.set()
        if thread:
            thread.join()


class Shuffle:
    """A crowd between two groups of a hierarchy."""

    def __init__(self, root, pid):
        self.pid = pid
        self.here, self.there = root.group("here"), root.group("there")

    def to_and_fro(self):
        move(self.there, self.pid)
        move(self.here, self.pid)

    def list(self):
        return self.here.read("tasks").split()

    def costs(self):
        """Milliseconds of a move and of a listing."""
        moving = min(micros(lambda: move(group, self.pid))
                     for group in (self.here, self.there, self.here))
        lib.check(len(self.list()) == TASKS, "all threads have moved")
        return moving / 1000, statistics.median(micros(self.list) for _ in range(5)) / 1000


def kernel_costs(scratch, pid):
    root = lib.Group(f"{KERNEL}/{os.path.basename(scratch.directory)}")
    os.mkdir(root.path)
    try:
        return Shuffle(root, pid).costs()
    finally:
        move(lib.Group(KERNEL), pid)
        for path in (root.path + "/here", root.path + "/there", root.path):
            lib.eventually(lambda directory=path: contenders.removed(directory), 10,
                           f"{path} removed")


def tasks(scratch, report):
    process = crowd(TASKS)
    costs, rates = {}, {"": {}, ", threads listed meanwhile": {}, ", process moved meanwhile": {}}
    try:
        for mirror in ("none", "named"):
            device = scratch.null()
            daemon = scratch.blkio([device], f"mirror={mirror}")
            shuffle = Shuffle(daemon, process.pid)
            costs[f"mirror={mirror}"] = shuffle.costs()
            for case, disturb in zip(rates, (None, shuffle.list, shuffle.to_and_fro)):
                rate = disturbed_iops(device, daemon.group("other"), disturb)
                rates[case][f"mirror={mirror}"] = rate
            move(daemon, process.pid)
            stop(daemon)
        if os.path.exists(KERNEL + "/tasks"):
            costs["kernel"] = kernel_costs(scratch, process.pid)
    finally:
        process.kill()
        process.wait()
    report.add(f"move a process of {TASKS} threads", {name: pair[0] for name, pair in costs.items()}, "ms")
    report.add(f"list {TASKS} threads", {name: pair[1] for name, pair in costs.items()}, "ms")
    for case, values in rates.items():
        report.add(f"requests of another group, QD 32{case}", values, "/s")


# --- the table ---------------------------------------------------------------------------------

def measure(scratch, arguments):
    report = Report()
    groups_and_rules(scratch, report)
    memory_with_one_device(scratch, report)
    lib.need("fio")
    beside_io(scratch, report, max(arguments.seconds, 4))
    try:
        tasks(scratch, report)
    except lib.Skip as reason:
        print(f"without tasks: {reason}", file=sys.stderr)
    return report.rows


def print_table(title, rows):
    print(f"\n### {title}\n\n| | {' | '.join(ORDER)} | target |\n|---|---:|---:|---:|---|")
    for row in rows:
        cells = [cell(row, name) for name in ORDER]
        print(f"| {row['case']} | {' | '.join(cells)} | {row['target']} |")


def cell(row, name):
    if name not in row["values"]:
        return ""
    value = row["values"][name]
    text = f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
    mark = {True: "", False: " **missed**", None: ""}[row["met"].get(name)]
    return f"{text} {row['unit']}{mark}"
