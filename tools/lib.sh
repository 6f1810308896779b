# Shared by tools/lab and tools/test: packages, build, messages. Sourced, not run.

set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

BUILD_PACKAGES="g++ cmake ninja-build pkg-config libssl-dev libmnl-dev libnftables-dev libfmt-dev libspdlog-dev
  nlohmann-json3-dev libcli11-dev libtomlplusplus-dev libgtest-dev libgmock-dev
  libbenchmark-dev librapidcheck-dev libipsec-mb-dev libaudit-dev libxdp-dev libbpf-dev libpcap-dev
  libseccomp-dev libsqlite3-dev libncurses-dev libcurl4-openssl-dev libcpp-httplib-dev liburing-dev scdoc"
LAB_PACKAGES="iproute2 iputils-ping iperf3 tcpdump tshark python3 util-linux"
TEST_PACKAGES="bird2 python3-scapy python3-cryptography python3-jsonschema ethtool clang clang-format libclang-rt-14-dev lld libdpdk-dev
  libcap2-bin xz-utils tmux apparmor strace dpkg-dev nftables iptables strongswan-charon charon-systemd strongswan-swanctl
  libstrongswan-standard-plugins libnss3-tools etcd-server etcd-client chromium chromium-driver"
PACKAGE_PACKAGES="build-essential debhelper dh-apparmor dpkg-dev libdpdk-dev lintian"
# What libreswan is linked against. The package itself conflicts with strongSwan's: it is unpacked.
LIBRESWAN_LIBRARIES="libaudit1 libcap-ng0 libcurl3-nss libevent-core-2.1-7 libevent-pthreads-2.1-7
  libldap-2.5-0 libldns3 libnss3 libpam0g libselinux1 libsystemd0 libunbound8 dns-root-data"
BENCH_PACKAGES="libdpdk-dev wireguard-go wireguard-tools strongswan-charon strongswan-swanctl
  libcharon-extra-plugins libstrongswan-standard-plugins"

say() { printf '\033[1m== %s\033[0m\n' "$*"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

# need_packages NAME...: installs missing packages; without root it fails and names them.
need_packages() {
  local missing=() name
  for name in "$@"; do
    dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null | grep -qx installed || missing+=("$name")
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  if [ "$(id -u)" -ne 0 ]; then
    fail "these Debian packages are missing: ${missing[*]} (as root: apt-get install ${missing[*]})"
  fi
  say "installing ${#missing[@]} Debian packages: ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get -q update >/dev/null || fail "apt-get update failed"
  without_services apt-get -qy install --no-install-recommends "${missing[@]}" >/dev/null ||
    fail "apt-get install failed; run it manually to see the cause: apt-get install ${missing[*]}"
}

# without_services COMMAND...: runs COMMAND so that packages start no daemons (policy-rc.d).
without_services() {
  local policy=/usr/sbin/policy-rc.d status=0
  [ ! -e "$policy" ] || policy=
  [ -z "$policy" ] || { printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy"; }
  "$@" || status=$?
  [ -z "$policy" ] || rm -f "$policy"
  return "$status"
}

# unpack_package NAME: unpacks the package into build/packages/NAME without installing it.
unpack_package() {
  local name=$1 folder=$ROOT/build/packages/$1
  [ ! -d "$folder" ] || return 0
  say "unpacking $name"
  mkdir -p "$folder.new"
  # As root, apt warns that its own user cannot write here and continues as root.
  (cd "$folder.new" &&
    { apt-get -q download "$name" >/dev/null 2>&1 ||
      { apt-get -q update >/dev/null && apt-get -q download "$name" >/dev/null; }; } &&
    dpkg -x "$name"_*.deb . && rm "$name"_*.deb) ||
    { rm -rf "$folder.new"; return 1; }
  mv "$folder.new" "$folder"
}

# ccache keeps compiled objects if it is installed. Paths below the checkout are hashed relative to
# it, so that other checkouts of the same sources hit the same cache.
if command -v ccache >/dev/null; then
  export CMAKE_C_COMPILER_LAUNCHER=ccache CMAKE_CXX_COMPILER_LAUNCHER=ccache
  export CCACHE_BASEDIR=$ROOT CCACHE_NOHASHDIR=1 CCACHE_MAXSIZE=${CCACHE_MAXSIZE:-12G}
  export CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
fi

# configure PRESET [OPTION...]: runs cmake if there is no build yet or if options are given.
configure() {
  local preset=$1
  shift
  local dir=$ROOT/build/$preset
  [ $# -gt 0 ] || [ ! -f "$dir/build.ninja" ] || return 0
  say "configuring ($preset)"
  (cd "$ROOT" && cmake --preset "$preset" "$@" >"$ROOT/build-$preset.log" 2>&1) || {
    cat "$ROOT/build-$preset.log" >&2
    fail "cmake --preset $preset failed"
  }
  rm -f "$ROOT/build-$preset.log"
}

# build PRESET [TARGET...]: configures once, builds and shows progress.
build() {
  local preset=$1
  shift
  configure "$preset"
  say "building ($preset)"
  NINJA_STATUS="[%f/%t %es] " cmake --build "$ROOT/build/$preset" -- "$@"
}
