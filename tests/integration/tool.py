# SPDX-License-Identifier: MIT
"""blkioctl on a mount of a test's."""
import json
import subprocess

import lib


class Tool:
    def __init__(self, mount):
        self._command = [lib.binary("blkioctl"), "-m", mount]

    def run(self, *arguments):
        """A command that must succeed and has nothing to complain of; returns what it prints."""
        done = self._start(*arguments)
        lib.check(done.returncode == 0 and not done.stderr, f"{arguments}: {done.stderr}")
        return done.stdout

    def json(self, *arguments):
        return json.loads(self.run(*arguments, "--json"))

    def words(self, *arguments):
        """Lines of NAME=VALUE as a dictionary."""
        return dict(line.split("=", 1) for line in self.run(*arguments).splitlines())

    def refused(self, reason, *arguments):
        """A command that must fail with one line in which `reason` is found."""
        done = self._start(*arguments)
        print(f"{done.returncode}: {done.stderr.strip()}", flush=True)
        lib.check(done.returncode != 0, f"accepted: {arguments}")
        lib.check(len(done.stderr.splitlines()) == 1, f"one line on stderr, not {done.stderr!r}")
        lib.check(reason in done.stderr, f"no {reason!r} in {done.stderr!r}")
        lib.check(not done.stdout, f"nothing on stdout, not {done.stdout!r}")

    def _start(self, *arguments):
        return subprocess.run([*self._command, *map(str, arguments)], capture_output=True,
                              text=True, timeout=20)
