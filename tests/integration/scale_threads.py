# SPDX-License-Identifier: MIT
"""A process of 4000 threads: listing them takes at most 20 times as long as listing 500.

They are 8 times as many; where each costs in proportion to all of them it would be 64 times as long.
"""
import ctypes
import os
import signal
import sys
import time

import lib
from jobs import die_with_parent

FEW = 500
MANY = 4000


def start_threads(count):
    """Threads that sleep and are none of Python's, in a process of their own; its id."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        die_with_parent()
        libc = ctypes.CDLL(None)
        attributes, thread = ctypes.create_string_buffer(64), ctypes.c_ulong()
        libc.pthread_attr_init(attributes)
        libc.pthread_attr_setstacksize(attributes, ctypes.c_size_t(65536))
        failed = any(libc.pthread_create(ctypes.byref(thread), attributes, libc.pause, None)
                     for _ in range(count - 1))
        os.write(writer, b"n" if failed else b"y")
        signal.pause()
    os.close(writer)
    ready = os.read(reader, 1)
    os.close(reader)
    return pid, ready == b"y"


def listing_seconds(group):
    took = []
    for _ in range(7):
        start = time.perf_counter()
        group.read("tasks")
        took.append(time.perf_counter() - start)
    return min(took)


def measure(group, count):
    pid, ready = start_threads(count)
    try:
        if not ready:
            raise lib.Skip(f"no {count} threads can be made here")
        group.write("cgroup.procs", pid)
        listed = len(group.read("tasks").split())
        lib.check(listed == count, f"{listed} of {count} threads are listed")
        return listing_seconds(group)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        lib.check(group.read("tasks") == "", "who has ended is listed")


def test(scratch):
    blkio = scratch.blkio([scratch.null()], f"mirror={sys.argv[1]}")
    few = measure(blkio.group("few"), FEW)
    many = measure(blkio.group("many"), MANY)
    print(f"{FEW} threads: {few * 1e3:.2f} ms, {MANY}: {many * 1e3:.2f} ms")
    lib.check_in_time(many <= 20 * few, "a thread costs more the more there are")


lib.main(test, tries=3)
