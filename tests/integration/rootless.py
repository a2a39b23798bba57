# SPDX-License-Identifier: MIT
"""No root at all: a user makes a user namespace, mounts blkio over an image he may write, with the
paths it chooses itself, and limits what he reads.

He needs /dev/fuse, which he has here as a node of the test's, in a mount namespace of the test's. 1025
reads of 4 KiB at 1 MiB/s: the last one goes 1024 * 4 KiB / 1 MiB/s = 4 s after the first.
"""
import os
import re
import shutil
import subprocess

import lib
import stacked
from lib import MIB

USER = 65534
IMAGE_GROUP = 54321  # of which he is a member, but which his user namespace does not know

# $1: the programs, $2: the image, $3: the mount point.
SCRIPT = r"""
set -e
PATH=$1:$PATH
run=$XDG_RUNTIME_DIR/blkio
blkio $3 -o device=259:0=$2
[ -e $run/disk.img ]
mkdir $3/slow
echo '259:0 1048576' > $3/slow/blkio.throttle.read_bps_device
sh -c 'echo $$ > $0/tasks; exec dd if=$1 of=/dev/null bs=4k count=1025 iflag=direct' \
    $3/slow $run/disk.img
grep '259:0 Read' $3/slow/blkio.throttle.io_serviced
blkioctl -m $3 exec -g slow -- \
    dd if=/dev/zero of=$run/disk.img bs=4k count=3 oflag=direct conv=notrunc
grep '259:0 Write' $3/slow/blkio.throttle.io_serviced
blkioctl -m $3 status
rmdir $3/slow
umount $3
"""


def make_fuse_node(scratch):
    """/dev/fuse for everybody, in this mount namespace alone."""
    nodes = scratch.make_directory("nodes")
    lib.run("mount", "-t", "tmpfs", "none", nodes)
    os.mknod(nodes + "/fuse", 0o020666, os.makedev(10, 229))
    os.chmod(nodes + "/fuse", 0o666)
    stacked.bind(nodes + "/fuse", "/dev/fuse")


def make_home(scratch):
    """All that the user has: programs, an image, a mount point, a runtime directory."""
    for name in ("bin", "mnt", "run"):
        scratch.make_directory(name)
    for program in ("blkio", "blkioctl"):  # the build may be where he cannot look
        shutil.copy(lib.binary(program), scratch.path("bin"))
    image = scratch.file(16 * MIB, name="disk.img")
    os.chmod(scratch.path("run"), 0o700)
    os.chmod(image, 0o660)
    for path in (scratch.path("mnt"), scratch.path("run")):
        os.chown(path, USER, USER)
    os.chown(image, 0, IMAGE_GROUP)
    return image


def as_user(scratch, *command):
    """In namespaces of his own, where he is called root."""
    environment = {"PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": scratch.path("run"),
                   "LC_ALL": "C"}
    return subprocess.run(
        ["setpriv", f"--reuid={USER}", f"--regid={USER}", f"--groups={USER},{IMAGE_GROUP}",
         "unshare", "--user", "--map-root-user", "--mount", *command],
        capture_output=True, text=True, timeout=40, env=environment, cwd="/")


@stacked.alone
def test(scratch):
    lib.need("setpriv", "unshare")
    # The kernel's news of forks would come along with another daemon's, and end with it.
    scratch.blkio([scratch.null()])
    make_fuse_node(scratch)
    image = make_home(scratch)
    if as_user(scratch, "true").returncode != 0:
        raise lib.Skip("no user namespaces without root here")
    done = as_user(scratch, "sh", "-c", SCRIPT, "sh", scratch.path("bin"), image,
                   scratch.path("mnt"))
    print(done.stdout + done.stderr, flush=True)
    lib.check(done.returncode == 0, f"the session ended with {done.returncode}")
    lib.eventually(lambda: not lib.processes_naming(scratch.path("mnt")), 10, "the daemon has ended")
    lib.check(not os.listdir(scratch.path("run")), "it leaves nothing in the runtime directory")
    check_session(done)


def check_session(done):
    lib.check("259:0 Read 1025" in done.stdout, "his reads are counted in his group")
    lib.check("259:0 Write 3" in done.stdout, "and his writes")
    lib.check("membership: proc-walk\n" in done.stdout, "by what his namespace can rely on")
    seconds = float(re.search(r"copied, ([\d.]+) s", done.stderr).group(1))
    lib.check_duration(seconds, 4.0, 0.05, "4 MiB + 4 KiB read without root")


lib.main(test, tries=3)
