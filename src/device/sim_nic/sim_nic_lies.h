// Lies of the software NIC: capabilities that it claims, and does wrongly. They last, unlike faults
// of single packets, and a self-test can find them.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "device/sim_nic/card_request.h"

namespace cygnet {

inline constexpr std::string_view kNoLie = "none";

// What the device does wrongly for an SA.
struct SaLies {
  bool high_word = false;      // "esn": it takes the high word for 0
  bool text = false;           // modes, families, encapsulation: it changes a byte of the packet
  bool icv = false;            // algorithms, keys, ICVs: seals with a wrong ICV
  bool refuses = false;        // algorithms, keys: it reports good packets as forged
  bool icv_unchecked = false;  // ICVs: it opens a packet whose ICV is wrong
  bool replay = false;         // "replay": it accepts packets that it has had (packet offload)
};

// True if `word` is a capability that the device can do wrongly.
bool IsLie(std::string_view word);
// The capabilities, for people.
std::string LieForms();
SaLies LiesAbout(std::span<const std::string> words, const CardRequest& request);

}  // namespace cygnet
