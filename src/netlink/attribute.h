// Netlink attributes (struct nlattr): iterates over them, and checks them against a table of rules
// like the kernel's nla_parse: for each type a minimum length, or an exact length for newer types.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <type_traits>

#include "base/result.h"
#include "netlink/extended_ack.h"

namespace cygnet::netlink {

inline constexpr std::size_t kAttributeHeaderSize = 4;

struct AttributeView {
  uint16_t type = 0;    // without the flag bits
  bool nested = false;  // NLA_F_NESTED was set
  std::span<const uint8_t> payload;
  std::size_t offset = 0;  // of the attribute, from the start of the iteration
};

// Iterates over attributes up to the end or to the first with an invalid length.
class AttributeIterator {
 public:
  explicit AttributeIterator(std::span<const uint8_t> bytes) : bytes_(bytes) {}
  std::optional<AttributeView> Next();
  // After Next() returned nullopt: bytes remain that do not form an attribute.
  bool HasLeftover() const { return offset_ < bytes_.size(); }

 private:
  std::span<const uint8_t> bytes_;
  std::size_t offset_ = 0;
};

// The payload of the last attribute of `type`, as the kernel reads them; empty if there is none. It
// is valid as long as `bytes`.
std::span<const uint8_t> FindAttribute(std::span<const uint8_t> bytes, uint16_t type);

// The numbers in the attribute policy of an extended ACK (enum netlink_attribute_type).
enum class AttributeKind : uint8_t {
  kOpaque = 0,
  kFlag = 1,
  kU8 = 2,
  kU16 = 3,
  kU32 = 4,
  kU64 = 5
};

// The rule for an attribute type. Lenient types may be longer than their kind.
struct AttributeRule {
  AttributeKind kind = AttributeKind::kOpaque;
  uint16_t min_length = 0;  // of kOpaque
  bool strict = false;      // exact length, no nested flag, value range
  uint32_t min_value = 0;   // strict kU8 only
  uint32_t max_value = ~uint32_t{0};
};

// The last attribute of each type in a message.
class AttributeTable {
 public:
  static constexpr std::size_t kTypes = 64;

  bool Has(std::size_t type) const { return type < kTypes && (present_ >> type & 1) != 0; }
  // Empty if absent.
  std::span<const uint8_t> Payload(std::size_t type) const {
    return Has(type) ? payloads_[type] : std::span<const uint8_t>{};
  }
  // The first sizeof(T) bytes of the payload; nullopt if absent or shorter.
  template <typename T>
  requires std::is_trivially_copyable_v<T> std::optional<T> Get(std::size_t type)
  const {
    const auto payload = Payload(type);
    if (payload.size() < sizeof(T)) return std::nullopt;
    T value;
    std::memcpy(&value, payload.data(), sizeof(T));
    return value;
  }
  template <typename T>
  T GetOr(std::size_t type, T fallback) const {
    return Get<T>(type).value_or(fallback);
  }
  void Set(std::size_t type, std::span<const uint8_t> payload) {
    if (type >= kTypes) return;
    present_ |= uint64_t{1} << type;
    payloads_[type] = payload;
  }

 private:
  uint64_t present_ = 0;
  std::array<std::span<const uint8_t>, kTypes> payloads_{};
};

// Checks every attribute in `bytes` against the rule at the index of its type. Types without a rule
// are ignored. The last attribute of a type counts. `offset_in_message`: position of `bytes`, for
// the offset in errors. Leftover bytes are tolerated but set the text of `ack`.
Result<AttributeTable> ParseAttributes(std::span<const uint8_t> bytes,
                                       std::size_t offset_in_message,
                                       std::span<const AttributeRule> rules, ExtendedAck& ack);

}  // namespace cygnet::netlink
