// DeviceShadow: shadow verification of one device: how many packets the CPU computes again, what
// it found, and the evidence that control collects.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/doorbell.h"
#include "device/offload_device.h"
#include "sa/half.h"
#include "sa/sa.h"

namespace cygnet {

// A packet of a device that differs from what the CPU computes. Contains packets in clear, never
// keys.
struct ShadowEvidence {
  uint64_t time_ns = 0;  // CLOCK_REALTIME
  Half half = Half::kOutbound;
  OffloadMode mode = OffloadMode::kCrypto;
  std::string_view what;  // a constant: "the ICV does not verify" …
  uint64_t seq = 0;       // as far as it is known; 0: unknown
  SaId id;
  // Frames. Outbound: as the device would have sent it; inbound: as it arrived, where the device
  // hands up a copy. Empty: unknown.
  std::vector<uint8_t> esp;
  std::vector<uint8_t> by_device;  // inbound: what the device made of it
  std::vector<uint8_t> by_cpu;     // what the CPU opened; empty: it does not open
};

struct ShadowStats {
  std::array<uint64_t, kHalves.size()> verified{};  // packets computed again
  std::array<uint64_t, kHalves.size()> wrong{};     // … that differ
  std::array<uint64_t, kHalves.size()>
      unverified{};  // dropped: drawn, but the CPU cannot compute them
};

class DeviceShadow {
 public:
  static constexpr std::size_t kMaxEvidence = 16;

  // `bell`: rung for each wrong packet. Outlives this.
  explicit DeviceShadow(Doorbell* bell) : bell_(bell) {}
  DeviceShadow(const DeviceShadow&) = delete;
  DeviceShadow& operator=(const DeviceShadow&) = delete;
  ~DeviceShadow() { (void)TakeEvidence(); }

  // Any thread. One of so many packets is verified; 0: none.
  uint32_t one_of() const { return one_of_.load(std::memory_order_relaxed); }
  // True if the device hands up a copy of each inbound packet by now (packet offload), so that a
  // missing copy is a fault.
  bool copies_all(uint64_t now_ms) const {
    return one_of() == 1 && now_ms >= copies_all_ms_.load(std::memory_order_relaxed);
  }
  void CountVerified(Half half) { Count(&verified_, half); }
  void CountUnverified(Half half) { Count(&unverified_, half); }
  // Rare: takes a lock and allocates. Keeps the first kMaxEvidence since ForgetEvidence.
  void Report(ShadowEvidence evidence);
  ShadowStats stats() const;

  // --- Control thread ---
  // `copies`: the device hands up copies (PacketOffload::SetMirror).
  void Set(uint32_t one_of, bool copies, uint64_t now_ms);
  std::vector<ShadowEvidence> TakeEvidence();
  // The device is used again: its next faults are kept, too.
  void ForgetEvidence();

 private:
  using Counters = std::array<std::atomic<uint64_t>, kHalves.size()>;
  static void Count(Counters* counters, Half half) {
    (*counters)[IndexOf(half)].fetch_add(1, std::memory_order_relaxed);
  }

  Doorbell* const bell_;
  std::atomic<uint32_t> one_of_{0};
  std::atomic<uint64_t> copies_all_ms_{~uint64_t{0}};
  Counters verified_{};
  Counters wrong_{};
  Counters unverified_{};
  std::mutex mutex_;
  std::vector<ShadowEvidence> evidence_;
  std::size_t kept_ = 0;
};

}  // namespace cygnet
