# SPDX-License-Identifier: MIT
"""Commands as people type them, right and wrong ones: our hierarchy gives the words and exit codes
that the kernel's gives, which lies below ours and gets a group of the test's own."""
import glob
import os
import subprocess

import lib
import stacked

# G is the group, D the device. The first makes the group and the last removes it.
COMMANDS = r"""
cgcreate -g blkio:G/a/b
cgset -r blkio.throttle.read_bps_device='D 1000' G
cgset -r blkio.throttle.read_bps_device='9999:1 5' G
cgset -r blkio.throttle.read_bps_device='D abc' G
cgset -r blkio.throttle.read_bps_device='D -1' G
cgset -r blkio.throttle.read_bps_device='D 2000 6' G
cgset -r blkio.throttle.read_bps_device=rubbish G
cgset -r blkio.throttle.read_iops_device='D 5000000000' G
cgset -r blkio.nosuch=1 G
cgset -r blkio.throttle.io_serviced=1 G
cgset -r blkio.reset_stats=1 G
cgset -r blkio.reset_stats=x G
cgget -n -r blkio.throttle.read_bps_device -r blkio.throttle.read_iops_device G
cgget -n -r blkio.throttle.io_serviced G
cgget -n -r blkio.nosuch G
cgget -n -r blkio.reset_stats G
cgexec -g blkio:G/nosuch true
cgexec -g blkio:G/a cat /proc/self/comm
cgclassify -g blkio:G 4194305
cgdelete blkio:G
cgdelete blkio:G/a/b
echo 1 > PATH/newfile
touch PATH/newfile
mkfifo PATH/fifo
rm PATH/tasks
ln PATH/tasks PATH/tasks2
ln -s tasks PATH/tasks2
mv PATH PATH-x && ls -d PATH-x/a && mv PATH-x PATH
mv PATH/a PATH-x
truncate -s 10 PATH/tasks
chown nobody PATH PATH/tasks
chmod 600 PATH/tasks
touch -d @1000 PATH/tasks
stat -c '%a %U %F %s %b' PATH PATH/tasks
stat -c %Y PATH/tasks
mkdir "PATH/$(printf 'a\nb')"
mkdir PATH
mkdir PATH/nosuch/a
echo > PATH/tasks
echo 4194305 > PATH/tasks
echo -1 > PATH/cgroup.procs
echo 2 > PATH/notify_on_release; cat PATH/notify_on_release
echo 1 > PATH/cgroup.clone_children; mkdir PATH/c; cat PATH/c/cgroup.clone_children
rmdir PATH
rmdir PATH/tasks
rmdir STACK
cgset -r blkio.throttle.read_bps_device='D 0' G
cgset -r blkio.throttle.read_iops_device='D 0' G
cat PATH/blkio.throttle.read_bps_device
cgdelete -r blkio:G
cgdelete blkio:G
""".strip().splitlines()


def outcome(command):
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=20,
                          env={**os.environ, "LC_ALL": "C"})
    return done.returncode, done.stdout, done.stderr


def outcomes(name, device):
    words = {"PATH": f"{stacked.MOUNT}/{name}", "STACK": stacked.MOUNT}
    found = []
    for command in COMMANDS:
        for word, meaning in words.items():
            command = command.replace(word, meaning)
        command = command.replace("blkio:G", f"blkio:{name}").replace("D ", f"{device.number} ")
        if command.endswith(" G"):
            command = command[:-1] + name
        found.append((command, *outcome(command)))
    return found


def remove_groups(name):
    """What a failed command may have left in the kernel's hierarchy."""
    for path in sorted(glob.glob(f"{stacked.MOUNT}/{name}*/**/", recursive=True), reverse=True):
        os.rmdir(path)


@stacked.alone
def test(scratch):
    lib.need("cgcreate", "cgset", "cgget", "cgexec", "cgclassify", "cgdelete")
    device = scratch.loop()
    name = os.path.basename(scratch.directory)
    stacked.blkio(scratch, [device])
    lib.check(os.path.exists(stacked.MOUNT + "/blkio.weight"), "this is ours")
    ours = outcomes(name, device)
    lib.run("umount", stacked.MOUNT)
    lib.check(not os.path.exists(stacked.MOUNT + "/blkio.weight"), "this is the kernel's")
    try:
        kernels = outcomes(name, device)
    finally:
        remove_groups(name)
    lib.check(sum(code == 0 for _, code, _, _ in ours) >= 20, "most succeed at all")
    differing = [f"{command}\n  ours:   {tuple(found)}\n  kernel: {tuple(expected)}"
                 for (command, *found), (_, *expected) in zip(ours, kernels) if found != expected]
    lib.check(not differing, "\n".join(differing))


lib.main(test)
