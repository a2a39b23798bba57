#!/bin/bash
# SPDX-License-Identifier: MIT
# From a fresh Debian 12 machine to a limited reader: installs what is missing, builds, mounts blkio
# over an image it makes itself, sets 1 MiB/s for a group, reads 4 MiB through the proxy, prints asked
# and measured rate, and takes everything away again. Needs root and /dev/fuse, but no disk.
set -eu
cd "$(dirname "$0")/.."
. tests/packages.sh

asked=1048576 # bytes per second
blocks=1024   # of 4 KiB: 4 MiB, so about 4 s

step() { printf '== %s\n' "$*"; }
fail() {
    echo "quickstart: $*" >&2
    exit 1
}

work=
clean_up() {
    [ -n "$work" ] || return 0
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        mountpoint -q "$work/blkio" || break
        umount "$work/blkio" 2>/dev/null || sleep 0.2
    done
    if mountpoint -q "$work/blkio"; then umount -l "$work/blkio" || true; fi
    for _ in 1 2 3 4 5 6 7 8 9 10; do # the daemon takes its device mounts along
        grep -q " $work/" /proc/self/mounts || break
        sleep 0.2
    done
    if ! grep -q " $work/" /proc/self/mounts; then rm -rf "$work"; fi
}
trap clean_up EXIT
trap 'exit 130' INT TERM

[ "$(id -u)" -eq 0 ] || fail "it mounts a file system: please run it as root (sudo $0)"
[ -e /dev/fuse ] || fail "/dev/fuse: not there; the fuse kernel module is needed (modprobe fuse)"

step "packages"
# shellcheck disable=SC2086
install_packages $BUILD_PACKAGES || fail "packages could not be installed"

step "build (a few minutes the first time)"
cmake --preset release >/dev/null
cmake --build --preset release --parallel "$(nproc)" --target blkio blkioctl | tail -n 1
bin=$PWD/build/release/bin

work=$(mktemp -d "${TMPDIR:-/tmp}/blkio-quickstart.XXXXXX")
mkdir "$work/blkio" "$work/dev"
truncate -s 64M "$work/disk.img"

step "mount: blkio MOUNTPOINT -o device=259:0=disk.img"
"$bin/blkio" "$work/blkio" -o "device=259:0=$work/disk.img,devdir=$work/dev"

step "a group, and a rule for it: mkdir test1; echo '259:0 $asked' > test1/blkio.throttle.read_bps_device"
mkdir "$work/blkio/test1"
echo "259:0 $asked" >"$work/blkio/test1/blkio.throttle.read_bps_device"

step "read $((blocks * 4 / 1024)) MiB inside the group: blkioctl exec -g test1 -- dd ..."
start=$(date +%s%N)
"$bin/blkioctl" -m "$work/blkio" exec -g test1 -- \
    dd if="$work/dev/disk.img" of=/dev/null bs=4K count=$blocks iflag=direct status=none
end=$(date +%s%N)

step "what the group's files say"
grep -E 'Read|Total' "$work/blkio/test1/blkio.throttle.io_service_bytes"

awk -v bytes=$((blocks * 4096)) -v ns=$((end - start)) -v asked=$asked 'BEGIN {
    measured = bytes / (ns / 1e9)
    printf "asked    %9d bytes/s\nmeasured %9.0f bytes/s (%.3f s, %+.2f %%)\n",
           asked, measured, ns / 1e9, 100 * (measured / asked - 1)
    exit measured / asked < 0.9 || measured / asked > 1.1
}' || fail "the measured rate is off"

step "unmount"
umount "$work/blkio"
