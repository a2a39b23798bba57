# SPDX-License-Identifier: MIT
"""conformance.py [MIRROR]: the conformance suite recorded from the kernel's own controller, against
dialect=kernel,hierarchy=flat.

The suite is not part of this repository: BLKIO_CONFORMANCE names its run_conformance.py, by default
one beside the checkout. Everything has to pass but what docs/conformance.md names: a case is left
out only if it is tagged as a quirk, an accident of the kernel, and few of those may be. Themes that
a later version of the suite may add are reported only.
"""
import collections
import json
import os
import re
import subprocess
import sys

import lib
import stacked

REQUIRED = {"throttle-syntax", "throttle-values", "throttle-rules", "throttle-io", "tasks",
            "pid-syntax", "cgroupfs", "hierarchy", "flag-files", "read-write-shape", "listing",
            "weight", "weight_device", "stats-io", "release"}
DEVICE_BYTES = 256 * lib.MIB  # cases go up to 128 MiB
LEAST_QUIRKS = 0.8  # of them must pass
DOCUMENT = os.path.join(lib.SOURCE, "docs", "conformance.md")


def suite():
    default = os.path.join(os.path.dirname(lib.SOURCE), "shared", "oracle", "run_conformance.py")
    path = os.environ.get("BLKIO_CONFORMANCE", default)
    if not os.path.exists(path):
        raise lib.Skip("the conformance suite is not here; BLKIO_CONFORMANCE can name it")
    return path


def skipped_tags(mirror):
    """Where the tool is missing, not the behaviour; see DOCUMENT."""
    return ["blkdev"] if mirror == "real" else ["blkdev", "procfs"]


def tagged(program, tag):
    """The cases that bear the tag; --list prints `THEME/NAME TAG...`."""
    listed = lib.run("python3", "-B", program, "--root", "/", "--dev-a", "0:0", "--dev-b", "0:0",
                     "--list")
    cases = [line.split() for line in listed.splitlines()]
    return {case[0] for case in cases if tag in case[1:]}


def left_out():
    """The cases that the document gives a reason for."""
    with open(DOCUMENT, encoding="utf-8") as stream:
        return set(re.findall(r"^\| `([a-z_-]+/[^`]+)` \|", stream.read(), re.MULTILINE))


def play(program, blkio, devices, mirror, *only):
    """The suite's own report."""
    first, second = devices
    command = ["python3", "-B", program, "--json", "--root", blkio.mount, "--dev-a", first.number,
               "--dev-b", second.number, "--io-a", first.path, "--io-b", second.path, *only]
    for tag in skipped_tags(mirror):
        command += ["--skip-tag", tag]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=500)
    lib.check("{" in done.stdout, f"the suite broke off: {done.stdout[-2000:]}")
    return json.loads(done.stdout)["cases"]


def play_all(program, *arguments):
    """A case that measures a time may be late on a busy machine: it has three tries."""
    cases = play(program, *arguments)
    timed = tagged(program, "timing")
    for _ in range(2):
        for index, case in enumerate(cases):
            if case["result"] == "fail" and case["case"] in timed:
                print(f"late? {case}")
                cases[index] = play(program, *arguments, "--only", case["case"])[0]
    return cases


def print_report(cases):
    """A line for each theme, and what failed."""
    themes = collections.defaultdict(collections.Counter)
    for case in cases:
        themes[case["case"].split("/")[0]][case["result"]] += 1
        for failure in case.get("fails", []):
            print(f"failed: {case['case']} [{failure['where']}] {failure['step'][:160]} -- "
                  f"{failure['why'][:600]}")
    for theme, results in sorted(themes.items()):
        print(f"{theme}: {results['pass']} passed, {results['fail']} failed, "
              f"{results['skip']} skipped")
    missing = REQUIRED - set(themes)
    lib.check(not missing, f"themes the suite lacks: {missing}")


def check_report(cases, accidents):
    excused = accidents & left_out()
    failed = [case["case"] for case in cases if case["result"] == "fail"
              and case["case"].split("/")[0] in REQUIRED and case["case"] not in excused]
    lib.check(not failed, f"{len(failed)} cases failed: {' '.join(failed)}")
    passed = accidents & {case["case"] for case in cases if case["result"] == "pass"}
    print(f"{len(passed)} of {len(accidents)} quirks passed")
    lib.check(len(passed) >= LEAST_QUIRKS * len(accidents), "too many quirks are left out")
    stale = sorted(passed & excused)
    lib.check(not stale, f"left out in docs/conformance.md, but passed: {stale}")


def main(mirror="named"):
    def test(scratch):
        program = suite()
        devices = [scratch.loop(DEVICE_BYTES), scratch.loop(DEVICE_BYTES)]
        blkio = scratch.blkio(devices, "dialect=kernel", "hierarchy=flat", f"mirror={mirror}",
                              f"scheduler={devices[1].number}=none")
        source = blkio.ctl_json("status")
        if mirror == "real" and source["membership"] != "mirror-real":
            raise lib.Skip("no daemon can use the kernel's blkio hierarchy here")
        cases = play_all(program, blkio, devices, mirror)
        print_report(cases)
        check_report(cases, tagged(program, "quirk"))

    lib.main(stacked.with_kernel_groups(test) if mirror == "real" else test)


main(*sys.argv[1:])
