# SPDX-License-Identifier: MIT
"""A group of the mounted hierarchy, as a directory and as a place to run things in."""
import json
import os
import re
import subprocess

from checks import check, need
from jobs import Job, children, die_with_parent


class Group:
    """A directory of the mounted hierarchy."""

    def __init__(self, path):
        self.path = path

    def group(self, name):
        path = os.path.join(self.path, name)
        os.makedirs(path, exist_ok=True)
        return Group(path)

    def write(self, file, value):
        """One write(2), as echo does it."""
        descriptor = os.open(os.path.join(self.path, file), os.O_WRONLY)
        try:
            os.write(descriptor, str(value).encode())
        finally:
            os.close(descriptor)

    def read(self, file):
        with open(os.path.join(self.path, file), encoding="ascii") as stream:
            return stream.read()

    def limit(self, name, device, per_second):
        """name: read_bps, write_bps, read_iops or write_iops; 0 removes."""
        self.write(f"blkio.throttle.{name}_device", f"{device.number} {per_second}")

    def count(self, file, device, row):
        """A number of a statistics file; 0 if the group has no row for the device."""
        found = re.search(rf"^{device.number} {row} (\d+)$", self.read(file), re.MULTILINE)
        return int(found.group(1)) if found else 0

    def ios(self, device, row="Total"):
        return self.count("blkio.throttle.io_serviced", device, row)

    def bytes(self, device, row="Total"):
        return self.count("blkio.throttle.io_service_bytes", device, row)

    def enter(self):
        """Moves the calling process."""
        self.write("cgroup.procs", 0)

    def enter_thread(self):
        """Moves the calling thread alone."""
        self.write("tasks", 0)

    def start(self, function, *arguments):
        return Job(function, *arguments, prepare=self.enter)

    def call(self, function, *arguments, timeout=60):
        return self.start(function, *arguments).result(timeout)

    def popen(self, *command, **options):
        def prepare():
            die_with_parent()
            self.enter()

        process = subprocess.Popen(command, preexec_fn=prepare, text=True, **options)
        children.append(process)
        return process

    def run(self, *command, timeout=60, **options):
        """A program inside the group that must succeed; returns what it prints."""
        process = self.popen(*command, stdout=subprocess.PIPE, **options)
        try:
            output = process.communicate(timeout=timeout)[0]
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        check(process.returncode == 0, f"{command[0]} exited with {process.returncode}")
        return output

    def fio_process(self, device, *options):
        need("fio")
        command = ["fio", "--name=test", f"--filename={device.path}", "--allow_file_create=0",
                   "--direct=1", "--thread", "--output-format=json", *options]
        return self.popen(*command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def fio(self, device, *options, timeout=120):
        """Runs fio inside the group; returns its job as fio's JSON has it."""
        process = self.fio_process(device, *options)
        try:
            output = process.communicate(timeout=timeout)[0]
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        said, _, report = output.partition("{")  # complaints come first
        check(process.returncode == 0, f"fio exited with {process.returncode}: {said[:2000]}")
        return json.JSONDecoder().raw_decode("{" + report)[0]["jobs"][0]
