# SPDX-License-Identifier: MIT
"""An ext4 made on the proxied file, mounted through a loop device on top, keeps a tree unharmed."""
import hashlib
import os
import random

import lib
from lib import KIB, MIB


def make_tree(directory, source):
    """Files of every size around the block sizes, and an archive of them."""
    numbers = random.Random(7)
    for index in range(120):
        path = os.path.join(directory, f"d{index % 7}", f"file{index}")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as stream:
            stream.write(numbers.randbytes(numbers.choice((0, 1, 4095, 4096, 4097, 70 * KIB, MIB))))
    lib.run("tar", "-C", directory, "-cf", source, ".")


def digest(directory):
    found = {}
    for base, _, names in os.walk(directory):
        for name in names:
            path = os.path.join(base, name)
            with open(path, "rb") as stream:
                found[os.path.relpath(path, directory)] = hashlib.sha256(stream.read()).hexdigest()
    return found


def unpack_and_compare(top, mount, archive, expected):
    lib.run("mount", "-t", "ext4", top, mount)
    try:
        lib.run("tar", "-C", mount, "--exclude=./lost+found", "-xf", archive)
        lib.run("sync", "-f", mount)
    finally:
        lib.run("umount", mount)
    lib.run("mount", "-t", "ext4", top, mount)  # read back from the device, not from the cache
    try:
        lib.check(digest(mount) == expected, "every file has its content")
    finally:
        lib.run("umount", mount)


def test(scratch):
    lib.need("mkfs.ext4", "e2fsck", "tar")
    device = scratch.loop(128 * MIB)
    blkio = scratch.blkio([device])
    group = blkio.group("mounted")
    group.limit("write_bps", device, 100 * MIB)
    tree, archive = scratch.make_directory("tree"), scratch.path("tree.tar")
    make_tree(tree, archive)
    group.run("mkfs.ext4", "-q", "-F", device.path)
    top = group.run("losetup", "--find", "--show", device.path).strip()
    try:
        unpack_and_compare(top, scratch.make_directory("mnt"), archive, digest(tree))
    finally:
        lib.run("losetup", "--detach", top)
    lib.eventually(lambda: top not in lib.run("losetup", "--list", "-nO", "NAME"), 5, "detached")
    group.run("e2fsck", "-f", "-n", device.path)
    lib.check(group.bytes(device, "Write") > 10 * MIB, "the file system's writes are the group's")


lib.main(test)
