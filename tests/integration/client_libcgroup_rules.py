# SPDX-License-Identifier: MIT
"""libcgroup's rule daemon moves a program into its group as soon as it is executed, and no other.

It reads fixed files in /etc and keeps a socket in /run: both are covered by the
test's own.
"""
import os
import shutil
import subprocess

import lib
import stacked


def cover_configuration(scratch, rule):
    """An /etc with the one rule; nothing of the real one is copied or changed."""
    ours = scratch.make_directory("etc")
    for name in ("cgrules.d", "cgconfig.d"):
        os.makedirs(os.path.join(ours, name))
    for name, text in (("cgconfig.conf", ""), ("cgrules.conf", rule + "\n")):
        with open(os.path.join(ours, name), "w", encoding="ascii") as stream:
            stream.write(text)
    try:
        lib.run("mount", "-t", "overlay", "-o", f"lowerdir={ours}:/etc", "etc", "/etc")
    except subprocess.CalledProcessError:
        raise lib.Skip("overlayfs cannot be mounted over /etc") from None
    stacked.bind(scratch.make_directory("run"), "/run")


def start(*command):
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    lib.children.append(process)
    return process


@stacked.alone
def test(scratch):
    lib.need("cgrulesengd", "sleep")
    blkio = stacked.blkio(scratch, [scratch.loop()])
    ruled = blkio.group("ruled")
    program = shutil.copy(shutil.which("sleep"), scratch.path("ruled-program"))
    cover_configuration(scratch, f"root:{program}\tblkio\truled")
    daemon = start("cgrulesengd", "-n", "-f", scratch.path("rules.log"))
    # The socket is made after the subscription to the kernel's events of exec.
    lib.eventually(lambda: os.path.exists("/run/cgred.socket"), 10, "cgrulesengd is at work")
    moved = start(program, "60")
    start(shutil.which("sleep"), "60")
    lib.eventually(lambda: ruled.read("cgroup.procs") == f"{moved.pid}\n", 10, "the program moved")
    daemon.terminate()
    lib.check(daemon.wait(10) == 0, f"cgrulesengd exits with {daemon.returncode}")
    lib.check(ruled.read("cgroup.procs") == f"{moved.pid}\n", "it alone moved")


lib.main(test)
