# SPDX-License-Identifier: MIT
"""Measures blkio beside what else there is, in one run, in turns, so that all see the same machine.

A table is an object with a TITLE, measure(scratch, arguments), which returns its rows, and
print_table(title, rows). It may have panels(rows) for the chart, and `failed`: what went wrong with
single contenders while the others went on. Quote ratios, not absolutes.
"""
import argparse
import json
import os
import re
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
import chart  # noqa: E402
import clients  # noqa: E402
import control_plane  # noqa: E402
import data_path  # noqa: E402
import engines_model  # noqa: E402
import inside_limits  # noqa: E402
import lib  # noqa: E402
import limits  # noqa: E402
import qemu_limits  # noqa: E402
import service  # noqa: E402
import shares  # noqa: E402

TABLES = {**data_path.TABLES, "control_plane": control_plane, "shares": shares, "service": service,
          "inside_limits": inside_limits, "limits": limits, "qemu_limits": qemu_limits}
# Names that stand for others, and tables that are not part of a run without names.
SETS = {"data_path": list(data_path.TABLES)}
PARTS = {"data_path_asked": data_path.ASKED, "engines_model": engines_model}


def run_table(scratch, name, arguments):
    table = {**TABLES, **PARTS}[name]
    before, load = clients.machine_seconds(), os.getloadavg()[0]
    rows = table.measure(scratch, arguments)
    spent = {key: value - before[key] for key, value in clients.machine_seconds().items()}
    load, steal = [load, os.getloadavg()[0]], spent["steal"] / spent["all"]
    table.print_table(table.TITLE, rows)
    print(f"\nMedians; --rounds {arguments.rounds} --seconds {arguments.seconds:g}; load average "
          f"{load[0]:.2f} before, {load[1]:.2f} after; {steal:.1%} of the CPUs stolen; "
          f"{os.cpu_count()} CPUs, Linux {os.uname().release}.", flush=True)
    return {"table": name, "rows": rows, "load_average": load, "steal": steal,
            "failed": getattr(table, "failed", []),
            "panels": table.panels(rows) if hasattr(table, "panels") else [],
            "time": time.strftime("%FT%TZ", time.gmtime())}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="tables; all without any")
    parser.add_argument("--list", action="store_true", help="list the tables")
    parser.add_argument("--json", metavar="FILE", help="all numbers, too")
    parser.add_argument("--svg", metavar="FILE", help="a chart of the tables that have one")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--only", metavar="REGEX", default="",
                        help="of the data path: the matches with 'device: load: peer' like this")
    arguments = parser.parse_args()
    known = {**TABLES, **SETS, **PARTS}
    for name in arguments.names:
        if name not in known:
            parser.error(f"no table {name}; there are {', '.join(known)}")
    try:
        re.compile(arguments.only)
    except re.error as error:
        parser.error(f"--only: {error}")
    arguments.names = [table for name in arguments.names or TABLES
                       for table in SETS.get(name, [name])]
    return arguments


def print_list():
    for name, table in {**TABLES, **PARTS}.items():
        print(f"{name}: {table.TITLE}")
    for name, tables in SETS.items():
        print(f"{name}: {', '.join(tables)}")


def save(arguments, tables):
    """After each table, so that a run cut short keeps what it has."""
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as stream:
            json.dump({"tables": tables, "kernel": os.uname().release, "cpus": os.cpu_count()},
                      stream, indent=1)
    if arguments.svg:
        chart.write(arguments.svg, f"Linux {os.uname().release}, {os.cpu_count()} CPUs",
                    [panel for table in tables for panel in table["panels"]])


def main():
    arguments = parse_arguments()
    if arguments.list:
        print_list()
        return

    def bench(scratch):
        tables = []
        for name in arguments.names:
            tables.append(run_table(scratch, name, arguments))
            save(arguments, tables)
        failed = [text for table in tables for text in table["failed"]]
        lib.check(not failed, "; ".join(failed))

    lib.main(bench)


main()
