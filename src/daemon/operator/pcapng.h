// Writes pcapng (draft-ietf-opsawg-pcapng): appends blocks to a buffer in this machine's byte
// order, as the format allows. Ethernet frames, nanosecond time stamps.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "device/capture.h"

namespace cygnet::pcapng {

inline constexpr uint32_t kSectionHeader = 0x0a0d0d0a;
inline constexpr uint32_t kInterfaceDescription = 1;
inline constexpr uint32_t kInterfaceStatistics = 5;
inline constexpr uint32_t kEnhancedPacket = 6;

// Starts a section: the first block of a stream.
void AppendSectionHeader(std::string_view application, std::string* out);

// The interfaces of a section are numbered from 0 in the order of their descriptions.
void AppendInterface(std::string_view name, std::string_view description, uint32_t snap_length,
                     std::string* out);

// The options of a packet block.
struct PacketNotes {
  std::vector<std::string> comments{};  // for people
  std::optional<uint64_t> packet_id{};  // the same for one packet at several interfaces
};
void AppendPacket(const CapturedFrame& frame, const PacketNotes& notes, std::string* out);

struct InterfaceCounts {
  uint64_t received = 0;  // including the dropped ones
  uint64_t dropped = 0;   // because the queue was full
};
void AppendStatistics(uint32_t interface, uint64_t time_ns, const InterfaceCounts& counts,
                      std::string* out);

}  // namespace cygnet::pcapng
