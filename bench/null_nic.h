// NullNic: a device whose cryptography costs nothing, over a port in memory. It leaves only the
// stack's own work on the crypto-offload path. It does not seal, but inverts the bytes that the
// seal guard checks. For measurements only.
#pragma once

#include <cstring>

#include "device/driver.h"
#include "support/memory_port.h"

namespace cygnet::bench {

class NullNic final : public Port, public OffloadDevice {
 public:
  MemoryPort wire{"wire"};
  SealGuard* guard = nullptr;  // of `wire`

  std::string_view name() const override { return "null"; }
  MacAddress mac() const override { return wire.mac(); }
  uint32_t mtu() const override { return wire.mtu(); }
  uint32_t queues() const override { return 1; }
  PortStats stats() const override { return wire.stats(); }
  int wait_fd(uint32_t) const override { return -1; }
  bool PrepareWait(uint32_t) override { return true; }
  void FinishWait(uint32_t) override {}
  // Packets arrive marked as opened for the SA that was added last.
  uint32_t Receive(uint32_t queue, PacketBatch* out, DropSink* sink) override {
    const uint32_t before = out->size();
    const uint32_t n = wire.Receive(queue, out, sink);
    if (!inbound_) return n;
    for (Packet* packet : out->packets().subspan(before)) {
      packet->offload.handle = kHandle;
      packet->offload.status = OffloadStatus::kOpened;
      TurnOver(packet->data() + kTextOffset);
    }
    return n;
  }
  void Transmit(uint32_t queue, PacketBatch* batch, DropSink* sink) override {
    for (Packet* packet : batch->packets()) {
      if (packet->offload.status != OffloadStatus::kSealRequested) continue;
      TurnOver(packet->data() + kTextOffset);
      TurnOver(packet->data() + packet->length - sizeof(uint64_t));
    }
    if (guard != nullptr) guard->Check(queue, batch, sink);
    wire.Transmit(queue, batch, sink);
  }

  std::string_view device_name() const override { return "null"; }
  const OffloadCaps& caps() const override { return caps_; }
  DeviceIdentity identity() const override { return {}; }
  DeviceState state() const override { return DeviceState::kUp; }
  uint32_t resets() const override { return 0; }
  void SetBell(Doorbell*) override {}
  std::optional<DeviceRefusal> InstallSa(const OffloadSa& sa, OffloadHandle* handle) override {
    inbound_ = inbound_ || IsInbound(sa.half);
    *handle = kHandle;
    return std::nullopt;
  }
  void StartSa(OffloadHandle) override {}
  void StopSa(OffloadHandle) override {}
  void ReleaseSa(OffloadHandle) override {}
  std::vector<OffloadHandle> TakeErased() override { return {}; }
  OffloadStats offload_stats() const override { return {}; }
  void AdvanceEsn(OffloadHandle, uint64_t) override {}
  void FilterEligible(std::span<Packet* const>, std::span<bool> eligible) override {
    std::fill(eligible.begin(), eligible.end(), true);
  }

 private:
  static constexpr OffloadHandle kHandle{7};
  static constexpr uint32_t kTextOffset = 14 + 20 + 8 + 8;  // IPv4, GCM
  static void TurnOver(uint8_t* at) {
    uint64_t word;
    std::memcpy(&word, at, sizeof(word));
    word = ~word;
    std::memcpy(at, &word, sizeof(word));
  }
  const OffloadCaps caps_{.crypto_offload = true,
                          .inbound = true,
                          .outbound = true,
                          .transport = true,
                          .tunnel = true,
                          .ipv4 = true,
                          .ipv6 = true,
                          .esn = true,
                          .udp_encap = true,
                          .algorithms = {"rfc4106(gcm(aes))"},
                          .key_bytes = {16, 24, 32},
                          .icv_bytes = {8, 12, 16},
                          .max_replay_window = 4096};
  bool inbound_ = false;
};

}  // namespace cygnet::bench
