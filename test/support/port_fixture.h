// For tests of ports on real interfaces: the test's own network namespace, pools, a guard that
// passes everything, and frames.
#pragma once

#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/endian.h"
#include "device/driver.h"
#include "net/checksum.h"

namespace cygnet::test {

class OpenGuard final : public SealGuard {
 public:
  void Check(uint32_t, PacketBatch*, DropSink*) override {}
  void Report(const Packet&, DropReason) override {}
  SealGuardStats stats() const override { return {}; }
};

// What one thread needs to serve a queue of a port.
struct PortUser {
  explicit PortUser(PacketPools* pools) : caches(pools), sink(&caches, &drops) {}
  PacketCaches caches;
  DropCounters drops;
  DropSink sink;
};

class PortTest : public testing::Test {
 protected:
  PacketPools pools{4096, 32};
  OpenGuard guard;
  PortUser user{&pools};

  // Moves into a new network namespace. False if this machine does not allow one.
  static bool OwnNetwork() {
    if (unshare(CLONE_NEWNET) == 0) return true;
    const std::string map = "0 " + std::to_string(getuid()) + " 1";
    const std::string groups = "0 " + std::to_string(getgid()) + " 1";
    return unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0 && Put("/proc/self/setgroups", "deny") &&
           Put("/proc/self/uid_map", map) && Put("/proc/self/gid_map", groups);
  }
  static bool Put(const char* path, const std::string& text) {
    std::ofstream file(path);
    file << text;
    file.close();
    return file.good();
  }
  static bool Run(const std::string& command) {
    return std::system((command + " >/dev/null 2>&1").c_str()) == 0;
  }
  // A veth pair wa – wb, both up, without IPv6's automatic packets.
  static bool MakeWire(const std::string& more = "") {
    return OwnNetwork() && Run("ip link add wa " + more + " type veth peer name wb " + more) &&
           Run("sysctl -w net.ipv6.conf.wa.disable_ipv6=1 net.ipv6.conf.wb.disable_ipv6=1") &&
           Run("ip link set wa up") && Run("ip link set wb up");
  }

  DriverParams Params(const std::string& wire, uint32_t queues = 1) {
    return {.name = "nic0", .wire = wire, .queues = queues, .pools = &pools, .guard = &guard};
  }

  // What `text`, lines of a [[device]] table, says to a driver.
  static Options OptionsOf(std::string_view driver, const std::string& text) {
    const auto table = ParseToml(text, "test");
    EXPECT_TRUE(table) << table.error().message;
    auto checked = FindDriver(driver)->check(*table);
    EXPECT_TRUE(checked) << checked.error().message;
    return checked->options;
  }

  // An Ethernet frame with a UDP packet over IPv4 and `text` as payload.
  Packet* MakeFrame(const std::string& text, uint16_t sport = 1000, bool jumbo = false) {
    Packet* packet = jumbo ? user.caches.jumbo.Take() : user.caches.small.Take();
    const auto bytes = Frame(text, sport);
    std::memcpy(packet->Append(static_cast<uint32_t>(bytes.size())), bytes.data(), bytes.size());
    packet->l3_offset = kEthernetHeader;
    return packet;
  }
  static std::vector<uint8_t> Frame(const std::string& text, uint16_t sport) {
    std::vector<uint8_t> f(kEthernetHeader + 28 + text.size());
    std::memset(f.data(), 0xff, 6);
    f[6] = 2;
    f[12] = 8;
    uint8_t* ip = f.data() + kEthernetHeader;
    ip[0] = 0x45;
    StoreBe16(ip + 2, static_cast<uint16_t>(28 + text.size()));
    ip[8] = 64;
    ip[9] = 17;
    StoreBe32(ip + 12, 0xc0000201);
    StoreBe32(ip + 16, 0xc0000202);
    WriteIpv4HeaderChecksum(ip);
    StoreBe16(ip + 20, sport);
    StoreBe16(ip + 22, 2000);
    StoreBe16(ip + 24, static_cast<uint16_t>(8 + text.size()));
    std::memcpy(ip + 28, text.data(), text.size());
    return f;
  }
  static std::string TextOf(const Packet& packet) {
    return {reinterpret_cast<const char*>(packet.data()) + kEthernetHeader + 28,
            packet.length - kEthernetHeader - 28};
  }

  // Waits like a worker and passes each received packet to `take`, until `take` returns true.
  void ReceiveUntil(Port* port, uint32_t queue, const std::function<bool(Packet*)>& take) {
    bool done = false;
    for (int turns = 0; turns < 2000 && !done; ++turns) {
      PacketBatch batch;
      port->Receive(queue, &batch, &user.sink);
      for (Packet* packet : batch.packets()) {
        done = take(packet) || done;
        user.sink.Recycle(packet);
      }
      batch.ReleaseAll();
      if (done) return;
      if (port->PrepareWait(queue)) {
        pollfd fd{port->wait_fd(queue), POLLIN, 0};
        (void)poll(&fd, 1, 10);
      }
      port->FinishWait(queue);
    }
    FAIL() << "not received";
  }
};

}  // namespace cygnet::test
