# SPDX-License-Identifier: MIT
"""The conformance suite recorded from the kernel's own controller, against dialect=kernel.

The suite is not part of this repository: BLKIO_CONFORMANCE names its run_conformance.py, by default
one beside the checkout. Required themes decide; cases tagged as quirks, and themes a later version of
the suite may add, are reported only.
"""
import collections
import json
import os
import subprocess

import lib

REQUIRED = {"throttle-syntax", "throttle-values", "throttle-rules", "throttle-io", "tasks",
            "pid-syntax", "cgroupfs", "hierarchy", "flag-files", "read-write-shape", "listing",
            "weight", "weight_device", "stats-io", "release"}
SKIPPED_TAGS = ("procfs", "blkdev", "buffered")


def suite():
    default = os.path.join(os.path.dirname(lib.SOURCE), "shared", "oracle", "run_conformance.py")
    path = os.environ.get("BLKIO_CONFORMANCE", default)
    if not os.path.exists(path):
        raise lib.Skip("the conformance suite is not here; BLKIO_CONFORMANCE can name it")
    return path


def quirks(program):
    """--list prints `THEME/NAME TAG...`; these cases record accidents of the kernel."""
    listed = subprocess.run(["python3", "-B", program, "--root", "/", "--dev-a", "0:0", "--dev-b",
                             "0:0", "--list"], stdout=subprocess.PIPE, text=True, check=True).stdout
    cases = [line.split() for line in listed.splitlines()]
    return {case[0] for case in cases if "quirk" in case[1:]}


def summarise(report, tolerated):
    """Prints a line per theme and every failure; returns the ids of those that decide."""
    themes = collections.defaultdict(collections.Counter)
    deciding = []
    for case in report["cases"]:
        theme = case["case"].split("/")[0]
        themes[theme][case["result"]] += 1
        if case["result"] != "fail":
            continue
        decides = theme in REQUIRED and case["case"] not in tolerated
        if decides:
            deciding.append(case["case"])
        for failure in case["fails"]:
            print(f"{'FAIL' if decides else 'note'} {case['case']} [{failure['where']}] "
                  f"{failure['step'][:160]} -- {failure['why'][:600]}")
    for theme, results in sorted(themes.items()):
        print(f"{theme}: {results['pass']} passed, {results['fail']} failed, {results['skip']} skipped")
    missing = REQUIRED - set(themes)
    lib.check(not missing, f"themes the suite lacks: {missing}")
    return deciding


def test(scratch):
    program = suite()
    first, second = scratch.loop(), scratch.loop()
    blkio = scratch.blkio([first, second], "dialect=kernel", "hierarchy=flat",
                          f"scheduler={second.number}=none")
    command = ["python3", "-B", program, "--json", "--root", blkio.mount, "--dev-a", first.number,
               "--dev-b", second.number, "--io-a", first.path, "--io-b", second.path]
    for tag in SKIPPED_TAGS:
        command += ["--skip-tag", tag]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=500)
    lib.check("{" in done.stdout, f"the suite broke off: {done.stdout[-2000:]}")
    deciding = summarise(json.loads(done.stdout), quirks(program))
    lib.check(not deciding, f"{len(deciding)} required cases failed: {' '.join(deciding)}")


lib.main(test)
