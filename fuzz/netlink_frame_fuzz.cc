// Walks any datagram: its messages and their attributes must stay inside it, and each message can
// be answered.

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "netlink/ack.h"
#include "netlink/attribute.h"
#include "netlink/message.h"

namespace {

using cygnet::netlink::AttributeKind;
using cygnet::netlink::AttributeRule;

constexpr std::array<AttributeRule, 8> kRules{{
    {},
    {.min_length = 6},
    {.kind = AttributeKind::kU32},
    {.kind = AttributeKind::kU32, .strict = true},
    {.kind = AttributeKind::kFlag, .strict = true},
    {.kind = AttributeKind::kU8, .strict = true, .min_value = 1, .max_value = 2},
    {.kind = AttributeKind::kU64},
    {},
}};

void CheckInside(std::span<const uint8_t> part, std::span<const uint8_t> whole) {
  if (part.empty()) return;
  CYGNET_CHECK(part.data() >= whole.data());
  CYGNET_CHECK(part.data() + part.size() <= whole.data() + whole.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  const std::span<const uint8_t> whole(data, size);
  std::span<const uint8_t> rest = whole;
  while (const auto message = cygnet::netlink::NextMessage(rest)) {
    CheckInside(message->bytes, whole);
    CheckInside(rest, whole);
    cygnet::netlink::ExtendedAck ack;
    const auto table = cygnet::netlink::ParseAttributes(message->payload(), 16, kRules, ack);
    for (std::size_t type = 0; table && type < kRules.size(); ++type) {
      CheckInside(table->Payload(type), message->bytes);
      if (table->Has(type) && kRules[type].kind == AttributeKind::kU32) {
        CYGNET_CHECK(table->Get<uint32_t>(type).has_value());
      }
    }
    if (!table) {
      ack.message = table.error().message;
      ack.attr_offset = table.error().attr_offset;
    }
    const auto answer =
        cygnet::netlink::BuildAck(*message, table ? 0 : 22, ack, {.extended = true}, 1);
    std::span<const uint8_t> answers(answer);
    CYGNET_CHECK(cygnet::netlink::NextMessage(answers).has_value() && answers.empty());
  }
  return 0;
}
