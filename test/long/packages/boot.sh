#!/usr/bin/env bash
# Boots ROOT with its own systemd as PID 1, in namespaces of its own: mounts, processes, network, cgroups.
# eth1 and eth2 are two cards on one wire. The kernel is this machine's. Prints "pid N", systemd's PID out
# here, and ends with the machine.
#
#   boot.sh ROOT
set -euo pipefail
root=$1
inside=$(cat <<'END'
set -e
ip link set lo up
ip link add eth1 type veth peer name eth2
mount --rbind "$1" "$1"
cd "$1"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs dev
mkdir dev/net dev/pts dev/shm
for name in null zero full random urandom tty net/tun; do
  touch "dev/$name"
  mount --bind "/dev/$name" "dev/$name"
done
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mount -t tmpfs tmpfs dev/shm
mount -t tmpfs -o mode=755 tmpfs run
exec chroot . /usr/bin/env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system
END
)
# A cgroup of its own is the root of the machine's tree.
for tree in /sys/fs/cgroup/unified /sys/fs/cgroup; do
  [ ! -e "$tree/cgroup.procs" ] || [ "$(stat -fc %T "$tree")" != cgroup2fs ] || break
done
group=$tree/cygnet-machine-$$
mkdir "$group"
end() {
  [ -z "${holder:-}" ] || kill -KILL "$holder" 2>/dev/null || true
  wait
  # systemd's own groups below it, the deepest first.
  find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
}
trap end EXIT
trap exit TERM INT
(
  echo "$BASHPID" >"$group/cgroup.procs"
  exec unshare --mount --pid --fork --kill-child --cgroup --net --uts --ipc --propagation private bash -c "$inside" sh "$root"
) </dev/null &
holder=$!
for ((i = 0; i < 600; ++i)); do
  pid=$(cat "/proc/$holder/task/$holder/children" 2>/dev/null) || true
  pid=${pid%% *}
  [ -z "$pid" ] || [ "$(cat "/proc/$pid/comm" 2>/dev/null)" != systemd ] || break
  sleep 0.1
done
echo "pid $pid"
wait "$holder" || true
holder=
