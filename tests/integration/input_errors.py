# SPDX-License-Identifier: MIT
"""Bad command lines: one line on stderr that names the object, an exit code, nothing half-mounted."""
import os
import subprocess

import lib


def refused(scratch, named, *arguments):
    command = [lib.binary("blkio"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    what = " ".join(arguments)
    print(f"{done.returncode}: {done.stderr.strip()}", flush=True)
    lib.check(done.returncode != 0, f"accepted: {what}")
    lines = done.stderr.splitlines()
    lib.check(len(lines) == 1, f"one line on stderr for {what}, not {lines}")
    lib.check(named in lines[0], f"the line names {named}: {lines[0]}")
    lib.check(not lib.mounts_below(scratch.directory), f"nothing stays mounted by {what}")


def test(scratch):
    mount, devdir = scratch.make_directory("mnt"), scratch.make_directory("dev")
    image = scratch.file(name="one.img")
    os.mkdir(scratch.path("other"))
    same_name = scratch.file(name="other/one.img")
    different = scratch.file(name="two.img")
    where = f"devdir={devdir}"

    def options(*words):
        return [mount, "-o", ",".join([*words, where])]

    refused(scratch, "no-such-option", *options(f"device=259:0={image}", "no-such-option=1"))
    refused(scratch, "hierarchy", *options(f"device=259:0={image}", "hierarchy=forest"))
    refused(scratch, "dialect", *options(f"device=259:0={image}", "dialect=latin"))
    refused(scratch, "max_held", *options(f"device=259:0={image}", "max_held=much"))
    refused(scratch, "missing.img", *options(f"device=259:0={scratch.path('missing.img')}"))
    refused(scratch, "one.img", *options(f"device={image}"))  # a regular file needs a number
    refused(scratch, "259:x", *options(f"device=259:x={image}"))
    refused(scratch, devdir, *options(f"device=259:0={devdir}"))  # a directory
    refused(scratch, "259:0", *options(f"device=259:0={image}", f"device=259:0={different}"))
    refused(scratch, "one.img", *options(f"device=259:0={image}", f"device=259:1={same_name}"))
    for option in ("scheduler=259:1=none", "group=259:1=/a"):  # of a device that is not there
        refused(scratch, option, *options(f"device=259:0={image}", option))
        refused(scratch, "add device=259:1=PATH", *options(option))
    loop = scratch.loop()
    refused(scratch, loop.number, *options(loop.option, "scheduler=259:1=none"))
    missing = scratch.path("no-such-directory")
    refused(scratch, missing, missing, "-o", f"device=259:0={image},{where}")
    refused(scratch, image, image, "-o", f"device=259:0={image},{where}")  # not a directory


lib.main(test)
