// HostWay: what the host's own IP stack does with a packet before Cygnet sees it: whether it sends,
// keeps, forwards or drops it, by which interface, and how large it may be. Asked of the kernel;
// what no answer of the kernel decides is told. Control thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "control/host_questions.h"
#include "control/mtu_report.h"

namespace cygnet {

struct HostWay {
  enum class Outcome : uint8_t {
    kSends,  // by `ifindex`
    kKeeps,  // it is for this host
    kDrops,
    kDepends,  // on what the question leaves open
  };
  Outcome outcome = Outcome::kSends;
  std::string text{};  // of all but kSends: why, the end of a sentence
  int32_t ifindex = 0;
  IpAddress source{};                // given, or chosen by the host
  int32_t came_by = 0;               // of another host's packet: the interface that it came in by
  std::string came_name{};           // its name
  bool group = false;                // to a multicast or broadcast address
  uint32_t mtu = 0;                  // the largest packet that the host sends there; 0: unknown
  std::string mtu_of{};              // what limits it: "the interface nic0"
  std::string encapsulation{};       // of its route, which encloses or changes it; empty: none
  std::vector<std::string> notes{};  // sentences
  std::vector<std::string> open{};   // the fields that it depends on
};

// An error names the part of the query that must be given, or given otherwise.
Result<HostWay> FindHostWay(const HostQuestions& host, const MtuQuery& query);

// True if only the interface that the packet leaves by makes the address mean something.
bool NeedsInterface(const ParsedAddress& to);

}  // namespace cygnet
