#!/bin/sh
# SPDX-License-Identifier: MIT
# fetch_kernel.sh DIRECTORY: Debian's kernel for virtual machines, and of its modules those a virtio
# disk may need, without installing it. Does nothing if they are there.
set -e
directory=$1
[ ! -e "$directory/vmlinuz" ] || exit 0
[ "$(dpkg --print-architecture)" = amd64 ] || exit 0 # the guest of the tests is a PC
package=$(apt-cache depends linux-image-cloud-amd64 |
    sed -n 's/^ *Depends: \(linux-image-[^ ]*\).*/\1/p')
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
(cd "$here" && apt-get download -qq -o APT::Sandbox::User=root "$package")
dpkg --fsys-tarfile "$here"/*.deb | tar -x -C "$here" --wildcards './boot/vmlinuz-*' \
    '*/drivers/virtio/virtio*.ko' '*/drivers/block/virtio_blk.ko'
mkdir -p "$directory"
find "$here" -name 'virtio*.ko' -exec mv {} "$directory" \;
mv "$here"/boot/vmlinuz-* "$directory/vmlinuz"
