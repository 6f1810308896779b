// An isolated driver behind the adapter of drivers, on a wire in memory.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <fstream>
#include <mutex>
#include <thread>

#include "isolation/public_copy.h"
#include "plugin/isolation/isolation.h"
#include "plugin/plugin_device.h"
#include "support/esp_oracle.h"
#include "support/memory_port.h"

namespace cygnet::test {

using namespace std::chrono_literals;

// A wire that a test and another thread may use at the same time.
class LockedPort final : public Port {
 public:
  std::string_view name() const override { return port_.name(); }
  MacAddress mac() const override { return port_.mac(); }
  uint32_t mtu() const override { return port_.mtu(); }
  uint32_t queues() const override { return 1; }
  PortStats stats() const override { return {}; }
  uint32_t Receive(uint32_t queue, PacketBatch* out, DropSink* sink) override {
    const std::lock_guard lock(lock_);
    return port_.Receive(queue, out, sink);
  }
  void Transmit(uint32_t queue, PacketBatch* batch, DropSink* sink) override {
    const std::lock_guard lock(lock_);
    port_.Transmit(queue, batch, sink);
  }
  int wait_fd(uint32_t) const override { return -1; }
  bool PrepareWait(uint32_t) override { return false; }
  void FinishWait(uint32_t) override {}

  void Arrive(Packet* packet) {
    const std::lock_guard lock(lock_);
    port_.arriving.push_back(packet);
  }
  // nullptr: nothing was sent.
  Packet* TakeSent() {
    const std::lock_guard lock(lock_);
    if (port_.sent.empty()) return nullptr;
    Packet* packet = port_.sent.front();
    port_.sent.pop_front();
    return packet;
  }

 private:
  std::mutex lock_;
  MemoryPort port_{"wire"};
};

class IsolatedDriverTest : public testing::Test {
 protected:
  void Open(const std::string& file, std::vector<std::string> options = {}) {
    library_ = std::make_unique<PublicCopy>(file);
    OpenWith(program_.path(), library_->path(), std::move(options));
  }
  // `program`: the child.
  void OpenWith(const std::string& program, const std::string& path,
                std::vector<std::string> options) {
    const Status opened = TryOpen(program, path, std::move(options));
    ASSERT_TRUE(opened) << opened.error().message;
    device_->SetBell(&bell_);
  }
  Status TryOpen(const std::string& program, const std::string& path,
                 std::vector<std::string> options) {
    IsolationSettings settings;
    settings.program = program;
    settings.patience = 1000ms;
    settings.first_wait = first_wait_;
    settings.longest_wait = longest_wait_;
    const auto table = LoadIsolatedDriver(path, settings);
    if (!table) return table.error();
    auto plugin = ReadDriver(*table, path);
    if (!plugin) return plugin.error();
    plugin->isolated = true;
    auto wire = std::make_unique<LockedPort>();
    wire_ = wire.get();
    auto device = PluginDevice::Open(
        *plugin,
        {.name = "nic0", .pools = &pools_, .wire = std::move(wire), .options = std::move(options)});
    if (!device) return device.error();
    device_ = *std::move(device);
    return {};
  }
  // The process of the driver.
  static pid_t ChildPid() {
    for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
      std::ifstream children(task.path() / "children");
      pid_t pid = 0;
      if (children >> pid) return pid;
    }
    return 0;
  }

  OffloadHandle Add(const SaSpec& spec, Half half) {
    OffloadHandle handle;
    const auto refusal = device_->InstallSa({spec, half, spec.replay.seq}, &handle);
    EXPECT_FALSE(refusal.has_value()) << refusal->text;
    device_->StartSa(handle);
    return handle;
  }
  Packet* ToSeal(const SaSpec& spec, OffloadHandle handle, uint64_t seq, const Bytes& text) {
    Bytes esp(16);
    Put32(&esp, 0, spec.spi.value);
    Put32(&esp, 4, static_cast<uint32_t>(seq));
    Put32(&esp, 12, static_cast<uint32_t>(seq));
    Packet* packet = MakePacket(&pools_, EspFrame(spec, esp + text + Bytes(16, 0)));
    packet->offload.esp_offset = 34;
    packet->offload.handle = handle;
    packet->offload.status = OffloadStatus::kSealRequested;
    packet->SetSaNumber(77);
    return packet;
  }
  void Transmit(Packet* packet) {
    PacketBatch batch;
    batch.Push(packet);
    device_->Transmit(0, &batch, &sink_);
    EXPECT_TRUE(batch.empty());
  }
  template <typename Ready>
  static bool Within5s(Ready ready) {
    for (int i = 0; i < 5000; ++i) {
      if (ready()) return true;
      std::this_thread::sleep_for(1ms);
    }
    return false;
  }
  // The next frame on the wire; empty: none came.
  Bytes Sent() {
    Packet* packet = nullptr;
    if (!Within5s([&] { return (packet = wire_->TakeSent()) != nullptr; })) return {};
    const Bytes frame = ToBytes(packet->bytes());
    FreePacket(packet);
    return frame;
  }
  struct Arrived {
    Bytes frame;
    OffloadMeta meta;
    uint32_t sa_number;
  };
  // What comes up, until there are `n` or five seconds have passed.
  std::vector<Arrived> Receive(std::size_t n = 1) {
    std::vector<Arrived> out;
    (void)Within5s([&] {
      PacketBatch batch;
      (void)device_->Receive(0, &batch, &sink_);
      for (Packet* packet : batch.packets()) {
        out.push_back({ToBytes(packet->bytes()), packet->offload, packet->sa_number()});
        sink_.Recycle(packet);
      }
      batch.ReleaseAll();
      return out.size() >= n;
    });
    return out;
  }
  void Arrive(const Bytes& frame) {
    Packet* packet = MakePacket(&pools_, frame);
    packet->l3_offset = 14;
    wire_->Arrive(packet);
  }

  // From a death to the next start: later than the test, unless it says something else.
  std::chrono::milliseconds first_wait_{60'000};
  std::chrono::milliseconds longest_wait_{60'000};
  PublicCopy program_{CYGNET_PLUGIN_HOST_BUILT};
  std::unique_ptr<PublicCopy> library_;
  PacketPools pools_{1024, 2};
  PacketCaches caches_{&pools_};
  DropCounters counters_;
  DropSink sink_{&caches_, &counters_};
  Doorbell bell_;
  LockedPort* wire_ = nullptr;
  std::unique_ptr<PluginDevice> device_;
};

}  // namespace cygnet::test
