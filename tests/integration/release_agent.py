# SPDX-License-Identifier: MIT
"""release_agent.py SOURCE: the agent runs for a group that its last task has left, by exit or by move,
or that has lost its last child group, if notify_on_release says so; and it runs once.
"""
import os
import subprocess
import sys
import time

import lib

AGENT = """#!/bin/sh
echo "$# $1 $(id -u) $PWD $(nice)" >> {log}
[ -e {keep} ] || rmdir {mount}"$1"
"""


class Place:
    def __init__(self, scratch, source):
        self.blkio = scratch.blkio([scratch.image()], f"mirror={source}")
        self.log = scratch.path("released")
        self.keep = scratch.path("keep")
        self.agent = scratch.path("agent")
        with open(self.agent, "w", encoding="ascii") as program:
            program.write(AGENT.format(log=self.log, keep=self.keep, mount=self.blkio.mount))
        os.chmod(self.agent, 0o755)
        self.expected = []

    def group(self, parent, name):
        group = parent.group(name)
        group.write("notify_on_release", 1)
        return group

    def released(self, *paths):
        """The agent has run for these groups since the last call, and for no others."""
        # Of no other priority than whoever started the daemon.
        self.expected += [f"1 {path} 0 / {os.nice(0)}" for path in paths]
        lib.eventually(lambda: len(self.lines()) >= len(self.expected), 5, f"released: {paths}")
        lib.check(sorted(self.lines()) == sorted(self.expected), f"it ran as {self.lines()}")

    def lines(self):
        if not os.path.exists(self.log):
            return []
        with open(self.log, encoding="ascii") as log:
            return log.read().splitlines()

    def settle(self):
        """All that was to run has run: a last group is released after it."""
        last = self.group(self.blkio, "last")
        enter_and_exit(last)
        self.released("/last")
        lib.eventually(lambda: not os.path.exists(last.path), 5, "the last group is gone")


def enter_and_exit(group):
    subprocess.run(["true"], preexec_fn=group.enter, check=True)


def sleeper(group):
    process = subprocess.Popen(["sleep", "1000"], preexec_fn=group.enter)
    lib.children.append(process)
    return process


def by_exit(place):
    group = place.group(place.blkio, "exit")
    first, second = sleeper(group), sleeper(group)
    first.kill()
    first.wait()
    place.settle()
    lib.check(os.path.exists(group.path), "one task is left")
    second.kill()
    second.wait()
    place.released("/exit")
    lib.eventually(lambda: not os.path.exists(group.path), 5, "the agent removed the group")


def by_move(place):
    group = place.group(place.blkio, "move")
    process = sleeper(group)
    place.blkio.write("tasks", process.pid)
    place.released("/move")
    process.kill()
    process.wait()


def nested(place):
    """A group with a child group is not released; it is when the agent has removed the last one."""
    outer = place.group(place.blkio, "outer")
    inner = place.group(outer, "in ner")
    process = sleeper(outer)
    place.blkio.write("cgroup.procs", process.pid)
    place.settle()
    lib.check(os.path.exists(outer.path), "it has a child group")
    inner.write("cgroup.procs", process.pid)
    process.kill()
    process.wait()
    place.released("/outer/in ner", "/outer")
    lib.eventually(lambda: not os.path.exists(outer.path), 5, "both are gone")


def only_if_asked(place):
    """Not without notify_on_release, not for what was empty all along, not without an agent, and an
    agent that cannot run disturbs nobody."""
    group = place.group(place.blkio, "quiet")
    os.mkdir(group.path + "/child")
    lib.check(place.blkio.group("quiet").group("child").read("notify_on_release") == "1\n",
              "the child has its parent's")
    group.group("child").write("notify_on_release", 0)
    enter_and_exit(group.group("child"))
    os.rmdir(group.path + "/child")
    place.released("/quiet")  # by the rmdir of its last child
    for agent in ("", "/nonexistent", place.log):
        place.blkio.write("release_agent", agent + "\n")
        enter_and_exit(place.group(place.blkio, "nobody"))
        time.sleep(0.2)  # the news of an exit may come 20 ms later
    place.blkio.write("release_agent", place.agent)
    place.settle()
    os.rmdir(os.path.join(place.blkio.path, "nobody"))


def busy_again(place):
    """An agent that does not remove: the group is released anew each time it empties."""
    with open(place.keep, "w", encoding="ascii"):
        pass
    group = place.group(place.blkio, "again")
    for _ in range(3):
        enter_and_exit(group)
        place.released("/again")
    os.unlink(place.keep)
    os.rmdir(group.path)


def many(place):
    """More than run at once."""
    groups = [place.group(place.blkio, f"many{index}") for index in range(40)]
    tasks = [sleeper(group) for group in groups]
    for process in tasks:
        process.kill()
    for process in tasks:
        process.wait()
    place.released(*[f"/many{index}" for index in range(40)])


def not_by_all(place):
    """Naming a program that root runs is root's, even for the owner of the file."""
    path = os.path.join(place.blkio.path, "release_agent")
    os.chown(path, 1234, 1234)

    def write():
        os.setuid(1234)
        place.blkio.write("release_agent", "/bin/false")

    lib.check_errno("EPERM", lib.Job(write).result)
    lib.check(place.blkio.read("release_agent") == place.agent + "\n", "it is as it was")


def main(source):
    def test(scratch):
        place = Place(scratch, source)
        lib.check(place.blkio.read("release_agent") == "\n", "no agent at first")
        place.blkio.write("release_agent", place.agent)
        for case in (by_exit, by_move, nested, only_if_asked, busy_again, many, not_by_all):
            print(case.__name__, flush=True)
            case(place)

    lib.main(test)


main(*sys.argv[1:])
