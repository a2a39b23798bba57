# SPDX-License-Identifier: MIT
"""Plays the cases against the kernel's controller or a blkio daemon; see run.sh and README.md."""
import collections
import contextlib
import fnmatch
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "integration"))

import case_files  # noqa: E402
import kernel_target  # noqa: E402
import lib  # noqa: E402
from stage import Failed, Stage  # noqa: E402


def selected(cases, patterns):
    """A pattern without a slash is a theme."""
    wanted = [pattern if "/" in pattern else pattern + "/*" for pattern in patterns] or ["*"]
    found = [case for case in cases if any(fnmatch.fnmatch(case.name, each) for each in wanted)]
    lib.check(found, f"no case of these names: {' '.join(patterns)}")
    return found


@contextlib.contextmanager
def scheduler(device, name):
    """The kernel's scheduler of a loop device, which keeps it when its file is detached."""
    path = f"/sys/block/{os.path.basename(device.source)}/queue/scheduler"
    try:
        with open(path, "r+", encoding="ascii") as stream:
            before = re.search(r"\[(.*)\]", stream.read()).group(1)
            stream.write(name)
    except OSError as problem:
        raise lib.Skip(f"no scheduler {name} for {device.source}: {problem}") from problem
    try:
        yield
    finally:
        with open(path, "w", encoding="ascii") as stream:
            stream.write(before)


def prepare(scratch, first, second):
    """(mount, group of the suite, devices): A has weights, B has none."""
    target = scratch.blkio([first, second], "dialect=kernel", "hierarchy=flat",
                           f"scheduler={second.number}=none")
    suite = target if lib.ON_KERNEL else target.group("suite")
    for device in (first, second):  # its I/O is counted from the first rule on, whatever that says
        suite.limit("read_bps", device, 0)
    mount = kernel_target.MOUNT if lib.ON_KERNEL else target.mount
    return mount, suite.path, {"A": first, "B": second}


def play(case, mount, group, devices):
    """Complaints in words."""
    complaints = []
    stage = Stage(mount, group, devices)
    try:
        for step in case.steps:
            stage.play(step)
    except Failed as problem:
        complaints.append(str(problem))
    try:
        stage.clear()
    except OSError as problem:
        complaints.append(f"its group stays: {problem}")
    return complaints


def report(results):
    themes = collections.defaultdict(collections.Counter)
    for case, result in results:
        themes[case.theme][result] += 1
    for theme, counts in themes.items():
        print(f"{theme}: {counts['passed']} passed, {counts['failed']} failed, "
              f"{counts['skipped']} skipped")
    total = collections.Counter(result for _, result in results)
    checks = sum(len(case.steps) for case, result in results if result != "skipped")
    print(f"{total['passed']} passed, {total['failed']} failed, {total['skipped']} skipped "
          f"({checks} steps)")
    return total["failed"]


def play_all(cases, mount, suite, devices):
    results = []
    for number, case in enumerate(cases):
        if case.blkio_cannot and not lib.ON_KERNEL:
            print(f"skipped {case.name}: {case.blkio_cannot}")
            results.append((case, "skipped"))
            continue
        complaints = play(case, mount, os.path.join(suite, f"case{number}"), devices)
        for complaint in complaints:
            print(f"FAILED {case.name}\n    {complaint}", flush=True)
        results.append((case, "failed" if complaints else "passed"))
    return results


def test(scratch):
    cases = selected(case_files.load(), sys.argv[1:])
    if lib.ON_KERNEL and not os.path.exists(kernel_target.MOUNT + "/blkio.bfq.io_serviced"):
        raise lib.Skip(f"no blkio controller with bfq at {kernel_target.MOUNT}")
    os.umask(0o022)
    first, second = scratch.loop(), scratch.loop()
    with contextlib.ExitStack() as settings:
        if lib.ON_KERNEL:
            settings.enter_context(scheduler(first, "bfq"))
            settings.enter_context(scheduler(second, "none"))
        results = play_all(cases, *prepare(scratch, first, second))
    failed = report(results)
    lib.check(not failed, f"{failed} cases failed")


lib.main(test)
