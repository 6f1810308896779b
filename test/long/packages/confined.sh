#!/bin/bash
# Inside the virtual machine of test_packages.py, whose kernel has AppArmor: the packages' profiles, enforced as
# doc/installing.md says it, while cygnetd and cygnet-web go through their lives. Lines that begin with "T " are
# for the test.
. /root/guest_lib.sh

profile() { grep -x "$1 ($2)" /sys/kernel/security/apparmor/profiles; }
config() {
  printf '[numbers]\nstore = "file"\n%s\n[[device]]\nname = "nic0"\nwire = "eth1"\npersist = true\noffload = "auto"\nverify = 1\n%s\n' \
    "$1" "$2" >/etc/cygnet/cygnetd.toml
}
pings() { ping -n -q -c 5 -i 0.3 -W 3 $PEER; }
# A step, and what the kernel logged meanwhile.
step() {
  local name=$1
  shift
  check "$name" "$@"
  denied >/root/denied.log && bad "$name: denied: $(sed 's/.*apparmor=/apparmor=/' /root/denied.log | sort -u | tr '\n' '|')"
  dmesg --clear
}
stored() { [ -s /var/lib/cygnet/ledger.jsonl ] && [ -s /var/lib/cygnet/ledger.jsonl.key ] && [ -s /var/lib/cygnet/numbers ]; }
evidence() { cygnet sim dev nic0 wrong-icv out 5; ping -n -q -c 5 -i 0.3 -W 1 $PEER; [ -s /srv/ledger/evidence-nic0.pcapng ]; }
restarted() { local before; before=$(pid); systemctl restart cygnetd && [ "$(pid)" != "$before" ]; }
history() { [ -s /var/lib/cygnet-web/history.db ]; }

sysctl -qw kernel.printk="1 4 1 7"
modprobe veth
ip link add eth1 type veth peer name eth2
peer
ip link set eth1 up
ethtool -K eth1 tx off >/dev/null 2>&1
in_peer ethtool -K eth2 tx off >/dev/null 2>&1
check "this kernel has AppArmor" aa-enabled --quiet
check "the profiles are loaded, in complain mode" eval "profile cygnetd complain && profile cygnet-web complain"
# As doc/installing.md says it.
check "aa-enforce" aa-enforce /etc/apparmor.d/cygnetd /etc/apparmor.d/cygnet-web
check "they are enforced" eval "profile cygnetd enforce && profile cygnet-web enforce"
peer_protects
dmesg --clear
config "" ""
# As doc/strongswan.md says it.
mkdir -p /etc/systemd/system/cygnetd.service.d
printf '[Service]\nExecStartPost=/usr/bin/cygnet exec -- ip xfrm policy update dst 10.9.0.0/16 dir out priority 4000000000 action block\n' \
  >/etc/systemd/system/cygnetd.service.d/fail-closed.conf
systemctl daemon-reload
step "cygnetd starts" systemctl enable --now cygnetd
check "confined" confined cygnetd enforce
sas $LOCAL $PEER $KEY_OUT $KEY_IN
ip addr add $LOCAL/24 dev nic0
step "a ping is protected" until_ok 60 ping_peer
step "ledger, its key and numbers are written" until_ok 30 stored
step "a reload" systemctl reload cygnetd
step "a restart" restarted
step "its SAs went on" until_ok 60 pings
step "doctor" sh -c "cygnet doctor; [ \$? -ne 1 ]"
step "cygnet-web starts" systemctl start cygnet-web
check "confined, too" confined cygnet-web enforce
step "its metrics" until_ok 60 eval "fetch /metrics | grep -q cygnet_sa"
mkdir -p /etc/systemd/system/cygnetd.service.d
cp /usr/share/cygnet/af-xdp.conf /etc/systemd/system/cygnetd.service.d/
systemctl daemon-reload
config "" 'wire_driver = "af_xdp"'
step "AF_XDP" restarted
check "the wire is AF_XDP's" until_ok 30 eval "journalctl -u cygnetd | grep -q 'AF_XDP on eth1: mode'"
step "over AF_XDP" until_ok 60 ping_peer
# What the profile does not list is stopped, and the local part allows it.
config '[ledger]
file = "/srv/ledger/ledger.jsonl"' ""
check "a folder for it" install -d -o cygnet -g cygnet -m 700 /srv/ledger
printf '[Service]\nReadWritePaths=/srv/ledger\n' >/etc/systemd/system/cygnetd.service.d/ledger.conf
systemctl daemon-reload
systemctl restart --no-block cygnetd
check "a ledger elsewhere is stopped" until_ok 60 eval "denied | grep -q /srv/ledger"
echo '/srv/ledger/** rwk,' >>/etc/apparmor.d/local/cygnetd
check "the local part" apparmor_parser -r /etc/apparmor.d/cygnetd
systemctl restart cygnetd
dmesg --clear
step "allows it" until_ok 60 test -s /srv/ledger/ledger.jsonl
step "the page's history" until_ok 60 history
step "a device that lies leaves an evidence" until_ok 60 evidence
step "an orderly end" systemctl stop cygnetd cygnet-web
echo "T end"
