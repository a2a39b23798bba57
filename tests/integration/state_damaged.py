# SPDX-License-Identifier: MIT
"""A state file that is damaged, or somebody else's, stops the start, says why and stays as it is."""
import os
import subprocess

import lib
from lib import KIB


def refused(blkio, *words):
    """Starts the daemon a second time, somewhere else."""
    other = blkio.mount + "-2"
    os.makedirs(other, exist_ok=True)
    command = [other if word == blkio.mount else word for word in blkio.command]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=20)
    lib.check(done.returncode != 0, "it started")
    for word in words:
        lib.check(word in done.stderr, f"no {word!r} in: {done.stderr}")
    lib.check(not os.path.ismount(other), "it left a mount")


def test(scratch):
    state = scratch.path("state")
    blkio = scratch.blkio([], f"state={state}", "mirror=none")
    blkio.group("a")
    refused(blkio, state, "another daemon keeps its state here")
    lib.check(not blkio.stop(), "the daemon stops")

    with open(state, "r+b") as stream:
        whole = stream.read()
        at = whole.index(b'"name":"a"')
        stream.seek(at)
        stream.write(b'"nAme"')
    damaged = open(state, "rb").read()
    refused(blkio, state, "damaged, line", "move it away")
    lib.check(open(state, "rb").read() == damaged, "the damaged file was changed")

    for text, word in ((b"no state at all\n", "damaged"), (whole[:len(whole) // 2], "damaged")):
        with open(state, "wb") as stream:
            stream.write(text)
        refused(blkio, state, word)
    os.remove(state)
    os.mkdir(state)
    refused(blkio, state, "Is a directory")
    os.rmdir(state)

    # On the device itself: every write of the daemon's would wait for the daemon.
    disk, place = scratch.loop(), scratch.make_directory("place")
    lib.run("mkfs.ext4", "-q", disk.source)
    lib.run("mount", disk.source, place)
    try:
        command = [lib.binary("blkio"), "-f", scratch.make_directory("m"), "-o",
                   f"{disk.option},state={place}/state,devdir={scratch.path('dev')}"]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=20)
        lib.check(done.returncode != 0 and "put it elsewhere" in done.stderr, done.stderr)
    finally:
        lib.run("umount", place)

    # A disk that is full stops nobody, and what was lost is written when there is room again.
    small = scratch.make_directory("small")
    lib.run("mount", "-t", "tmpfs", "-o", "size=64k", "none", small)
    try:
        full(scratch, small)
    finally:
        lib.run("umount", "-l", small)


def full(scratch, small):
    state = os.path.join(small, "state")
    blkio = scratch.blkio([], f"state={state}", "mirror=none", name="full")
    blkio.group("before")
    filler = os.path.join(small, "filler")
    with open(filler, "wb", buffering=0) as stream:
        try:
            while True:
                stream.write(b"x" * KIB)
        except OSError:
            pass
    for i in range(64):  # more than what is left of the last page
        blkio.group(f"lost{i}")
    lib.check("No space left" in blkio.log_text(), "nobody was told")
    os.remove(filler)
    lib.eventually(lambda: "is written again" in blkio.log_text(), 10, "the state is written")
    lib.check(not blkio.stop(), "the daemon stops")
    blkio.start_daemon()
    lib.check(os.path.isdir(os.path.join(blkio.path, "lost63")), "a group is lost")
    lib.check(not blkio.stop(), "the daemon stops")


lib.main(test)
