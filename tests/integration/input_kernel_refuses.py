# SPDX-License-Identifier: MIT
"""/dev/fuse missing or forbidden, io_uring forbidden: one line with the name and the reason, an exit
code, nothing half-mounted. Each case runs in a mount namespace of its own or under a seccomp filter.
"""
import ctypes
import errno
import os
import subprocess

import lib

IO_URING_SETUP = 425


def refuse_io_uring():
    """A BPF filter: io_uring_setup answers EPERM, everything else is allowed."""

    class Instruction(ctypes.Structure):
        _fields_ = [("code", ctypes.c_ushort), ("jt", ctypes.c_ubyte), ("jf", ctypes.c_ubyte),
                    ("k", ctypes.c_uint)]

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.POINTER(Instruction))]

    load_word, jump_if_equal, answer = 0x20, 0x15, 0x06
    allow, fail = 0x7FFF0000, 0x00050000 | errno.EPERM
    code = (Instruction * 4)((load_word, 0, 0, 0), (jump_if_equal, 0, 1, IO_URING_SETUP),
                             (answer, 0, 0, fail), (answer, 0, 0, allow))
    program = Program(4, ctypes.cast(code, ctypes.POINTER(Instruction)))
    no_new_privileges, set_seccomp, filter_mode = 38, 22, 2
    libc = ctypes.CDLL(None)
    libc.prctl(no_new_privileges, 1, 0, 0, 0)
    if libc.prctl(set_seccomp, filter_mode, ctypes.byref(program), 0, 0):
        os._exit(99)


def refused(scratch, names, prefix=(), setup="", preexec=None):
    """Runs blkio in a private mount namespace after `setup`; checks its one line and the mounts."""
    device = scratch.image()
    mount, devdir = scratch.make_directory("mnt"), scratch.make_directory("dev")
    script = (f'{setup}\n"$@"; code=$?; grep -c " {scratch.directory}/[^ ]* fuse" /proc/self/mounts;'
              " exit $code")
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", *prefix,
         lib.binary("blkio"), mount, "-o", f"{device.option},devdir={devdir}"],
        capture_output=True, text=True, timeout=30, preexec_fn=preexec)
    print(f"{done.returncode}: {done.stderr.strip()}", flush=True)
    lib.check(done.returncode not in (0, 99), "it started all the same")
    lines = done.stderr.splitlines()
    lib.check(len(lines) == 1, f"one line on stderr, not {lines}")
    for name in names:
        lib.check(name in lines[0], f"the line says {name!r}: {lines[0]}")
    lib.check(done.stdout.strip() == "0", f"{done.stdout.strip()} mounts stay")
    lib.check(not lib.processes_naming(mount), "no process stays")


def test(scratch):
    node = scratch.make_directory("node")
    refused(scratch, ["/dev/fuse", os.strerror(errno.EACCES)],
            setup=f"mount -t tmpfs -o nodev none {node} && mknod {node}/fuse c 10 229 && "
                  f"mount --bind {node}/fuse /dev/fuse || exit 99")
    refused(scratch, ["/dev/fuse", os.strerror(errno.ENOENT)],
            setup=f"mount -t tmpfs none {node} && cp -a /dev/null /dev/urandom {node} && "
                  f"mount --bind {node} /dev || exit 99")
    refused(scratch, ["io_uring", os.strerror(errno.EPERM)], preexec=refuse_io_uring)


lib.main(test)
