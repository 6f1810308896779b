#!/usr/bin/env bash
# The two commands of the README on a machine that has nothing: Debian 12 from the main archive alone,
# without security or updates, made by debootstrap. Then the installation that the how-to pages begin with.
#
#   test/long/fresh_machine.sh [lab|all]   lab: tools/lab and the installation; all: tools/test as well
#
# Needs root, debootstrap, a network and an hour; exit status 77: cannot be done here.
# CYGNET_MIRROR: another archive.
set -euo pipefail
source_tree=$(cd "$(dirname "$0")/../.." && pwd)
steps=${1:-all}
mirror=${CYGNET_MIRROR:-http://deb.debian.org/debian}

skip() { echo "skipped: $*" >&2; exit 77; }
[ "$(id -u)" -eq 0 ] || skip "not root"
command -v debootstrap >/dev/null || skip "no debootstrap"
unshare --mount --pid --fork true 2>/dev/null || skip "no mount and PID namespaces"

machine=$(mktemp -d -p "${TMPDIR:-/var/tmp}" cygnet-fresh.XXXXXX)
trap 'rm -rf --one-file-system "$machine"' EXIT

debootstrap --variant=minbase --include=ca-certificates bookworm "$machine" "$mirror" >"$machine.log" 2>&1 ||
  { tail -5 "$machine.log" >&2; rm -f "$machine.log"; skip "debootstrap failed"; }
rm -f "$machine.log"
echo "deb $mirror bookworm main" >"$machine/etc/apt/sources.list"
cp /etc/resolv.conf "$machine/etc/resolv.conf"
mkdir "$machine/cygnet"
tar -C "$source_tree" --exclude=./build --exclude=./.git -cf - . | tar -C "$machine/cygnet" -xf -

# Mounts are this namespace's, and end with it.
on_the_machine() {
  unshare --mount --pid --fork --kill-child --propagation private sh -ec '
    mount -t proc proc "$0/proc"
    mount --rbind /dev "$0/dev"
    mount --rbind /sys "$0/sys"
    mount -t tmpfs tmpfs "$0/tmp"
    exec chroot "$0" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
      sh -ec "cd /cygnet && $1"' "$machine" "$1"
}

on_the_machine "tools/lab --seconds 1"
on_the_machine "cmake --install build/release >/dev/null && cygnet version && cygnetd --version &&
  test -e /usr/local/share/man/man8/cygnetd.8 && test -e /usr/local/lib/cygnet/libcygnet_xfrm.so"
if [ "$steps" = all ]; then
  on_the_machine "tools/test"
fi
echo "fresh machine: fine"
