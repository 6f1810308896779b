// WireShadow: shadow verification of what a device sends on one wire. The seal guard calls it for
// the packets that were drawn when they were handed to the device. It opens a copy of the frame and
// compares the text with what the stack wanted to send.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string_view>

#include "datapath/data_path.h"
#include "datapath/sa_binding.h"
#include "datapath/shadow/shadow_desk.h"

namespace cygnet {

// Before a device gets the packet. The guard compares.
// Crypto offload: the packet is built; only its ICV is missing, and the text is in clear.
void MarkBuilt(const OutboundSa& sa, Packet* packet);
// Packet offload: `ip` describes the packet in clear. REQUIRES: OweDeviceSeal.
void MarkClear(const OutboundSa& sa, const IpPacketView& ip, Packet* packet);

class WireShadow {
 public:
  // `number`: of the crypto queue, below kMaxCryptoQueues.
  WireShadow(const DataPath* path, DeviceShadow* shadow, const EngineSet& engines, uint32_t number);

  // REQUIRES: the packet is marked, and the thread's Quiescence reader is online. kOutVerify: it
  // must not leave.
  DropReason Check(const Packet& packet);

 private:
  // What the frame turned out to be.
  struct Frame {
    uint32_t l3 = 0;
    uint32_t esp = 0;  // of the ESP header, from the start of the frame
    const OutboundSa* sa = nullptr;
    ShadowSession* with = nullptr;
    uint64_t seq = 0;
    std::span<const uint8_t> opened;  // ESP with the text in clear; empty: it does not open
  };
  enum class Finding : uint8_t { kRight, kWrong, kUnknown };
  Finding Judge(const Packet& packet, Frame* frame, std::string_view* what);
  Finding Find(const Packet& packet, Frame* frame, std::string_view* what) const;
  std::string_view Compare(const Packet& packet, Frame* frame);
  void Report(const Packet& packet, const Frame& frame, std::string_view what) const;

  const DataPath* const path_;
  DeviceShadow* const shadow_;
  // A device sends in one thread; the mutex is for those with several.
  std::mutex mutex_;
  std::array<std::unique_ptr<CryptoQueue>, EngineSet::kMaxEngines> queues_;
  std::unique_ptr<ShadowDesk> desk_;
};

}  // namespace cygnet
