# Shared by what runs inside the machines of test_packages.py: results, the two ends of the wire, their SAs.
# Sourced, not run.
set -u
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive
LOCAL=192.0.2.1 PEER=192.0.2.2
KEY_OUT=0x$(printf '11%.0s' {1..20}) KEY_IN=0x$(printf '22%.0s' {1..20})
cd /root

ok() { echo "T ok $*"; }
bad() { echo "T bad $* (cygnetd: $(journalctl -u cygnetd -n 8 -o cat 2>/dev/null | tr '\n' '|'))"; }
# check NAME COMMAND...: one result.
check() {
  local name=$1
  shift
  if "$@" >/root/last.log 2>&1; then ok "$name"; else bad "$name: $(tail -c 800 /root/last.log | tr '\n' '|')"; fi
}
not() { ! "$@"; }
until_ok() {
  local end=$((SECONDS + $1))
  shift
  while [ $SECONDS -lt $end ]; do "$@" >/dev/null 2>&1 && return 0; sleep 0.1; done
  "$@"
}
running() { [ "$(systemctl is-active "$1")" = active ]; }
# The configuration is refused: the unit failed and has shut what the file names.
shut() { nft list tables | grep cygnet_eth1; }
enabled() { [ "$(systemctl is-enabled "$1")" = enabled ]; }
pid() { systemctl show -p MainPID --value cygnetd; }
in_peer() { ip netns exec peer "$@"; }
fetch() { exec 3<>/dev/tcp/127.0.0.1/9470 && printf 'GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n' "$1" >&3 && cat <&3; }

# sas HERE THERE OUT IN: an SA for each direction, with their keys, and the policies.
sas() {
  local here=$1 there=$2 out=$3 in=$4
  local esp="proto esp spi 0x1001 reqid 1 mode tunnel flag esn replay-window 128"
  cygnet exec -- ip -batch - <<END
xfrm state add src $here dst $there $esp aead rfc4106(gcm(aes)) $out 128
xfrm state add src $there dst $here $esp aead rfc4106(gcm(aes)) $in 128
xfrm policy add src $here dst $there dir out tmpl src $here dst $there proto esp reqid 1 mode tunnel
xfrm policy add src $there dst $here dir in tmpl src $there dst $here proto esp reqid 1 mode tunnel
END
}
peer() {
  ip netns add peer
  ip link set eth2 netns peer
  in_peer ip link set lo up
  in_peer ip link set eth2 up
  in_peer ip addr add $PEER/24 dev eth2
}
# The other end of the SAs, in place of the peer's own stack.
peer_protects() {
  in_peer ip addr flush dev eth2
  in_peer cygnetd --wire eth2 </dev/null >/root/peer.log 2>&1 &
  until_ok 20 in_peer cygnet dev nic0
  in_peer bash -c "$(declare -f sas); sas $PEER $LOCAL $KEY_IN $KEY_OUT"
  in_peer ip addr add $PEER/24 dev nic0
}
ping_peer() { ping -n -q -c 1 -W 1 $PEER; }
# clear_on_wire COMMAND...: runs it; true if a frame of this host was on the wire in clear meanwhile.
clear_on_wire() {
  in_peer timeout 120 tcpdump -n -l -U -i eth2 -w /root/wire.pcap "ip src $LOCAL and not esp" 2>/root/tcpdump.log &
  local dump=$!
  until_ok 5 grep -q listening /root/tcpdump.log
  "$@" >/dev/null 2>&1
  sleep 1
  pkill -x tcpdump
  wait $dump
  [ "$(tcpdump -n -r /root/wire.pcap 2>/dev/null | wc -l)" -gt 0 ]
}
host_uses_the_wire() { ip link set eth1 up; ip addr add $LOCAL/24 dev eth1; ping -n -c 3 -i 0.2 -W 1 -I eth1 $PEER; ip addr flush dev eth1; }
denied() { dmesg 2>/dev/null | grep 'apparmor="\(DENIED\|ALLOWED\)"' | grep -E 'profile="cygnet'; }
# confined UNIT MODE
confined() { [ "$(cat "/proc/$(systemctl show -p MainPID --value "$1")/attr/current")" = "$1 ($2)" ]; }
# What AppArmor says of the two programs, where the kernel has it.
apparmor() {
  aa-enabled --quiet 2>/dev/null || { echo "T skip AppArmor: this kernel has none"; return; }
  check "AppArmor confines cygnetd" confined cygnetd complain
  check "AppArmor confines cygnet-web" confined cygnet-web complain
  check "AppArmor would have stopped nothing" not denied
}

apt_install() { apt-get install -y --no-install-recommends -o Dpkg::Options::=--force-confold "$@" >/root/apt.log 2>&1; }
