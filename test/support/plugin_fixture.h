// PluginDeviceTest: a driver by others between a test and a wire in memory.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "plugin/plugin_device.h"
#include "support/esp_oracle.h"
#include "support/memory_port.h"

namespace cygnet::test {

class PluginDeviceTest : public testing::Test {
 protected:
  void Open(const DriverPlugin& plugin, std::vector<std::string> options = {}) {
    auto wire = std::make_unique<MemoryPort>("wire");
    wire_ = wire.get();
    auto device = PluginDevice::Open(
        plugin,
        {.name = "nic0", .pools = &pools_, .wire = std::move(wire), .options = std::move(options)});
    ASSERT_TRUE(device) << device.error().message;
    device_ = *std::move(device);
    device_->SetBell(&bell_);
  }
  void OpenSoft(std::vector<std::string> options = {}) {
    const auto plugin =
        LoadDriver(std::string(CYGNET_TEST_PLUGINS) + "/plugin_soft.so", PluginTrust::kAnyOwner);
    ASSERT_TRUE(plugin) << plugin.error().message;
    Open(*plugin, std::move(options));
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
    packet->offload.esn_high = static_cast<uint32_t>(seq >> 32);
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
  std::vector<Bytes> Sent() {
    std::vector<Bytes> out;
    for (; !wire_->sent.empty(); wire_->sent.pop_front()) {
      out.push_back(ToBytes(wire_->sent.front()->bytes()));
      FreePacket(wire_->sent.front());
    }
    return out;
  }
  // What comes up, as copies.
  struct Arrived {
    Bytes frame;
    OffloadMeta meta;
    uint32_t sa_number;
  };
  std::vector<Arrived> Receive() {
    PacketBatch batch;
    std::vector<Arrived> out;
    (void)device_->Receive(0, &batch, &sink_);
    for (Packet* packet : batch.packets()) {
      out.push_back({ToBytes(packet->bytes()), packet->offload, packet->sa_number()});
      sink_.Recycle(packet);
    }
    batch.ReleaseAll();
    return out;
  }
  std::vector<Arrived> Receive(const Bytes& frame) {
    Packet* packet = MakePacket(&pools_, frame);
    packet->l3_offset = 14;
    wire_->arriving.push_back(packet);
    return Receive();
  }

  PacketPools pools_{512, 2};
  PacketCaches caches_{&pools_};
  DropCounters counters_;
  DropSink sink_{&caches_, &counters_};
  Doorbell bell_;
  MemoryPort* wire_ = nullptr;
  std::unique_ptr<PluginDevice> device_;
};

}  // namespace cygnet::test
