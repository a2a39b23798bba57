#!/bin/sh
# SPDX-License-Identifier: MIT
# fetch_kernel.sh DIRECTORY: Debian's kernel for virtual machines, and of its modules the ones a virtio
# disk needs, without installing it. Does nothing if there is one.
set -e
directory=$1
[ ! -e "$directory/vmlinuz" ] || exit 0
[ "$(dpkg --print-architecture)" = amd64 ] || exit 0 # the guest of the tests is a PC
mkdir -p "$directory"
cd "$directory"
package=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/^ *Depends: \(linux-image-[^ ]*\).*/\1/p')
rm -rf ./*.deb boot lib usr
apt-get download -qq "$package"
dpkg --fsys-tarfile "$package"_*.deb | tar -x --wildcards './boot/vmlinuz-*' '*/drivers/virtio/*' \
    '*/drivers/block/virtio_blk*'
find . -name '*.ko' -exec mv {} . \;
mv boot/vmlinuz-* vmlinuz
rm -rf ./*.deb boot lib usr
