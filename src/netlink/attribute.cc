#include "netlink/attribute.h"

#include <linux/netlink.h>

#include <algorithm>

#include "base/bytes.h"
#include "netlink/message.h"

namespace cygnet::netlink {
namespace {

std::size_t LengthOf(AttributeKind kind) {
  switch (kind) {
    case AttributeKind::kU8:
      return 1;
    case AttributeKind::kU16:
      return 2;
    case AttributeKind::kU32:
      return 4;
    case AttributeKind::kU64:
      return 8;
    case AttributeKind::kOpaque:
    case AttributeKind::kFlag:
      break;
  }
  return 0;
}

struct Violation {
  Errc code;
  const char* text;
};

// The checks have the kernel's order (validate_nla), so that an attribute that breaks several rules
// gets the same answer.
std::optional<Violation> Check(const AttributeView& attribute, const AttributeRule& rule) {
  constexpr Violation kTooShort{Errc::kRange, "Attribute failed policy validation"};
  const std::size_t length = attribute.payload.size();
  const std::size_t exact = LengthOf(rule.kind);
  if (rule.strict && exact != 0 && length != exact) {
    return Violation{Errc::kInvalid, "invalid attribute length"};
  }
  if (rule.strict && attribute.nested) {
    return Violation{Errc::kInvalid, "NLA_F_NESTED not expected"};
  }
  if (rule.kind == AttributeKind::kFlag) {
    return length == 0 ? std::nullopt : std::optional(kTooShort);
  }
  if (length < std::max<std::size_t>(exact, rule.min_length)) return kTooShort;
  if (rule.strict && rule.kind == AttributeKind::kU8 &&
      (attribute.payload[0] < rule.min_value || attribute.payload[0] > rule.max_value)) {
    return Violation{Errc::kRange, "integer out of range"};
  }
  return std::nullopt;
}

}  // namespace

std::optional<AttributeView> AttributeIterator::Next() {
  const auto header = ReadAt<nlattr>(bytes_, offset_);
  if (!header || header->nla_len < kAttributeHeaderSize ||
      header->nla_len > bytes_.size() - offset_) {
    return std::nullopt;
  }
  AttributeView view;
  view.type = static_cast<uint16_t>(header->nla_type & NLA_TYPE_MASK);
  view.nested = (header->nla_type & NLA_F_NESTED) != 0;
  view.payload =
      bytes_.subspan(offset_ + kAttributeHeaderSize, header->nla_len - kAttributeHeaderSize);
  view.offset = offset_;
  // The last attribute need not be padded.
  offset_ = std::min(offset_ + Align(header->nla_len), bytes_.size());
  return view;
}

std::span<const uint8_t> FindAttribute(std::span<const uint8_t> bytes, uint16_t type) {
  AttributeIterator attributes(bytes);
  std::span<const uint8_t> found;
  while (const auto attribute = attributes.Next()) {
    if (attribute->type == type) found = attribute->payload;
  }
  return found;
}

Result<AttributeTable> ParseAttributes(std::span<const uint8_t> bytes,
                                       std::size_t offset_in_message,
                                       std::span<const AttributeRule> rules, ExtendedAck& ack) {
  AttributeTable table;
  AttributeIterator iterator(bytes);
  while (const auto attribute = iterator.Next()) {
    if (attribute->type == 0 || attribute->type >= rules.size()) continue;
    const AttributeRule& rule = rules[attribute->type];
    if (const auto violation = Check(*attribute, rule)) {
      ack.rule = &rule;
      return Error{violation->code, violation->text,
                   static_cast<uint32_t>(offset_in_message + attribute->offset)};
    }
    table.Set(attribute->type, attribute->payload);
  }
  if (iterator.HasLeftover()) ack.message = "bytes leftover after parsing attributes";
  return table;
}

}  // namespace cygnet::netlink
