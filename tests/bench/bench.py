# SPDX-License-Identifier: MIT
"""Measures blkio beside what else there is, in one run, in turns, so that all see the same machine.

A table of I/O runs its contenders one after the other, `--rounds` times over; shown are the medians,
the spread (least and most), and the ratio to the first contender. Quote ratios, not absolutes. What
control_plane.py measures is said there.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
import control_plane  # noqa: E402
import inside_limits  # noqa: E402
import lib  # noqa: E402
import limits  # noqa: E402
import service  # noqa: E402
import shares  # noqa: E402
from lib import MIB  # noqa: E402

SIZE = 256 * MIB
PLENTY = 10**12  # bytes per second: the limiter is at work, and never in the way


def fio(path, options, seconds, enter=None):
    """One run; fio's numbers for reads."""
    command = ["fio", "--name=bench", f"--filename={path}", "--allow_file_create=0", "--direct=1",
               "--thread", "--ioengine=libaio", "--time_based", f"--runtime={seconds}",
               "--ramp_time=0.3", f"--size={SIZE}", "--norandommap", "--randrepeat=0",
               "--output-format=json", *options]
    output = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True,
                            timeout=seconds + 60, preexec_fn=enter).stdout
    return json.loads(output[output.index("{"):])["jobs"][0]["read"]


class Native:
    name = "native"

    def __init__(self, scratch, device):
        self.path = device.source
        self.enter = None

    def close(self):
        pass


class Blkio:
    name = "blkio"

    def __init__(self, scratch, device):
        daemon = scratch.blkio([device])
        group = daemon.group("bench")
        group.limit("read_bps", device, PLENTY)
        self.path = device.path
        self.enter = group.enter

    def close(self):
        pass  # the scratch stops its daemons


class Qemu:
    """qemu-storage-daemon's FUSE export over a throttle node; needs no group of tasks."""

    name = "QEMU FUSE export"

    def __init__(self, scratch, device):
        lib.need("qemu-storage-daemon")
        self.path = scratch.file(0, "qemu-export")
        self.enter = None
        self.process = subprocess.Popen(
            ["qemu-storage-daemon",
             "--object", f"throttle-group,id=limits,x-bps-total={PLENTY}",
             "--blockdev", f"driver=host_device,node-name=disk,filename={device.source},"
                           "cache.direct=on,aio=io_uring",
             "--blockdev", "driver=throttle,node-name=limited,throttle-group=limits,file=disk",
             "--export", f"type=fuse,id=export,node-name=limited,mountpoint={self.path},writable=on"],
            preexec_fn=lib.die_on_sigterm_of_parent)
        lib.eventually(lambda: os.stat(self.path).st_size == SIZE or self.process.poll() is not None,
                       10, "the export answers")
        lib.check(self.process.poll() is None, "qemu-storage-daemon runs")

    def close(self):
        self.process.terminate()
        self.process.wait(timeout=10)


def random_reads(scratch, arguments):
    """4 KiB random reads over a loop device on tmpfs, one and 32 at a time, in IOPS."""
    memory = scratch.make_directory("memory")
    lib.run("mount", "-t", "tmpfs", "-o", "size=400m", "none", memory)
    backing = scratch.file(SIZE, "memory/disk.img")
    with open(backing, "r+b") as stream:
        for _ in range(SIZE // MIB):
            stream.write(b"\xa5" * MIB)
    device = scratch.loop(SIZE, backing=backing)
    contenders = []
    for kind in (Native, Blkio, Qemu):
        try:
            contenders.append(kind(scratch, device))
        except lib.Skip as reason:
            print(f"without {kind.name}: {reason}", file=sys.stderr)
    depths = (1, 32)
    results = {(contender.name, f"QD {depth}"): [] for contender in contenders for depth in depths}
    try:
        for _ in range(arguments.rounds):
            for depth in depths:
                for contender in contenders:
                    job = fio(contender.path, ["--rw=randread", "--bs=4k", f"--iodepth={depth}"],
                              arguments.seconds, contender.enter)
                    results[contender.name, f"QD {depth}"].append(job["iops"])
    finally:
        for contender in contenders:
            contender.close()
    return results


def rows_of(results):
    """Medians, spread and ratio to the first contender of the same column."""
    rows = []
    base = {}
    for (name, column), values in results.items():
        median = statistics.median(values)
        base.setdefault(column, median)
        rows.append({"contender": name, "case": column, "median": median, "min": min(values),
                     "max": max(values), "ratio": median / base[column], "runs": values})
    return sorted(rows, key=lambda row: list(base).index(row["case"]))


def print_table(title, rows):
    print(f"\n### {title}\n\n| case | contender | median | least … most | ratio |\n|---|---|---:|---:|---:|")
    for row in rows:
        print(f"| {row['case']} | {row['contender']} | {row['median']:.0f} | "
              f"{row['min']:.0f} … {row['max']:.0f} | {row['ratio']:.2f} |")


class Contest:
    """A table of contenders and their ratios."""

    def __init__(self, run):
        self.TITLE = run.__doc__
        self.measure = lambda scratch, arguments: rows_of(run(scratch, arguments))
        self.print_table = print_table


TABLES = {"random_reads": Contest(random_reads), "control_plane": control_plane,
          "shares": shares, "service": service, "inside_limits": inside_limits, "limits": limits}


def run_table(scratch, name, arguments):
    before = os.getloadavg()[0]
    table = TABLES[name]
    rows = table.measure(scratch, arguments)
    table.print_table(table.TITLE, rows)
    load = [before, os.getloadavg()[0]]
    print(f"\nMedians; --rounds {arguments.rounds} --seconds {arguments.seconds:g}; load average "
          f"{load[0]:.2f} before, {load[1]:.2f} after; {os.cpu_count()} CPUs, Linux {os.uname().release}.")
    return {"table": name, "rows": rows, "load_average": load, "time": time.strftime("%FT%TZ", time.gmtime())}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="tables; all without any")
    parser.add_argument("--list", action="store_true", help="list the tables")
    parser.add_argument("--json", metavar="FILE", help="all numbers, too")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    arguments = parser.parse_args()
    for name in arguments.names:
        if name not in TABLES:
            parser.error(f"no table {name}; there are {', '.join(TABLES)}")
    return arguments


def main():
    arguments = parse_arguments()
    if arguments.list:
        for name, table in TABLES.items():
            print(f"{name}: {table.TITLE}")
        return

    def bench(scratch):
        tables = [run_table(scratch, name, arguments) for name in arguments.names or TABLES]
        if arguments.json:
            with open(arguments.json, "w", encoding="utf-8") as stream:
                json.dump({"tables": tables, "kernel": os.uname().release, "cpus": os.cpu_count()},
                          stream, indent=1)

    lib.main(bench)


main()
