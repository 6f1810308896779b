#!/bin/bash
# Inside the machine of test_packages.py: installs, upgrades, reboots, removes and purges the packages
# under systemd. Lines that begin with "T " are for the test. /root/old and /root/new have the packages.
#
#   guest.sh BOOT    1, 2 or 3: what is done after that boot
#
# eth1 and eth2 are two cards on one wire. eth2 is in the namespace "peer", where a second cygnetd, started
# by hand, is the other end.
. /root/guest_lib.sh

first_boot() {
  peer
  ip link set eth1 up
  local from to
  from=$(date +%s%N)
  check "the first version installs" apt_install ./old/cygnet_*.deb
  local installed=$(($(date +%s%N) - from))
  check "nothing is started" not running cygnetd
  check "nothing is enabled" not enabled cygnetd
  check "the wire is still the host's" clear_on_wire host_uses_the_wire
  peer_protects
  local away
  away=$(date +%s%N)
  printf '[[device]]\nname = "nic0"\nwire = "eth1"\npersist = true\n' >/etc/cygnet/cygnetd.toml
  systemctl enable --now cygnetd 2>/root/last.log || bad "systemctl enable --now cygnetd: $(tail -3 /root/last.log)"
  sas $LOCAL $PEER $KEY_OUT $KEY_IN || bad "cygnet exec ip"
  ip addr add $LOCAL/24 dev nic0
  check "a ping is protected" until_ok 10 ping_peer
  to=$(date +%s%N)
  # Without the peer's side, and the ping in clear, which waits.
  echo "T figure $(((installed + to - away) / 1000000)) ms from apt-get install to the first protected ping," \
    "of which the configuration and the start $(((to - away) / 1000000)) ms"
  check "cygnetd runs" running cygnetd
  check "and at the next boot" enabled cygnetd
  check "the fence, too" enabled cygnet-fence
  check "nothing is in clear" not clear_on_wire ping -n -c 5 -i 0.1 $PEER
  check "it is not root" sh -c "ps -o user= -p $(pid) | grep -x cygnet"
  check "a reload" systemctl reload cygnetd
  check "doctor" sh -c "cygnet doctor; [ \$? -ne 1 ]"
  echo "T figure $(systemd-analyze security cygnetd 2>/dev/null | tail -1)"
  with_the_page
  upgrade
  apparmor
  other_ways
  sed -i 's/^name/nonsense = 1\nname/' /etc/cygnet/cygnetd.toml
  check "a version that refuses the configuration" sh -c "apt-get install -y --reinstall ./new/cygnet_*.deb >/root/apt.log 2>&1"
  check "says so" grep -q "refuses the configuration" /root/apt.log
  check "and leaves the tunnel" ping_peer
}

with_the_page() {
  check "cygnet-web installs" apt_install ./old/cygnet-web_*.deb
  check "and is not started" not running cygnet-web
  check "cygnet-web starts" systemctl start cygnet-web
  check "its metrics" until_ok 10 eval "fetch /metrics | grep -q cygnet_sa"
}

upgrade() {
  echo "# the operator's" >>/etc/cygnet/cygnetd.toml
  echo "# the operator's" >>/etc/apparmor.d/cygnetd
  in_use "the next version" apt_install ./new/cygnet_*.deb ./new/cygnet-web_*.deb
  check "the next unit is read" sh -c "systemctl show -p NeedDaemonReload cygnetd | grep -qx NeedDaemonReload=no"
  check "cygnet-web runs again" until_ok 20 running cygnet-web
  check "the configuration is the operator's" grep -q "operator's" /etc/cygnet/cygnetd.toml
  check "so is the profile" grep -q "operator's" /etc/apparmor.d/cygnetd
  check "the package's lies beside it" test -e /etc/apparmor.d/cygnetd.dpkg-dist
  check "the version is the next one" sh -c "dpkg-query -W -f '\${Version}' cygnet | grep -qxF '$(cat /root/new/version)'"
}

# in_use NAME COMMAND...: installs something while the tunnel is in use, which goes on under another process.
in_use() {
  local name=$1 before lost
  shift
  before=$(pid)
  ping -n -i 0.02 -w 120 $PEER >/root/ping.log 2>&1 &
  local pings=$!
  sleep 0.5
  check "$name" "$@"
  check "$name: cygnetd is another process" until_ok 20 eval "[ \$(pid) != $before ] && running cygnetd"
  sleep 1
  kill -INT $pings
  wait $pings
  lost=$(sed -nE 's/^([0-9]+) packets transmitted, ([0-9]+) received.*/\1 \2/p' /root/ping.log)
  echo "T figure $name: pings sent and answered meanwhile: $lost, every 20 ms"
  check "$name: its SAs went on" sh -c "set -- $lost; [ \$((\$1 - \$2)) -le 2 ]"
}

other_ways() {
  in_use "the same version again" apt_install --reinstall ./new/cygnet_*.deb
  in_use "the version before" apt_install --allow-downgrades ./old/cygnet_*.deb ./old/cygnet-web_*.deb
  in_use "the next version once more" apt_install ./new/cygnet_*.deb ./new/cygnet-web_*.deb
  full_disk
}

# A restarted cygnetd could not record the keys of its SAs.
full_disk() {
  local before
  before=$(pid)
  cp -a /var/lib/cygnet /root/state
  mount -t tmpfs -o "size=2m,mode=700,uid=cygnet,gid=cygnet" tmpfs /var/lib/cygnet
  cp -a /root/state/. /var/lib/cygnet
  head -c 4M /dev/zero >/var/lib/cygnet/all-of-it 2>/dev/null
  check "a full disk" sh -c "apt-get install -y --reinstall ./new/cygnet_*.deb >/root/apt.log 2>&1"
  check "is told" grep -q "make room, then: systemctl restart cygnetd" /root/apt.log
  check "and leaves cygnetd alone" [ "$(pid)" = "$before" ]
  check "and the tunnel" ping_peer
  umount -l /var/lib/cygnet
  in_use "after that, a restart with room" systemctl restart cygnetd
}

# After a boot with a configuration that cygnetd refuses.
second_boot() {
  peer
  check "the fence is up" shut
  check "cygnetd does not run" not running cygnetd
  check "the wire is shut" not clear_on_wire host_uses_the_wire
  sed -i '/nonsense/d' /etc/cygnet/cygnetd.toml
}

# After a boot with a good one.
third_boot() {
  peer
  peer_protects
  check "cygnetd runs after the boot" until_ok 20 running cygnetd
  check "the fence, too, after the boot" running cygnet-fence
  local fence network
  fence=$(systemctl show -p ExecMainExitTimestampMonotonic --value cygnet-fence)
  network=$(systemctl show -p ActiveEnterTimestampMonotonic --value network-pre.target)
  check "before the network ($fence < $network µs)" [ "$fence" -lt "$network" ]
  check "the wire is shut under cygnetd" not clear_on_wire host_uses_the_wire
  sas $LOCAL $PEER $KEY_OUT $KEY_IN
  ip addr add $LOCAL/24 dev nic0
  remove
  beside_strongswan
}

# apt COMMAND: the tunnel is in use meanwhile, and the wire is tried afterwards. /root/apt.status is apt's status.
apt_in_use() {
  ping -n -i 0.02 -w 120 $PEER &
  local pings=$!
  apt-get "$1" -y cygnet >/root/apt.log 2>&1
  echo $? >/root/apt.status
  kill $pings
  host_uses_the_wire
}

remove() {
  check "nothing is in clear while it is removed" not clear_on_wire apt_in_use remove
  check "apt-get remove" grep -qx 0 /root/apt.status
  check "names the wires that stay shut" grep -q "cygnet:   eth1" /root/apt.log
  check "the page goes, too" not test -e /usr/bin/cygnet-web
  check "the configuration stays" test -e /etc/cygnet/cygnetd.toml
  check "the ledger stays" test -e /var/lib/cygnet/ledger.jsonl
  check "the wire stays shut" not clear_on_wire host_uses_the_wire
  open_the_wire
  check "the wire is the host's again" clear_on_wire host_uses_the_wire
  check "it is installed again" apt_install ./new/cygnet_*.deb
  check "and was enabled before" enabled cygnetd
  systemctl start cygnetd
  new_keys
  sas $LOCAL $PEER $KEY_OUT $KEY_IN
  ip addr replace $LOCAL/24 dev nic0
  check "its tunnel is back" until_ok 10 ping_peer
  check "nothing is in clear while it is purged" not clear_on_wire apt_in_use purge
  check "apt-get purge" grep -qx 0 /root/apt.status
  check "the wire stays shut after it" shut
  check "the page's rest is purged" sh -c "apt-get purge -y cygnet-web >/root/apt.log 2>&1"
  open_the_wire
  ip link del nic0 2>/dev/null
  find / -xdev -iname '*cygnet*' -not -path '/root/*' -not -path '/var/cache/*' -not -path '/sys/*' -not -path '/proc/*' \
    -not -path '/var/log/*' >/root/left.log
  ls -d /run/cygnet* /var/lib/cygnet* /etc/cygnet* 2>/dev/null >>/root/left.log
  check "nothing is left: $(tr '\n' ' ' </root/left.log)" test ! -s /root/left.log
  check "but the users, locked" sh -c "passwd -S cygnet | grep -E ' L' && passwd -S cygnet-web | grep ' L'"
}

# The peer has seen the numbers of the old ones.
new_keys() {
  KEY_OUT=0x$(printf '33%.0s' {1..20}) KEY_IN=0x$(printf '44%.0s' {1..20})
  in_peer cygnet exec -- ip xfrm state flush
  in_peer cygnet exec -- ip xfrm policy flush
  in_peer bash -c "$(declare -f sas); sas $PEER $LOCAL $KEY_IN $KEY_OUT"
}

# As doc/installing.md says it.
open_the_wire() {
  nft list tables | grep cygnet_eth1 | while read -r table; do nft delete $table; done
  tc qdisc del dev eth1 clsact
  sysctl -qw net.ipv6.conf.eth1.disable_ipv6=0
}

# Where strongSwan programs the kernel's own XFRM, which has a policy.
beside_strongswan() {
  check "strongSwan installs" apt_install charon-systemd strongswan-swanctl
  ip xfrm policy add src 10.8.0.0/16 dst 10.9.0.0/16 dir out action block
  check "strongSwan runs" systemctl start strongswan
  local charon policies
  charon=$(systemctl show -p MainPID --value strongswan)
  policies=$(ip xfrm policy)
  check "it installs beside strongSwan" apt_install ./new/cygnet_*.deb
  check "strongSwan runs on" [ "$(systemctl show -p MainPID --value strongswan)" = "$charon" ]
  check "and has the kernel's policies" [ "$(ip xfrm policy)" = "$policies" ]
  # As doc/installing.md says it.
  mkdir -p /etc/systemd/system/strongswan.service.d
  cp /usr/share/cygnet/ike-daemon.conf /etc/systemd/system/strongswan.service.d/cygnet.conf
  systemctl daemon-reload
  printf '[[device]]\nname = "nic0"\nwire = "eth1"\n' >/etc/cygnet/cygnetd.toml
  check "cygnetd runs beside it" systemctl enable --now cygnetd
  check "strongSwan restarts with the shim" systemctl restart strongswan
  charon=$(systemctl show -p MainPID --value strongswan)
  check "and has it" grep -q libcygnet_xfrm "/proc/$charon/maps"
  check "doctor tells of the kernel's policy" sh -c "cygnet doctor | tee /root/doctor.log | grep -i kernel"
  check "an upgrade" apt_install --reinstall ./new/cygnet_*.deb
  check "leaves strongSwan alone" [ "$(systemctl show -p MainPID --value strongswan)" = "$charon" ]
}

echo "T boot $1 $(uname -r)"
case $1 in
  1) first_boot ;;
  2) second_boot ;;
  3) third_boot ;;
esac
echo "T end"
