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
  check "the first version installs" install ./old/cygnet_*.deb
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
  sed -i 's/^name/nonsense = 1\nname/' /etc/cygnet/cygnetd.toml
  check "a version that refuses the configuration" sh -c "apt-get install -y --reinstall ./new/cygnet_*.deb >/root/apt.log 2>&1"
  check "says so" grep -q "refuses the configuration" /root/apt.log
  check "and leaves the tunnel" ping_peer
}

with_the_page() {
  check "cygnet-web installs" install ./old/cygnet-web_*.deb
  check "and is not started" not running cygnet-web
  check "cygnet-web starts" systemctl start cygnet-web
  check "its metrics" until_ok 10 eval "fetch /metrics | grep -q cygnet_sa"
}

upgrade() {
  local before lost
  before=$(pid)
  echo "# the operator's" >>/etc/cygnet/cygnetd.toml
  echo "# the operator's" >>/etc/apparmor.d/cygnetd
  ping -n -i 0.02 -w 60 $PEER >/root/ping.log 2>&1 &
  local pings=$!
  sleep 0.5
  check "the next version installs" install ./new/cygnet_*.deb ./new/cygnet-web_*.deb
  check "cygnetd is another process" until_ok 20 eval "[ \$(pid) != $before ] && running cygnetd"
  check "cygnet-web runs again" until_ok 20 running cygnet-web
  sleep 1
  kill -INT $pings
  wait $pings
  lost=$(sed -nE 's/^([0-9]+) packets transmitted, ([0-9]+) received.*/\1 \2/p' /root/ping.log)
  echo "T figure pings sent and answered during the upgrade: $lost, every 20 ms"
  check "its SAs went on" sh -c "set -- $lost; [ \$((\$1 - \$2)) -le 2 ]"
  check "the configuration is the operator's" grep -q "operator's" /etc/cygnet/cygnetd.toml
  check "so is the profile" grep -q "operator's" /etc/apparmor.d/cygnetd
  check "the package's lies beside it" test -e /etc/apparmor.d/cygnetd.dpkg-dist
  check "the version is the next one" sh -c "dpkg-query -W -f '\${Version}' cygnet | grep -qxF '$(cat /root/new/version)'"
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
}

remove() {
  check "apt-get remove" sh -c "apt-get remove -y cygnet >/root/apt.log 2>&1"
  check "names the wires that stay shut" grep -q "cygnet:   eth1" /root/apt.log
  check "the page goes, too" not test -e /usr/bin/cygnet-web
  check "the configuration stays" test -e /etc/cygnet/cygnetd.toml
  check "the ledger stays" test -e /var/lib/cygnet/ledger.jsonl
  check "the wire stays shut" not clear_on_wire host_uses_the_wire
  # As doc/installing.md says it.
  nft list tables | grep cygnet_eth1 | while read -r table; do nft delete $table; done
  tc qdisc del dev eth1 clsact
  check "the wire is the host's again" clear_on_wire host_uses_the_wire
  check "it is installed again" install ./new/cygnet_*.deb
  check "and was enabled before" enabled cygnetd
  ip link del nic0 2>/dev/null
  check "apt-get purge" sh -c "apt-get purge -y cygnet cygnet-web >/root/apt.log 2>&1"
  find / -xdev -iname '*cygnet*' -not -path '/root/*' -not -path '/var/cache/*' -not -path '/sys/*' -not -path '/proc/*' \
    -not -path '/var/log/*' >/root/left.log
  ls -d /run/cygnet* /var/lib/cygnet* /etc/cygnet* 2>/dev/null >>/root/left.log
  check "nothing is left: $(tr '\n' ' ' </root/left.log)" test ! -s /root/left.log
  check "but the users, locked" sh -c "passwd -S cygnet | grep -E ' L' && passwd -S cygnet-web | grep ' L'"
}

echo "T boot $1 $(uname -r)"
case $1 in
  1) first_boot ;;
  2) second_boot ;;
  3) third_boot ;;
esac
echo "T end"
