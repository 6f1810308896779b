#!/usr/bin/env bash
# The file system of the machine of test_packages.py: Debian 12, two versions of the packages in /root, and
# what they depend on in apt's cache, because the machine has no network.
#
#   make_root.sh FOLDER OLD NEW       FOLDER/root; OLD and NEW have packages
#   make_root.sh FOLDER OLD NEW vm    with a kernel; the packages are installed, and the unit "steps" runs confined.sh
#
# FOLDER/root.tar keeps the system for the next run. CYGNET_MIRROR: another archive.
set -euo pipefail
folder=$1 old=$2 new=$3 kind=${4:-}
here=$(cd "$(dirname "$0")" && pwd)
mirror=${CYGNET_MIRROR:-http://deb.debian.org/debian}
system=iproute2,iputils-ping,tcpdump,nftables,procps,apparmor,systemd-sysv,udev,dbus,ca-certificates
root=$folder/root
mkdir -p "$folder"
rm -rf --one-file-system "$root"

in_root() {
  unshare --mount --pid --fork --kill-child --propagation private sh -ec '
    mount -t proc proc "$0/proc"
    mount --rbind /dev "$0/dev"
    cp /etc/resolv.conf "$0/etc/resolv.conf"
    exec chroot "$0" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
      DEBIAN_FRONTEND=noninteractive sh -ec "$1"' "$root" "$1"
}

if [ ! -e "$folder/root.tar" ]; then
  debootstrap --variant=minbase --include="$system" bookworm "$root" "$mirror"
  echo "deb $mirror bookworm main" >"$root/etc/apt/sources.list"
  echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/fast"
  in_root "apt-get -q update"
  tar -C "$root" -cf "$folder/root.tar.new" .
  mv "$folder/root.tar.new" "$folder/root.tar"
else
  mkdir "$root"
  tar -C "$root" -xf "$folder/root.tar"
fi

cp -r "$old" "$root/root/old"
cp -r "$new" "$root/root/new"
install -m 755 "$here"/guest.sh "$here"/guest_lib.sh "$here"/confined.sh "$root/root"
if [ "$kind" != vm ]; then
  in_root "cd /root && apt-get -qy install --download-only --no-install-recommends \
    charon-systemd strongswan-swanctl ./old/cygnet_*.deb ./old/cygnet-web_*.deb"
  in_root "systemctl enable systemd-networkd >/dev/null 2>&1"
  ln -sf /dev/null "$root/etc/systemd/system/console-getty.service"
  exit
fi

in_root "cd /root && apt-get -qy install --no-install-recommends apparmor-utils ethtool kmod ./new/cygnet_*.deb ./new/cygnet-web_*.deb"
# The kernel without what its package needs to be started from a disk.
in_root "mkdir /root/kernel && cd /root/kernel &&
  apt-get -q download \$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/^ *Depends: //p') &&
  dpkg -x linux-image-*.deb . && mkdir -p /lib/modules && mv lib/modules/* /lib/modules && mv boot/vmlinuz-* /boot &&
  cd / && rm -r /root/kernel && depmod \$(ls /lib/modules)"
cat >"$root/etc/systemd/system/steps.service" <<'END'
[Unit]
After=multi-user.target
SuccessAction=poweroff
FailureAction=poweroff
[Service]
Type=oneshot
ExecStart=/root/confined.sh
StandardOutput=tty
StandardError=journal
TTYPath=/dev/ttyS0
[Install]
WantedBy=graphical.target
END
in_root "systemctl enable steps.service && systemctl set-default graphical.target &&
  systemctl mask serial-getty@ttyS0.service getty@tty1.service" 2>/dev/null
