# SPDX-License-Identifier: MIT
"""soak_random_tree.py MIRROR SECONDS [SEED]: eight processes make, rename and remove groups, move
tasks and write rules at random, beside I/O. Nothing crashes, nothing leaks, and the tree is what the
model kept beside it says.

With mirror=none the dialect is the kernel's and the hierarchy flat, else both are the default.
"""
import functools
import json
import os
import random
import select
import sys
import time

import lib
import random_tree_worker as workers
from actors import Actor
from lib import KIB, MIB
from random_tree_model import FILES, rows_of

WORKERS = 8
WARM_UP_SECONDS = 2
GRACE_SECONDS = 60  # an operation may wait for a machine that has others to serve
# The C library keeps some of what it was given back: half a MiB after ten seconds, two after three
# minutes. The text of each open file, not given back, would be six after forty seconds.
SLACK_BYTES = 8 * MIB


class Soak:
    def __init__(self, scratch, mirror, seed):
        self.chance = random.Random(seed)
        self.devices = [scratch.loop(), scratch.loop()]
        self.dialect = "kernel" if mirror == "none" else "doc"
        options = [f"mirror={mirror}", f"scheduler={self.devices[1].number}=none"]
        if self.dialect == "kernel":
            options += ["dialect=kernel", "hierarchy=flat"]
        self.blkio = scratch.blkio(self.devices, *options)
        self.source = self.ask("status")["membership"]

    def ask(self, command):
        program = lib.binary("blkioctl")
        return json.loads(lib.run(program, "-m", self.blkio.mount, command, "--json"))

    def shared(self):
        return os.path.join(self.blkio.mount, workers.SHARED)

    # --- the workers
    def start(self):
        os.mkdir(self.shared())
        actors = [Actor() for _ in range(WORKERS)]
        for number, actor in enumerate(actors):
            actor.call(workers.start, workers.Place(self.blkio.mount, self.dialect, self.devices,
                                                    number, self.chance.random()))
        return actors

    def all_do(self, actors, seconds, function, *arguments):
        """Their results, in their order; meanwhile the daemon has to answer."""
        for actor in actors:
            actor.begin(function, *arguments)
        waited_for = list(actors)
        results = {}
        end = time.monotonic() + seconds
        while waited_for:
            lib.check(self.blkio.process.poll() is None, "the daemon has ended")
            lib.check(time.monotonic() < end, f"{len(waited_for)} workers are not done")
            for actor in select.select(waited_for, [], [], 1)[0]:
                results[actor] = actor.result()
                waited_for.remove(actor)
            self.ask("devices")
            self.ask("status")
        return [results[actor] for actor in actors]

    def run(self, seconds):
        """Ends with the tree looked at and removed."""
        actors = self.start()
        done = self.all_do(actors, seconds + GRACE_SECONDS, workers.run, seconds)
        pictures = self.all_do(actors, GRACE_SECONDS, workers.picture)
        self.compare({path: group for each in pictures for path, group in each.items()})
        self.all_do(actors, 2 * GRACE_SECONDS, workers.clear)
        for actor in actors:
            actor.end()
        for directory, _, _ in os.walk(self.shared(), topdown=False):
            lib.eventually(functools.partial(workers.is_removed, directory), 10,
                           f"{directory} is removed")
        return sum(done[1:], done[0])

    # --- what must be so
    def compare(self, wanted):
        """The whole mount with the models; the shared groups are nobody's."""
        found = {}
        for path, groups, files in os.walk(self.blkio.mount):
            if path == self.blkio.mount:
                groups.remove(workers.SHARED)
                continue
            texts = {file: rows_of(lib.Group(path).read(file), file) for file in FILES}
            mode = os.stat(path).st_mode & 0o7777
            found[os.path.relpath(path, self.blkio.mount)] = (sorted(groups), mode, texts)
        lib.check(found.keys() == wanted.keys(), f"groups {found.keys() ^ wanted.keys()} differ")
        for path, group in wanted.items():
            lib.check(found[path] == group, f"{path} is {found[path]}, not {group}")
        print(f"{len(found)} groups are as they should be", flush=True)

    def check_nothing_left(self):
        groups = [entry.name for entry in os.scandir(self.blkio.mount) if entry.is_dir()]
        lib.check(groups == [], f"the tree still has {groups}")
        lib.check(self.ask("status")["groups"] == 1, "and so it is for the daemon")
        for device in self.ask("devices"):
            left = [device[what] for what in ("held", "held_bytes", "in_flight")]
            lib.check(left == [0, 0, 0], f"{device['device']}: held, held bytes, in flight: {left}")

    def check_counts(self):
        """Each request is counted once: in its group, in a parent once that is removed. One whose
        issuer was killed may have been or not."""
        if self.dialect == "kernel":
            return  # there a removed group takes its counts along
        for index, device in enumerate(self.devices):
            counted = self.blkio.count("blkio.throttle.io_serviced_recursive", device, "Total")
            issued, completed = (workers.counters.total(index, which)
                                 for which in (workers.ISSUED, workers.COMPLETED))
            print(f"{device.number}: {completed} requests done, {counted} counted, {issued} issued")
            lib.check(completed <= counted <= issued, "each request is counted once")

    def resources(self):
        """Open descriptors and memory of the daemon's two processes."""
        status = self.ask("status")
        pids = [status["holder_pid"], status["worker_pid"]]
        descriptors = [len(os.listdir(f"/proc/{pid}/fd")) for pid in pids]
        with open(f"/proc/{pids[1]}/statm", encoding="ascii") as stream:
            pages = int(stream.read().split()[1])
        return descriptors, pages * os.sysconf("SC_PAGE_SIZE")

    def check_leaks(self, before):
        # A connection to the control socket is closed a moment after its answer has come.
        lib.eventually(lambda: self.resources()[0] <= before[0], 5, "all descriptors are closed")
        descriptors, memory = self.resources()
        print(f"descriptors {before[0]}, then {descriptors}; "
              f"memory {before[1] // KIB} KiB, then {memory // KIB} KiB")
        # A sanitizer keeps memory that was given back, and reports leaks itself.
        if not lib.has_sanitizer(lib.binary("blkio")):
            lib.check(memory - before[1] < SLACK_BYTES, "memory is given back")


def main(mirror, seconds, seed=None):
    seed = int(seed) if seed else random.SystemRandom().randrange(2 ** 32)

    def test(scratch):
        print(f"seed {seed}", flush=True)
        soak = Soak(scratch, mirror, seed)
        if mirror == "named" and soak.source != "mirror-named":
            raise lib.Skip(f"this machine has no named mirror ({soak.source} instead)")
        soak.run(WARM_UP_SECONDS)
        soak.check_nothing_left()
        before = soak.resources()
        done = soak.run(float(seconds))
        print(", ".join(f"{count} {name}" for name, count in done.most_common()))
        soak.check_nothing_left()
        soak.check_counts()
        soak.check_leaks(before)
        complaints = soak.blkio.stop()
        lib.check(not complaints, f"{complaints}")

    lib.main(test)


main(*sys.argv[1:])
