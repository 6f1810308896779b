#!/usr/bin/env bash
# The two commands of the README on a machine that has nothing: Debian 12 from the main archive alone,
# without security or updates, made by debootstrap. Then the installation that the how-to pages begin with.
#
#   test/long/fresh_machine.sh [lab|all|container]
#     lab: tools/lab and the installation; all: tools/test as well; container: the commands of
#     etc/Containerfile, the first stage on this machine and the last one on another
#
# Needs root, debootstrap, a network and an hour; exit status 77: cannot be done here.
# CYGNET_MIRROR: another archive. CYGNET_PACKAGES: a folder with the packages, instead of the first stage.
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
if [ "$steps" = container ]; then
  git clone -q "$source_tree" "$machine/cygnet"
else
  mkdir "$machine/cygnet"
  tar -C "$source_tree" --exclude=./build --exclude=./.git -cf - . | tar -C "$machine/cygnet" -xf -
fi

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

# The RUN commands of a stage, joined, one a line.
commands_of_stage() {
  awk -v stage="$1" '/^FROM /{n++} n==stage' "$source_tree/etc/Containerfile" |
    sed -e ':a' -e '/\\$/{N;s/\\\n//;ba' -e '}' | sed -n 's/^RUN //p'
}

# Debian 12 alone: what debian:12 is.
bare_machine() {
  debootstrap --variant=minbase bookworm "$machine" "$mirror" >/dev/null
  echo "deb $mirror bookworm main" >"$machine/etc/apt/sources.list"
  cp /etc/resolv.conf "$machine/etc/resolv.conf"
  mkdir -p "$machine/cygnet" "$machine/packages"
}

if [ "$steps" = container ]; then
  packages=${CYGNET_PACKAGES:-$machine/packages}
  if [ -z "${CYGNET_PACKAGES:-}" ]; then
    while read -r command; do on_the_machine "$command" </dev/null; done < <(commands_of_stage 1)
  fi
  mv "$machine" "$machine.built"
  trap 'rm -rf --one-file-system "$machine" "$machine.built"' EXIT
  bare_machine
  cp "${packages/#$machine/$machine.built}"/cygnet_*.deb "$machine/packages"
  awk '/^<!-- file card.sh -->$/{on=1; next} on && /^```$/{if (seen) exit; seen=1; next} seen' \
    "$source_tree/doc/ci_card.md" >"$machine/card.sh"
  while read -r command; do on_the_machine "$command" </dev/null; done < <(commands_of_stage 2)
  on_the_machine "unshare --net sh /card.sh"
  echo "container: fine"
  exit
fi

on_the_machine "tools/lab --seconds 1"
on_the_machine "cmake --install build/release >/dev/null && cygnet version && cygnetd --version &&
  test -e /usr/local/share/man/man8/cygnetd.8 && test -e /usr/local/lib/cygnet/libcygnet_xfrm.so"
if [ "$steps" = all ]; then
  on_the_machine "tools/test"
fi
echo "fresh machine: fine"
