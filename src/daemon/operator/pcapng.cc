#include "daemon/operator/pcapng.h"

#include <cstring>

namespace cygnet::pcapng {
namespace {

constexpr uint32_t kByteOrderMagic = 0x1a2b3c4d;
constexpr uint16_t kLinkTypeEthernet = 1;
constexpr std::size_t kMaxOption = 1024;

// Options (section 3.5 and those of each block)
constexpr uint16_t kOptEnd = 0;
constexpr uint16_t kOptComment = 1;
constexpr uint16_t kShbUserAppl = 4;
constexpr uint16_t kIfName = 2;
constexpr uint16_t kIfDescription = 3;
constexpr uint16_t kIfTsresol = 9;
constexpr uint16_t kEpbFlags = 2;
constexpr uint16_t kEpbPacketId = 5;
constexpr uint16_t kIsbIfRecv = 4;
constexpr uint16_t kIsbIfDrop = 5;

constexpr uint8_t kNanoseconds = 9;  // 10^-9 s
constexpr uint32_t kFlagInbound = 1;
constexpr uint32_t kFlagOutbound = 2;

// One block: type and length, contents, length again; everything aligned to 32 bits.
class Block {
 public:
  Block(uint32_t type, std::string* out) : out_(out), start_(out->size()) {
    Put(type);
    Put(uint32_t{0});  // its length, filled in at the end
  }
  ~Block() {
    const auto length = static_cast<uint32_t>(out_->size() - start_ + sizeof(uint32_t));
    std::memcpy(out_->data() + start_ + sizeof(uint32_t), &length, sizeof(length));
    Put(length);
  }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  template <typename T>
  void Put(T value) {
    out_->append(reinterpret_cast<const char*>(&value), sizeof(value));
  }
  // The high half comes first, whatever the byte order.
  void PutTime(uint64_t time_ns) {
    Put(static_cast<uint32_t>(time_ns >> 32));
    Put(static_cast<uint32_t>(time_ns));
  }
  void PutPadded(std::string_view bytes) {
    out_->append(bytes);
    out_->append((4 - bytes.size() % 4) % 4, '\0');
  }
  void PutOption(uint16_t code, std::string_view value) {
    value = value.substr(0, kMaxOption);
    Put(code);
    Put(static_cast<uint16_t>(value.size()));
    PutPadded(value);
  }
  template <typename T>
  void PutNumberOption(uint16_t code, T value) {
    PutOption(code, {reinterpret_cast<const char*>(&value), sizeof(value)});
  }
  void EndOptions() { Put(uint32_t{kOptEnd}); }

 private:
  std::string* const out_;
  const std::size_t start_;
};

}  // namespace

void AppendSectionHeader(std::string_view application, std::string* out) {
  Block block(kSectionHeader, out);
  block.Put(kByteOrderMagic);
  block.Put(uint16_t{1});  // version 1.0
  block.Put(uint16_t{0});
  block.Put(~uint64_t{0});  // length of the section: unknown
  block.PutOption(kShbUserAppl, application);
  block.EndOptions();
}

void AppendInterface(std::string_view name, std::string_view description, uint32_t snap_length,
                     std::string* out) {
  Block block(kInterfaceDescription, out);
  block.Put(kLinkTypeEthernet);
  block.Put(uint16_t{0});
  block.Put(snap_length);
  block.PutOption(kIfName, name);
  block.PutOption(kIfDescription, description);
  block.PutNumberOption(kIfTsresol, kNanoseconds);
  block.EndOptions();
}

void AppendPacket(const CapturedFrame& frame, const PacketNotes& notes, std::string* out) {
  Block block(kEnhancedPacket, out);
  block.Put(frame.interface);
  block.PutTime(frame.time_ns);
  block.Put(static_cast<uint32_t>(frame.bytes.size()));
  block.Put(frame.original_length);
  block.PutPadded({reinterpret_cast<const char*>(frame.bytes.data()), frame.bytes.size()});
  for (const std::string& comment : notes.comments) block.PutOption(kOptComment, comment);
  const bool inbound = frame.facts.direction == CaptureDirection::kInbound;
  block.PutNumberOption(kEpbFlags, inbound ? kFlagInbound : kFlagOutbound);
  if (notes.packet_id) block.PutNumberOption(kEpbPacketId, *notes.packet_id);
  block.EndOptions();
}

void AppendStatistics(uint32_t interface, uint64_t time_ns, const InterfaceCounts& counts,
                      std::string* out) {
  Block block(kInterfaceStatistics, out);
  block.Put(interface);
  block.PutTime(time_ns);
  block.PutNumberOption(kIsbIfRecv, counts.received);
  block.PutNumberOption(kIsbIfDrop, counts.dropped);
  block.EndOptions();
}

}  // namespace cygnet::pcapng
