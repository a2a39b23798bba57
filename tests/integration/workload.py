# SPDX-License-Identifier: MIT
"""The plain I/O of the tests. Every function opens its own descriptor."""
import ctypes
import mmap
import os
import time


def open_file(path, flags=os.O_RDWR, direct=True):
    return os.open(path, flags | (os.O_DIRECT if direct else 0))


def buffer(size, fill=b"x"):
    """Page-aligned, as O_DIRECT wants it."""
    memory = mmap.mmap(-1, size)
    memory.write(fill * size)
    return memory


def completions(path, operation, block, count, direct=True, sync=False, offset=0):
    """`count` requests one after the other from `offset` on; (start, completion times), of
    CLOCK_MONOTONIC, which all processes share."""
    descriptor = open_file(path, direct=direct)
    memory = buffer(block)
    step = os.preadv if operation == "read" else os.pwritev
    times = []
    start = time.monotonic()
    for index in range(count):
        moved = step(descriptor, [memory], offset + index * block)
        if moved != block:
            raise AssertionError(f"{operation} {index} moved {moved} of {block} bytes")
        times.append(time.monotonic())
    if sync:
        os.fsync(descriptor)
        times.append(time.monotonic())
    os.close(descriptor)
    return start, times


def seconds(path, operation, block, count, direct=True, sync=False, offset=0):
    """How long `count` requests take."""
    start, times = completions(path, operation, block, count, direct, sync, offset)
    return times[-1] - start


def repeat_until(path, operation, block, end, direct=True):
    """Requests until the monotonic clock shows `end`; how many completed by then. `operation` is read,
    write, or total: one of each in turn."""
    descriptor = open_file(path, direct=direct)
    blocks = os.fstat(descriptor).st_size // block
    if not blocks:
        blocks = os.lseek(descriptor, 0, os.SEEK_END) // block
    memory = buffer(block)
    steps = {"read": [os.preadv], "write": [os.pwritev], "total": [os.preadv, os.pwritev]}[operation]
    count = 0
    while True:
        steps[count % len(steps)](descriptor, [memory], count % blocks * block)
        if time.monotonic() >= end:
            return count
        count += 1


def read_until_error(path, block=4096):
    """The errno of the read that fails, sooner or later."""
    descriptor = open_file(path, os.O_RDONLY)
    memory = buffer(block)
    while True:
        try:
            os.preadv(descriptor, [memory], 0)
        except OSError as error:
            return error.errno


def worst_latency(path, operation, block, count):
    """The slowest of `count` requests, in seconds."""
    start, times = completions(path, operation, block, count)
    return max(later - earlier for earlier, later in zip([start] + times, times))


PUNCH, ZERO, COLLAPSE = 0x02, 0x10, 0x08  # modes of fallocate(2)
KEEP_SIZE = 0x01
_libc = ctypes.CDLL(None, use_errno=True)


def fallocate(descriptor, mode, offset, length):
    if _libc.fallocate(descriptor, mode, ctypes.c_long(offset), ctypes.c_long(length)):
        raise OSError(ctypes.get_errno(), "fallocate")
