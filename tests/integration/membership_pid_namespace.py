# SPDX-License-Identifier: MIT
"""Tasks of a pid namespace write and read their own ids in tasks and cgroup.procs; ids that mean
somebody else outside move nobody there.
"""
import os
import signal
import subprocess

import lib

SCRIPT = r"""
set -e
group=$1; device=$2; other=$3
sleep 1000 & child=$!
echo $child > $group/tasks
[ "$(cat $group/tasks)" = $child ]
[ "$(cat $group/cgroup.procs)" = $child ]
echo 0 > $group/cgroup.procs         # the writer: cat and dd below inherit
[ "$(head -n 1 $group/tasks)" = 1 ]
dd if=$device of=/dev/null bs=4k count=5 iflag=direct status=none
if echo 99999 > $group/tasks; then exit 1; fi 2> $other
grep -q 'No such process' $other
exec 3> $group/tasks                 # opened in here
[ -n "$(cat $group/tasks)" ]
kill $child
"""


def namespace(*command, **options):
    return subprocess.run(["unshare", "--pid", "--fork", "--mount-proc", *command], timeout=30,
                          check=False, **options)


def test(scratch):
    lib.need("unshare", "bash")
    device = scratch.loop()
    blkio = scratch.blkio([device])
    group = blkio.group("inside")
    if namespace("true").returncode != 0:
        raise lib.Skip("no pid namespaces here")

    done = namespace("bash", "-c", SCRIPT, "bash", group.path, device.path, scratch.path("errors"))
    lib.check(done.returncode == 0, f"the script in the namespace ended with {done.returncode}")
    lib.check(group.ios(device, "Read") == 5, "the reads of a process that moved itself")

    # Outside is a process 2 as well, and it stays where it is; so does everybody else.
    group.write("tasks", 0)
    lib.check(group.read("tasks") == f"{os.getpid()}\n", "outside it is the daemon's ids")
    listed = namespace("cat", group.path + "/tasks", stdout=subprocess.PIPE, text=True).stdout
    outside = [line for line in listed.split() if line not in ("1", "2")]
    lib.check(not outside, f"tasks outside are not seen inside, but {outside}")
    blkio.write("tasks", 0)

    # Who opens a file gives its ids their meaning, also for who is handed the descriptor.
    outer = subprocess.Popen(["sleep", "1000"])
    lib.children.append(outer)
    descriptor = os.open(group.path + "/tasks", os.O_WRONLY)
    inner = namespace("sh", "-c", f"echo {outer.pid} >&{descriptor}", pass_fds=[descriptor])
    lib.check(inner.returncode == 0, "the id of the opener's namespace is known")
    lib.check(group.read("tasks") == f"{outer.pid}\n", "and moves the task it means")
    os.close(descriptor)

    # A daemon in a namespace of its own does not see who we are: nothing is moved by accident.
    from_outside(scratch)


def from_outside(scratch):
    device = scratch.image()
    mount = scratch.make_directory("inner")
    words = f"{device.option},devdir={scratch.make_directory('inner-dev')},mirror=none"
    unshare = subprocess.Popen(["unshare", "--pid", "--fork", "--mount-proc", lib.binary("blkio"),
                                "-f", mount, "-o", words], preexec_fn=lib.die_on_sigterm_of_parent)
    lib.children.append(unshare)
    children = f"/proc/{unshare.pid}/task/{unshare.pid}/children"
    with open(children, encoding="ascii") as stream:
        lib.eventually(lambda: stream.seek(0) == 0 and stream.read(), 10, "the daemon runs")
        stream.seek(0)
        holder = int(stream.read())
    seen = f"/proc/{holder}/root{mount}"  # the daemon's mounts are in a namespace of their own
    lib.eventually(lambda: os.path.exists(seen + "/tasks"), 10, "the mount answers")
    os.mkdir(seen + "/group")
    for word in ("0", "1", str(os.getpid())):
        lib.check_errno("ESRCH", write, seen + "/group/tasks", word)
    with open(seen + "/tasks", encoding="ascii") as tasks:
        lib.check(tasks.read() == "", "no id can be told")
    os.kill(holder, signal.SIGTERM)
    lib.check(unshare.wait(10) == 0, "the daemon ended well")


def write(path, word):
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, word.encode())
    finally:
        os.close(descriptor)


lib.main(test)
