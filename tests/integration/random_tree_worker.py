# SPDX-License-Identifier: MIT
"""One of the processes of soak_random_tree.py: it does things at random to a subtree of its own,
of which it keeps the model, and to one that it shares with the others, of which it only knows what
must never happen. It lives in an Actor; start(), run(), picture() and clear() are what it is called
for.
"""
import collections
import errno
import mmap
import os
import random
import time

from actors import Actor, add_child, add_thread, end_child
from checks import check, check_errno, eventually
from jobs import Job
from lib import KIB
from random_tree_model import FILES, FLAGS, LISTS, RULE_FILES, WEIGHT, WEIGHT_DEVICE, Model, rows_of

MOST_GROUPS = 30
MOST_DEPTH = 6
MOST_PROCESSES = 6
MOST_HANDLES = 8
SHARED = "shared"
SHARED_NAMES = ["s0", "s1", "s2", "s3"]
LONG_NAME = 240 * "x"
NO_DEVICE = "99:99"
NO_TASK = 2 ** 22 + 1  # above the highest pid_max
BLOCK = 4 * KIB
BLOCKS_PER_SLOT = 32
ISSUED, COMPLETED = 0, 8
GONE = "ENOENT|ENODEV"  # what somebody else has removed, before or after it was opened

Place = collections.namedtuple("Place", "mount dialect devices number seed")
worker = None  # the one of this process


class Counters:
    """How many requests a device got, counted before and after each, by processes that may be
    killed at any moment: each has a slot of its own, and this memory is shared by all."""

    def __init__(self):
        self._memory = mmap.mmap(-1, 64 * 1024)

    def _place(self, slot, device, which):
        return 32 * slot + 16 * device + which

    def add(self, slot, device, which):
        place = self._place(slot, device, which)
        count = int.from_bytes(self._memory[place:place + 8], "little") + 1
        self._memory[place:place + 8] = count.to_bytes(8, "little")

    def total(self, device, which):
        places = [self._place(slot, device, which) for slot in range(len(self._memory) // 32)]
        return sum(int.from_bytes(self._memory[place:place + 8], "little") for place in places)


counters = Counters()


def content(block):
    """Of a block of a device, once it has been written."""
    return block.to_bytes(8, "little") * (BLOCK // 8)


def do_io(paths, slot, seed):
    """Short requests for ever, each to a block that only who has the slot uses."""
    chance = random.Random(seed)
    flags = [os.O_RDWR | (os.O_DIRECT if chance.random() < 0.8 else 0) for _ in paths]
    files = [os.open(path, flag) for path, flag in zip(paths, flags)]
    memory = mmap.mmap(-1, BLOCK)
    while True:
        device = chance.randrange(len(files))
        block = slot * BLOCKS_PER_SLOT + chance.randrange(BLOCKS_PER_SLOT)
        counters.add(slot, device, ISSUED)
        if chance.random() < 0.5:
            memory[:] = content(block)
            moved = os.pwritev(files[device], [memory], block * BLOCK)
        else:
            moved = os.preadv(files[device], [memory], block * BLOCK)
            check(memory[:] in (content(block), bytes(BLOCK)), f"block {block} reads wrong")
        check(moved == BLOCK, f"{moved} bytes moved")
        counters.add(slot, device, COMPLETED)
        time.sleep(chance.random() * 0.01)  # the machine has others to serve


def is_removed(path):
    """Tries; False while there are tasks in it."""
    try:
        os.rmdir(path)
    except OSError as problem:
        if problem.errno != errno.EBUSY:
            raise
        return False
    return True


class Worker:
    def __init__(self, place):
        self.place = place
        self.chance = random.Random(place.seed)
        self.model = Model(f"w{place.number}", place.dialect)
        self.done = collections.Counter()
        self.last = collections.deque(maxlen=12)  # what was done, for the message of a failure
        self.actors = {}  # process id -> Actor
        self.children = {}  # process id -> process id of the actor that is its parent
        self.handles = []  # (descriptor, Node, file)
        self.names = 0
        os.mkdir(self.path(self.model.top))
        self.guest = None  # does I/O in the shared tree
        self.client = self.start_client(self.path(self.model.top), 0)
        self.model.tasks[self.client.pid] = (self.client.pid, self.model.top)

    # --- means
    def path(self, node, file=""):
        return os.path.join(self.place.mount, node.path(), file).rstrip("/")

    def node(self):
        return self.chance.choice(self.model.nodes())

    def device(self):
        return self.chance.choice(self.place.devices)

    def write(self, path, text):
        self.last.append(f"write {path} {text!r}")
        data = text.encode("latin-1")
        descriptor = os.open(path, os.O_WRONLY)
        try:
            check(os.write(descriptor, data) == len(data), "a write is taken whole")
        finally:
            os.close(descriptor)

    def read(self, path):
        with open(path, encoding="latin-1") as stream:
            return stream.read()

    def start_client(self, group, slot):
        """A process in the group that does I/O until it is killed."""
        def enter():
            self.write(os.path.join(group, "cgroup.procs"), "0")

        paths = [device.path for device in self.place.devices]
        slot += 2 * self.place.number
        client = Job(do_io, paths, slot, self.chance.random(), prepare=enter)
        # Whoever moves it next must not be overtaken by its own first move.
        eventually(lambda: str(client.pid) in self.read(group + "/tasks").split(), 10,
                   "the process that does I/O has entered")
        return client

    def end_client(self, client):
        """Perhaps in the middle of a request that is held."""
        if not client.running():
            client.result()  # raises what it died of
        client.kill()
        eventually(lambda: not client.running(), 10, "a killed process ends, held or not")

    # --- groups
    def make_group(self):
        parent = self.node()
        if len(self.model.nodes()) >= MOST_GROUPS or parent.depth() >= MOST_DEPTH:
            return self.remove_group()
        name = self.new_name()
        self.last.append(f"mkdir {self.path(parent)} {name!r}")
        os.mkdir(os.path.join(self.path(parent), name))
        self.model.mkdir(parent, name)

    def new_name(self):
        self.names += 1
        body = self.chance.choice(["g", "a b", "blkio.", ".", "\u00e9", "%s\t", LONG_NAME])
        return f"{body}{self.names}"

    def remove_group(self):
        node = self.node()
        if node is self.model.top:
            return
        self.last.append(f"rmdir {self.path(node)}")
        if self.model.is_occupied(node):
            return check_errno("EBUSY", os.rmdir, self.path(node))
        # A process that ended may be leaving still.
        eventually(lambda: is_removed(self.path(node)), 5, f"{self.path(node)} is removed")
        self.model.rmdir(node)

    def rename_group(self):
        node = self.node()
        if node is self.model.top:
            return
        name = self.new_name()
        self.last.append(f"rename {self.path(node)} {name!r}")
        os.rename(self.path(node), os.path.join(self.path(node.parent), name))
        self.model.rename(node, name)

    def rename_wrongly(self):
        node, other = self.node(), self.node()
        path = self.path(node)
        if node is self.model.top or other in node.below():
            return
        check_errno("ENOTDIR", os.rename, path, self.path(node.parent, "tasks"))
        check_errno("EINVAL", os.rename, path, self.path(node.parent, "new\nline"))
        if other in node.parent.children.values():
            check_errno("EEXIST", os.rename, path, self.path(other))
        elif other is not node.parent and len(self.path(other)) < 2000:
            check_errno("EIO", os.rename, path, self.path(other, "moved"))

    def change_mode(self):
        node = self.node()
        node.mode = self.chance.choice([0o700, 0o755, 0o1777, 0o511])
        os.chmod(self.path(node), node.mode)

    def make_wrongly(self):
        path = self.path(self.node())
        check_errno("EEXIST", os.mkdir, path)
        check_errno("EEXIST", os.mkdir, os.path.join(path, "tasks"))
        check_errno("EINVAL", os.mkdir, os.path.join(path, "new\nline"))
        check_errno("ENOTDIR", os.mkdir, os.path.join(path, "tasks", "below"))
        check_errno("EPERM", os.unlink, os.path.join(path, "tasks"))
        check_errno("EACCES", os.mknod, os.path.join(path, "file"))

    # --- rules, weights, flags
    def set_rule(self):
        node, file, device = self.node(), self.chance.choice(RULE_FILES), self.device()
        number = self.chance.choice([0, 0, 1, 7, 4096, 1 << 20, 1 << 24, 1 << 30, 2 ** 32,
                                     2 ** 32 - 1, 2 ** 32 + 50, 2 ** 64 - 1, 2 ** 64 - 2,
                                     2 ** 64 + 1000, self.chance.randrange(1, 1 << 22)])
        form = self.chance.choice(["{} {}", "{} {}\n", " \t{}\v\n{} and more", "{} {}\n99:99 1\n"])
        self.write(self.path(node, file), form.format(device.number, number))
        self.model.set_rule(node, file, device.number, number)

    def set_rule_wrongly(self):
        path = self.path(self.node(), self.chance.choice(RULE_FILES))
        number = self.device().number
        text, wanted = self.chance.choice([
            (f"{number} -1", "EINVAL"), (f"{number} max", "EINVAL"), (f"{number}", "EINVAL"),
            ("\n", "EINVAL"), ("sda 1", "EINVAL"), (f"{NO_DEVICE} 1", "ENODEV"),
            (f"{number} 1 " + 4096 * "x", "E2BIG")])
        check_errno(wanted, self.write, path, text)

    def set_weight(self):
        node, number = self.node(), self.chance.randrange(1, 1001)
        file, text = self.chance.choice([(WEIGHT, f"{number}"), (WEIGHT, f"{number:#x}\n"),
                                         (WEIGHT_DEVICE, f"default {number}")])
        self.write(self.path(node, file), text)
        self.model.set_weight(node, number)

    def set_device_weight(self):
        node, number = self.node(), self.chance.choice([1, 500, 1000])
        weighted = self.place.devices[0].number
        if self.chance.random() < 0.3:
            self.write(self.path(node, WEIGHT_DEVICE), f"{weighted} default")
            node.device_weights.pop(weighted, None)
        else:
            self.write(self.path(node, WEIGHT_DEVICE), f"{weighted} {number}")
            node.device_weights[weighted] = number

    def set_weight_wrongly(self):
        node = self.node()
        weighted, other = (device.number for device in self.place.devices)
        file, text, wanted = self.chance.choice([
            (WEIGHT, "0", "ERANGE"), (WEIGHT, "1001", "ERANGE"), (WEIGHT, " 1", "EINVAL"),
            (WEIGHT, "heavy", "EINVAL"), (WEIGHT_DEVICE, f"{weighted} 1001", "ERANGE"),
            (WEIGHT_DEVICE, f"{weighted} heavy", "EINVAL"),
            (WEIGHT_DEVICE, f"{other} 100", "EOPNOTSUPP"),
            (WEIGHT_DEVICE, f"{NO_DEVICE} 100", "ENODEV")])
        check_errno(wanted, self.write, self.path(node, file), text)

    def set_flag(self):
        node, flag, value = self.node(), self.chance.choice(FLAGS), self.chance.randrange(3)
        self.write(self.path(node, flag), f"{value}\n")
        node.flags[flag] = int(value != 0)

    def reset(self):
        """In the kernel's dialect, where that clears nothing: the requests are counted."""
        if self.place.dialect == "kernel":
            self.write(self.path(self.node(), "blkio.reset_stats"), "1")

    # --- tasks
    def start_process(self):
        if len(self.actors) >= MOST_PROCESSES:
            return self.end_process()
        actor, node = Actor(), self.node()
        self.actors[actor.pid] = actor
        self.write(self.path(node, "cgroup.procs"), f"{actor.pid}\n")
        self.model.tasks[actor.pid] = (actor.pid, node)

    def some_actor(self):
        return self.chance.choice(list(self.actors.values())) if self.actors else None

    def end_process(self):
        actor = self.some_actor()
        if actor is None:
            return
        self.last.append(f"end {actor.pid}")
        for child in [child for child, parent in self.children.items() if parent == actor.pid]:
            self.end_child(child)
        actor.end()
        del self.actors[actor.pid]
        self.model.end_process(actor.pid)

    def end_child(self, child):
        self.actors[self.children.pop(child)].call(end_child, child)
        self.model.end_process(child)

    def fork_child(self):
        actor = self.some_actor()
        if actor is None or len(self.children) >= MOST_PROCESSES:
            return self.children and self.end_child(self.chance.choice(list(self.children)))
        child = actor.call(add_child)
        self.last.append(f"fork {actor.pid} {child}")
        self.children[child] = actor.pid
        self.model.tasks[child] = (child, self.model.tasks[actor.pid][1])

    def add_thread(self):
        actor = self.some_actor()
        if actor is None or len(self.model.tasks) > 4 * MOST_PROCESSES:
            return
        thread = actor.call(add_thread)
        self.last.append(f"thread {actor.pid} {thread}")
        self.model.tasks[thread] = (actor.pid, self.model.tasks[actor.pid][1])

    def move_task(self):
        if not self.model.tasks:
            return
        thread, (process, _) = self.chance.choice(list(self.model.tasks.items()))
        node = self.node()
        text = self.chance.choice(["{}", "{}\n", " {:#x} ", "+0{:o}"]).format(thread)
        if self.chance.random() < 0.5:
            self.write(self.path(node, "tasks"), text)
            self.model.move_thread(thread, node)
        else:
            self.write(self.path(node, "cgroup.procs"), text)
            self.model.move_process(process, node)

    def move_wrongly(self):
        path = self.path(self.node(), self.chance.choice(LISTS))
        text, wanted = self.chance.choice([(str(NO_TASK), "ESRCH"), ("-1", "EINVAL"),
                                           ("2", "EINVAL"), ("1 2", "EINVAL"), ("me", "EINVAL")])
        check_errno(wanted, self.write, path, text)

    def replace_client(self):
        node = self.node()
        self.last.append(f"kill {self.client.pid}")
        self.end_client(self.client)
        self.model.end_process(self.client.pid)
        self.client = self.start_client(self.path(node), 0)
        self.model.tasks[self.client.pid] = (self.client.pid, node)

    # --- open files
    def open_file(self):
        if len(self.handles) >= MOST_HANDLES:
            return os.close(self.handles.pop(0)[0])
        node, file = self.node(), self.chance.choice(FILES)
        self.handles.append((os.open(self.path(node, file), os.O_RDWR), node, file))

    def use_file(self):
        if not self.handles:
            return
        descriptor, node, file = self.chance.choice(self.handles)
        self.last.append(f"use {file} of {node.name}, {'there' if node.alive else 'removed'}")
        os.lseek(descriptor, 0, os.SEEK_SET)
        if not node.alive:
            check_errno("ENODEV", os.read, descriptor, 100)
            return check_errno("ENODEV", os.write, descriptor, b"1")
        self.check_text(node, file, lambda: self.read_again(descriptor))
        if file in FLAGS:
            os.write(descriptor, b"1")
            node.flags[file] = 1

    def read_again(self, descriptor):
        os.lseek(descriptor, 0, os.SEEK_SET)
        size = self.chance.choice([1, 5, 4096])
        return b"".join(iter(lambda: os.read(descriptor, size), b"")).decode("latin-1")

    # --- where the others are too
    def shared_path(self):
        depth = self.chance.randrange(1, 3)
        return os.path.join(self.place.mount, SHARED, *self.chance.choices(SHARED_NAMES, k=depth))

    def share(self):
        path, other = self.shared_path(), self.shared_path()
        what, allowed, *arguments = self.chance.choice([
            (os.mkdir, "EEXIST|ENOENT", path), (os.mkdir, "EEXIST|ENOENT", path),
            (os.rmdir, "EBUSY|ENOENT", path),
            (os.rename, "EEXIST|ENOENT|EIO|EINVAL|ENOTEMPTY", path, other),
            (self.write, GONE, path + "/blkio.throttle.read_bps_device",
             f"{self.device().number} {self.chance.choice([0, 1, 4096, 1 << 22])}"),
            (self.write, GONE, path + "/" + WEIGHT, "77"),
            (self.look_at_shared, GONE, path)])
        self.try_to(what, allowed, *arguments)

    def try_to(self, function, allowed, *arguments):
        """It may fail, but so only. True if it did not."""
        self.last.append(f"{function.__name__} {arguments}")
        try:
            function(*arguments)
            return True
        except OSError as problem:
            if problem.errno not in [getattr(errno, name) for name in allowed.split("|")]:
                raise
        return False

    def look_at_shared(self, path):
        for top, groups, files in os.walk(path, onerror=lambda problem: None):
            names = groups + files
            check(len(names) == len(set(names)), f"{top} lists a name twice: {names}")
            check(set(groups) <= set(SHARED_NAMES), f"{top} lists {groups}")
            if files:
                check(set(FILES) <= set(files), f"{top} lists {files}")
        ids = list(map(int, self.read(path + "/tasks").split()))
        check(ids == sorted(set(ids)), f"tasks lists {ids}")

    def visit(self):
        """The guest, which does I/O, goes to one of the shared groups."""
        if self.guest is None:
            self.guest = self.start_client(os.path.join(self.place.mount, SHARED), 1)
        elif self.chance.random() < 0.2:
            self.end_client(self.guest)
            self.guest = None
        else:
            self.try_to(self.write, GONE, self.shared_path() + "/tasks", str(self.guest.pid))

    # --- looking
    def look(self):
        self.check_node(self.node())

    def check_node(self, node):
        path = self.path(node)
        groups = [entry.name for entry in os.scandir(path) if entry.is_dir()]
        check(sorted(groups) == sorted(node.children), f"{path} has {groups}, not {node.children}")
        stat = os.stat(path)
        check(stat.st_nlink == 2 + len(node.children), f"{path} has {stat.st_nlink} links")
        check(stat.st_mode & 0o7777 == node.mode, f"{path} has mode {stat.st_mode:o}")
        for file in FILES:
            self.check_text(node, file, lambda file=file: self.read(self.path(node, file)))

    def check_text(self, node, file, read):
        wanted = self.model.rows(node, file)
        found = []

        def is_right():
            found[:] = rows_of(read(), file)
            return found == wanted

        try:  # who has just been killed may be in the lists for a moment
            eventually(is_right, 5 if file in LISTS else 0, "")
        except AssertionError:
            raise AssertionError(f"{self.path(node, file)} reads {found}, not {wanted}") from None

    # --- all of it
    OPERATIONS = {
        make_group: 10, remove_group: 9, rename_group: 5, rename_wrongly: 2, make_wrongly: 1,
        change_mode: 2, set_rule: 14, set_rule_wrongly: 4, set_weight: 4, set_device_weight: 5,
        set_weight_wrongly: 3, set_flag: 4, reset: 1, start_process: 2, end_process: 1,
        fork_child: 2, add_thread: 2, move_task: 9, move_wrongly: 3, replace_client: 1,
        open_file: 5, use_file: 8, share: 16, visit: 2, look: 8}

    def run(self, seconds):
        operations, weights = list(self.OPERATIONS), list(self.OPERATIONS.values())
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            operation = self.chance.choices(operations, weights)[0]
            try:
                operation(self)
            except Exception as problem:
                message = "\n  ".join([f"{operation.__name__} of worker {self.place.number}: "
                                       f"{problem!r}, after", *self.last])
                raise AssertionError(message.replace(LONG_NAME, "x..")) from None
            self.done[operation.__name__] += 1

    def clear(self):
        for descriptor, _, _ in self.handles:
            os.close(descriptor)
        self.handles.clear()
        while self.actors:
            self.end_process()
        for client in filter(None, (self.client, self.guest)):
            self.end_client(client)
        self.model.tasks.clear()
        for node in reversed(self.model.nodes()):
            eventually(lambda node=node: is_removed(self.path(node)), 10,
                       f"{node.path()} is removed")


# --- what the Actor is called for

def start(place):
    global worker
    worker = Worker(place)


def run(seconds):
    """How often what was done."""
    worker.run(seconds)
    return worker.done


def picture():
    return worker.model.picture()


def clear():
    worker.clear()
