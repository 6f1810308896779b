// InboundShadow: shadow verification of what devices hand up to one worker.
// - Crypto offload: a device opens in place, so that the bytes on the wire are gone. The CPU seals
//   the packet again; the ICV that arrived must come out. A packet that a device refused is opened.
// - Packet offload: the device hands up a copy as it came before the inner packet. The CPU opens
//   the copy, checks replay, decapsulates, and compares.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "datapath/path_ops.h"
#include "datapath/shadow/device_shadow.h"
#include "datapath/shadow/shadow_desk.h"
#include "datapath/shadow/shadow_sampler.h"

namespace cygnet {

class InboundShadow {
 public:
  explicit InboundShadow(const ShadowDesk::Queues& queues) : desk_(queues) {}

  // Crypto offload, after the device's status was applied to the items. Sets kInVerify for an item
  // whose status is wrong. REQUIRES: binding.shadow.
  void CheckRun(const InboundSa& sa, const SaBinding& binding,
                std::span<const Interface> interfaces, std::span<InboundItem> run);

  // Packet offload. `copy`: the ESP packet as it came, which the device handed up for `inner`;
  // nullptr: it handed up none. Changes the copy. kInVerify: the inner packet must be dropped.
  struct Mirrored {
    const Sa& sa;
    const SaBinding& binding;
    DeviceShadow* shadow;
    std::span<const uint16_t> encap_ports;
    uint64_t now_ms;
    uint64_t first_number;  // no number of the device is lower; 0: unknown
    Packet* copy;
    const Packet& inner;
    uint32_t inner_length;  // of the IP packet
  };
  DropReason CheckInner(const Mirrored& m);

 private:
  struct Copy {
    std::span<const uint8_t> frame;  // as it came
    IpPacketView outer;
    EspView esp;
    uint64_t seq = 0;
    bool opened = false;
  };
  std::optional<std::string_view> JudgeOpened(const InboundSa& sa, const SaBinding& binding,
                                              const InboundItem& item);
  std::optional<std::string_view> JudgeCopy(const Mirrored& m, Copy* copy);
  static std::string_view FindEsp(const Mirrored& m, Copy* copy);
  bool Open(const InboundSa& sa, uint64_t inferred, const EngineSession& with, Packet* packet,
            Copy* copy);
  static std::string_view Compare(const Mirrored& m, const Copy& copy);

  ShadowDesk desk_;
  ShadowSampler sampler_;
};

}  // namespace cygnet
