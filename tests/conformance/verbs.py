# SPDX-License-Identifier: MIT
"""What a step can do to files: each verb is a method, its arguments are the words behind it.

A verb returns nothing; OSError is what the system answered, AssertionError what was not as the case
says. README.md lists them.
"""
import ctypes
import errno
import fcntl
import mmap
import os
import select
import stat
import sys

from case_files import unescape

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int,
                       ctypes.c_long]
MAP_FAILED = ctypes.c_void_p(-1).value
AT_FDCWD = -100
SYS_GETDENTS64 = 217  # of x86-64
RENAME_FLAGS = {"NOREPLACE": 1, "EXCHANGE": 2, "WHITEOUT": 4}


def expect(seen, wanted):
    if seen != wanted:
        raise AssertionError(f"{seen!r}, not {wanted!r}")


def flags_of(words):
    """RDONLY|TRUNC -> os.O_RDONLY | os.O_TRUNC"""
    flags = 0
    for word in words.split("|") if isinstance(words, str) else words:
        flags |= getattr(os, "O_" + word)
    return flags


def read_all(descriptor):
    data = b""
    while piece := os.read(descriptor, 65536):
        data += piece
    return data


def pages(descriptor, size):
    """The names of a directory, as getdents64(2) gives them in each call."""
    buffer = ctypes.create_string_buffer(size)
    while True:
        used = _libc.syscall(SYS_GETDENTS64, descriptor, buffer, size)
        if used < 0:
            raise OSError(ctypes.get_errno(), "getdents64")
        if used == 0:
            return
        names, at = [], 0
        while at < used:
            length = int.from_bytes(buffer.raw[at + 16:at + 18], sys.byteorder)
            names.append(os.fsdecode(buffer.raw[at + 19:at + length].split(b"\0")[0]))
            at += length
        yield names


class FileVerbs:
    """`root` is the mount, `group` the directory a relative path starts from."""

    def __init__(self, root, group):
        self.root = root
        self.group = group
        self.held = {}  # descriptors by name

    def path(self, word):
        name = unescape(word)
        if name.startswith(b"/"):
            return os.fsencode(self.root) + name
        return os.path.normpath(os.fsencode(self.group) + b"/" + name)

    def text_of(self, file):
        descriptor = os.open(self.path(file), os.O_RDONLY)
        try:
            return read_all(descriptor)
        finally:
            os.close(descriptor)

    def rows_of(self, file):
        return self.text_of(file).decode("latin-1").splitlines()

    # --- texts
    def put(self, file, *flags, text=""):
        data = unescape(text)
        descriptor = os.open(self.path(file), os.O_WRONLY | flags_of(flags))
        try:
            expect(os.write(descriptor, data), len(data))
        finally:
            os.close(descriptor)

    def show(self, file, text=""):
        expect(self.text_of(file), unescape(text))

    def row(self, file, text=""):
        if text not in self.rows_of(file):
            raise AssertionError(f"no row {text!r} in {self.rows_of(file)}")

    def norow(self, file, text=""):
        if [row for row in self.rows_of(file) if row.startswith(text)]:
            raise AssertionError(f"a row {text!r} in {self.rows_of(file)}")

    def rows(self, file, text=""):
        """These rows in any order."""
        expect(sorted(self.rows_of(file)), sorted(row for row in text.split(", ") if row))

    # --- names
    def mkdir(self, path, mode="0777"):
        os.mkdir(self.path(path), int(mode, 8))

    def rmdir(self, path):
        os.rmdir(self.path(path))

    def rename(self, old, new, *flags):
        """FLAGS are those of renameat2(2)."""
        bits = sum(RENAME_FLAGS[flag] for flag in flags)
        if _libc.renameat2(AT_FDCWD, self.path(old), AT_FDCWD, self.path(new), bits):
            raise OSError(ctypes.get_errno(), "renameat2")

    def unlink(self, path):
        os.unlink(self.path(path))

    def symlink(self, path):
        os.symlink("target", self.path(path))

    def link(self, old, new):
        os.link(self.path(old), self.path(new))

    def mknod(self, path, kind):
        os.mknod(self.path(path), {"file": stat.S_IFREG, "fifo": stat.S_IFIFO}[kind] | 0o644)

    def open(self, path, *flags):
        os.close(os.open(self.path(path), flags_of(flags), 0o644))

    def _names(self, path, directories):
        with os.scandir(self.path(path)) as entries:
            return sorted(os.fsdecode(entry.name) for entry in entries
                          if entry.is_dir(follow_symlinks=False) == directories)

    def files(self, path, text=""):
        expect(self._names(path, False), sorted(text.split()))

    def groups(self, path, text=""):
        expect(self._names(path, True), sorted(text.split()))

    def exists(self, path):
        os.lstat(self.path(path))

    def nest(self, path, depth):
        """A group in a group in a group ..."""
        name = self.path(path)
        for _ in range(int(depth)):
            os.mkdir(name)
            name += b"/d"

    def turn(self, path, size, text=""):
        """Lists in calls of so many bytes, between which a group comes and one goes: the names that
        are there all the time are told. (The kernel may tell one twice.)"""
        directory = self.path(path)
        os.mkdir(directory + b"/turn0")
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        names = []
        try:
            for count, page in enumerate(pages(descriptor, int(size))):
                names += page
                os.mkdir(directory + b"/turn%d" % (count + 1))
                os.rmdir(directory + b"/turn%d" % count)
        finally:
            os.close(descriptor)
        expect(sorted(set(names) & set(text.split())), sorted(text.split()))

    # --- attributes
    def mode(self, path, wanted):
        expect(stat.filemode(os.stat(self.path(path)).st_mode), wanted)

    def owner(self, path, wanted):
        found = os.stat(self.path(path))
        expect(f"{found.st_uid}:{found.st_gid}", wanted)

    def size(self, path, wanted):
        expect(os.stat(self.path(path)).st_size, int(wanted))

    def links(self, path, wanted):
        expect(os.stat(self.path(path)).st_nlink, int(wanted))

    def mtime(self, path, wanted):
        expect(int(os.stat(self.path(path)).st_mtime), int(wanted))

    def later(self, path, than):
        """Its mtime."""
        if os.stat(self.path(path)).st_mtime <= int(than):
            raise AssertionError(f"{os.stat(self.path(path)).st_mtime} is not later than {than}")

    def chmod(self, path, mode):
        os.chmod(self.path(path), int(mode, 8))

    def chown(self, path, owner):
        user, group = owner.split(":")
        os.chown(self.path(path), int(user), int(group))

    def utime(self, path, seconds):
        os.utime(self.path(path), (int(seconds), int(seconds)))

    def truncate(self, path, size):
        os.truncate(self.path(path), int(size))

    def inodes(self, *paths):
        """Each has a number of its own, the same at every look."""
        numbers = [os.stat(self.path(path)).st_ino for path in paths]
        expect([os.stat(self.path(path)).st_ino for path in paths], numbers)
        expect(len(set(numbers)), len(paths))

    def access(self, path, wish):
        """wish: R, W or X; EACCES if it is not granted."""
        if not os.access(self.path(path), getattr(os, wish + "_OK"), effective_ids=True):
            raise OSError(errno.EACCES, "access")

    def xattr(self, path, name, text=""):
        os.setxattr(self.path(path), name, unescape(text))
        expect(os.getxattr(self.path(path), name), unescape(text))

    def unxattr(self, path, name):
        os.removexattr(self.path(path), name)

    def xattrs(self, path, text=""):
        expect(sorted(os.listxattr(self.path(path))), sorted(text.split()))

    # --- open files
    def hold(self, name, path, *flags):
        self.held[name] = os.open(self.path(path), flags_of(flags))

    def release(self, name):
        os.close(self.held.pop(name))

    def read(self, name, size, text=""):
        expect(os.read(self.held[name], int(size)), unescape(text))

    def pread(self, name, size, offset, text=""):
        expect(os.pread(self.held[name], int(size), int(offset)), unescape(text))

    def write(self, name, text=""):
        data = unescape(text)
        expect(os.write(self.held[name], data), len(data))

    def pwrite(self, name, offset, text=""):
        data = unescape(text)
        expect(os.pwrite(self.held[name], data, int(offset)), len(data))

    def writev(self, name, text=""):
        parts = [unescape(part) for part in text.split(" + ")]
        expect(os.writev(self.held[name], parts), sum(map(len, parts)))

    def seek(self, name, offset, whence, wanted):
        expect(os.lseek(self.held[name], int(offset), getattr(os, "SEEK_" + whence)), int(wanted))

    def fsync(self, name):
        os.fsync(self.held[name])

    def readv(self, name, *sizes, text=""):
        parts = [bytearray(int(size)) for size in sizes]
        count = os.readv(self.held[name], parts)
        expect(b"".join(parts)[:count], unescape(text))

    def sendfile(self, name, size, text=""):
        """From the file's offset on, into a pipe."""
        reader, writer = os.pipe()
        try:
            count = os.sendfile(writer, self.held[name], None, int(size))
            expect(os.read(reader, count) if count else b"", unescape(text))
        finally:
            os.close(reader)
            os.close(writer)

    def poll(self, name, text=""):
        poll = select.poll()
        poll.register(self.held[name], select.POLLIN | select.POLLOUT | select.POLLPRI)
        bits = poll.poll(0)[0][1]
        events = {"IN": select.POLLIN, "OUT": select.POLLOUT, "PRI": select.POLLPRI,
                  "ERR": select.POLLERR}
        expect([word for word, bit in events.items() if bits & bit], text.split())

    def flock(self, name):
        fcntl.flock(self.held[name], fcntl.LOCK_EX | fcntl.LOCK_NB)

    def lock(self, name):
        fcntl.lockf(self.held[name], fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 0, 0)

    def fallocate(self, name):
        # Python's posix_fallocate falls back to writing
        if _libc.fallocate(self.held[name], 0, ctypes.c_long(0), ctypes.c_long(4096)):
            raise OSError(ctypes.get_errno(), "fallocate")

    def ioctl(self, name):
        fcntl.ioctl(self.held[name], 0x1268)  # BLKSSZGET: any number would do

    def mmap(self, name):
        # Python's own mmap compares the length with the size of the file first.
        where = _libc.mmap(None, 4096, mmap.PROT_READ, mmap.MAP_SHARED, self.held[name], 0)
        if where == MAP_FAILED:
            raise OSError(ctypes.get_errno(), "mmap")

    def entries(self, name, text=""):
        """What a held directory lists."""
        expect(sorted(os.listdir(self.held[name])), sorted(text.split()))

    def close(self):
        for descriptor in self.held.values():
            os.close(descriptor)
        self.held.clear()
