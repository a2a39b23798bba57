#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""count_results.py DIRECTORY: sums up ctest's JUnit files (*.xml) and builds that broke (*.broken).

Prints each failed and each skipped test and, as its last line, `N passed, N failed, N skipped`.
Only a test that said so itself is skipped; one that could not be started has failed.
"""
import glob
import os
import sys
import xml.etree.ElementTree as ElementTree

SAID_SO = ("SKIP_RETURN_CODE", "SKIP_REGULAR_EXPRESSION")


def verdict(case):
    """passed, skipped or failed, and why."""
    status = case.get("status")
    if status == "run":
        return "passed", ""
    note = case.find("skipped")
    why = note.get("message", "") if note is not None else status
    if status == "notrun" and why.startswith(SAID_SO):
        output = case.findtext("system-out") or ""
        lines = [line for line in output.splitlines() if "skip" in line.lower()]
        return "skipped", lines[0].strip() if lines else why
    return "failed", why


def main(directory):
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    for path in sorted(glob.glob(os.path.join(directory, "*.broken"))):
        counts["failed"] += 1
        print("failed: " + os.path.basename(path))
    reports = sorted(glob.glob(os.path.join(directory, "*.xml")))
    for path in reports:
        for case in ElementTree.parse(path).getroot().iter("testcase"):
            result, why = verdict(case)
            counts[result] += 1
            if result != "passed":
                run = os.path.splitext(os.path.basename(path))[0]
                print(f"{result} [{run}]: {case.get('name')}" + (f" ({why})" if why else ""))
    print("{passed} passed, {failed} failed, {skipped} skipped".format(**counts))
    return 0 if counts["passed"] and not counts["failed"] else 1


sys.exit(main(sys.argv[1]))
