// ShadowSession: what the CPU needs to compute a device's packets of one half of an SA again
// (shadow verification). Made by BindHalf, shared by successive bindings of the half.
#pragma once

#include <cstdint>
#include <memory>

#include "datapath/shared_session.h"
#include "sa/replay_window.h"

namespace cygnet {

// A session and its engine's number in the EngineSet. Successive bindings of one half share the
// session; the last of them frees the key schedule.
struct EngineSession {
  SharedSession session;
  uint8_t engine = 0;
};

struct ShadowSession {
  // Numbers that are remembered. More than the devices' rings hold: packets of one SA reach several
  // workers, and an old number must not be taken for one that was used again.
  static constexpr uint32_t kWindow = 16384;

  // `window`: 0 or kWindow.
  ShadowSession(uint64_t highest, bool esn, uint32_t window)
      : seen({.seq = highest, .window = window, .extended_form = true, .bitmap = {}}, esn) {}

  EngineSession open;  // outbound, and inbound in packet offload
  EngineSession seal;  // inbound: opened packets are sealed again
  // The numbers of verified packets. Packet offload only: there the device numbers and checks
  // replay. Any thread.
  ReplayWindow seen;
};

}  // namespace cygnet
