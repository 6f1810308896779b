#!/usr/bin/env bash
# Boots ROOT on the kernel that is in it, in a virtual machine without disk and network: ROOT is its initial file
# system. What the unit "steps" of ROOT prints goes to standard output, and the machine ends with it.
#
#   boot_vm.sh ROOT
#
# The processor is emulated, because few machines lend theirs: slow, but any machine can do it.
set -euo pipefail
root=$1
image=$(mktemp -p "${TMPDIR:-/var/tmp}" cygnet-vm.XXXXXX)
trap 'rm -f "$image"' EXIT
(cd "$root" && find . -xdev \( -path ./boot -o -path ./var/cache/apt -o -path ./var/lib/apt/lists -o -path ./usr/share/doc \) -prune \
  -o -print0 | cpio --null --quiet -o -H newc) >"$image"
qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 3072 -nodefaults -nographic -serial stdio -no-reboot \
  -kernel "$root"/boot/vmlinuz-* -initrd "$image" \
  -append "console=ttyS0 quiet rdinit=/lib/systemd/systemd systemd.show_status=no panic=-1" </dev/null
