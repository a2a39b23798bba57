# SPDX-License-Identifier: MIT
"""What the files of a hierarchy must read, kept beside it: groups, rules, weights, flags, tasks."""
import os

RULE_FILES = [f"blkio.throttle.{way}_{unit}_device" for way in ("read", "write")
              for unit in ("bps", "iops")]
FLAGS = ["notify_on_release", "cgroup.clone_children"]
LISTS = ["tasks", "cgroup.procs"]
WEIGHT = "blkio.bfq.weight"
WEIGHT_DEVICE = "blkio.bfq.weight_device"
FILES = RULE_FILES + FLAGS + [WEIGHT, WEIGHT_DEVICE] + LISTS


class Node:
    """A group."""

    def __init__(self, name, parent):
        self.name = name
        self.parent = parent  # None: directly below the mount
        self.children = {}
        self.alive = True
        self.mode = 0o755
        self.rules = {file: {} for file in RULE_FILES}  # MAJ:MIN -> number
        self.flags = dict(parent.flags) if parent else dict.fromkeys(FLAGS, 0)
        self.weight = 100
        self.device_weights = {}

    def path(self):
        return self.name if self.parent is None else os.path.join(self.parent.path(), self.name)

    def depth(self):
        return 0 if self.parent is None else 1 + self.parent.depth()

    def below(self):
        """The group and all in it, each after the one it is in."""
        yield self
        for child in self.children.values():
            yield from child.below()


class Model:
    """One subtree of the mount and the tasks that were put into it."""

    def __init__(self, name, dialect):
        self.top = Node(name, None)
        self.dialect = dialect
        self.tasks = {}  # thread id -> (process id, Node)

    def nodes(self):
        return list(self.top.below())

    def processes(self, node):
        return sorted({process for process, at in self.tasks.values() if at is node})

    def threads(self, node):
        return sorted(thread for thread, (_, at) in self.tasks.items() if at is node)

    def is_occupied(self, node):
        return bool(node.children) or bool(self.threads(node))

    # --- what happens
    def mkdir(self, parent, name):
        parent.children[name] = Node(name, parent)
        return parent.children[name]

    def rmdir(self, node):
        del node.parent.children[node.name]
        node.alive = False

    def rename(self, node, name):
        del node.parent.children[node.name]
        node.name = name
        node.parent.children[name] = node

    def set_rule(self, node, file, device, number):
        """As the kernel takes numbers: modulo 2^64, of ios modulo 2^32; 0 and the largest are no
        rule."""
        number %= 2 ** 64
        removes = number in (0, 2 ** 64 - 1)
        if "iops" in file:
            number %= 2 ** 32
            removes = removes or number == 2 ** 32 - 1
        if removes:
            node.rules[file].pop(device, None)
        else:
            node.rules[file][device] = number

    def set_weight(self, node, number):
        node.weight = number
        if self.dialect == "kernel":
            node.device_weights.clear()

    def move_thread(self, thread, node):
        self.tasks[thread] = (self.tasks[thread][0], node)

    def move_process(self, process, node):
        for thread in [t for t, (owner, _) in self.tasks.items() if owner == process]:
            self.tasks[thread] = (process, node)

    def end_process(self, process):
        for thread in [t for t, (owner, _) in self.tasks.items() if owner == process]:
            del self.tasks[thread]

    # --- what is read
    def rows(self, node, file):
        """The lines of a file; those of rules and weights in any order."""
        if file in RULE_FILES:
            return sorted(f"{device} {number}" for device, number in node.rules[file].items())
        if file in FLAGS:
            return [str(node.flags[file])]
        if file == WEIGHT:
            return [str(node.weight)]
        if file == WEIGHT_DEVICE:
            return self._device_weights(node)
        return list(map(str, self.threads(node) if file == "tasks" else self.processes(node)))

    def _device_weights(self, node):
        if self.dialect == "doc":
            rows = [f"{device:<7} {number}" for device, number in node.device_weights.items()]
            return sorted(rows + ["dev     weight"])
        rows = [f"{device} {number}" for device, number in node.device_weights.items()]
        return sorted(rows + [f"default {node.weight}"])

    def picture(self):
        """path -> (names of the groups in it, mode, {file: rows}), of the whole subtree."""
        return {node.path(): (sorted(node.children), node.mode,
                              {file: self.rows(node, file) for file in FILES})
                for node in self.nodes()}


def rows_of(text, file):
    """A text as Model.rows() has it."""
    rows = text.splitlines()
    return sorted(rows) if file in RULE_FILES or file == WEIGHT_DEVICE else rows
