// A number store whose content is a value, with answers that get lost. For tests only.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <optional>

#include "control/numbers/number_store.h"

namespace cygnet::test {

class MemoryNumberStore final : public NumberStore {
 public:
  // What outlives a process.
  struct Content {
    std::map<NumberId, uint64_t> given;
    std::map<NumberId, uint64_t> marks;
  };
  enum class Answer { kGiven, kLost, kRefused };

  explicit MemoryNumberStore(Content* content) : content_(*content) {}

  Answer answer = Answer::kGiven;
  // Faults of a store: it gives blocks twice, or raises a mark that somebody else has.
  bool gives_twice = false;
  bool raises_blindly = false;
  int steps = 0;  // how often it waited for its disk
  std::function<void()> while_waiting;
  // Of a cluster: each SA belongs to this group. Another node owns it: no numbers of it.
  uint32_t group = 0;
  bool is_owner = true;

  Result<NumberIdentity> Identify(const SaSpec& spec) override {
    NumberIdentity identity = IdentityOf(spec, secret_);
    identity.group = group;
    return identity;
  }
  void Retain(const NumberIdentity&) override {}
  void Release(const NumberIdentity&) override {}
  Result<NumberBlock> Outbound(const NumberId& id, uint64_t after, uint64_t count) override {
    NumberBlock block;
    const Status status = Together([&]() -> Status {
      uint64_t& given = content_.given[id];
      const uint64_t last = gives_twice ? after : std::max(given, after);
      if (last == ~uint64_t{0}) return MakeError(Errc::kRange, "used up");
      block = {last + 1, last + std::min(count, ~uint64_t{0} - last)};
      given = std::max(given, block.last);
      return {};
    });
    if (!status) return status.error();
    return block;
  }
  Result<InboundMark> Inbound(const NumberId& id, uint64_t from, uint64_t up_to) override {
    InboundMark answer_now;
    const Status status = Together([&]() -> Status {
      uint64_t& mark = content_.marks[id];
      answer_now.raised = mark == from || raises_blindly;
      if (answer_now.raised) mark = std::max(mark, up_to);
      answer_now.mark = mark;
      return {};
    });
    if (!status) return status.error();
    return answer_now;
  }
  Status ReturnOutbound(const NumberId& id, uint64_t used, uint64_t last) override {
    return LowerIfLast(&content_.given, id, used, last);
  }
  Status LowerInbound(const NumberId& id, uint64_t mark, uint64_t last) override {
    return LowerIfLast(&content_.marks, id, mark, last);
  }
  Status Together(const std::function<Status()>& run) override {
    if (depth_ != 0) return run();
    std::optional<Content> before;
    if (answer == Answer::kRefused || !is_owner) before = content_;
    ++steps;
    if (while_waiting) while_waiting();
    ++depth_;
    Status status = run();
    --depth_;
    if (status && !is_owner) status = MakeError(Errc::kPermission, "another node owns the group");
    if (status && answer != Answer::kGiven) status = MakeError(Errc::kIo, "the disk is away");
    if (before.has_value()) content_ = *before;
    fault_ = status ? std::string() : status.error().message;
    return status;
  }
  std::string fault() const override { return fault_; }

 private:
  Status LowerIfLast(std::map<NumberId, uint64_t>* values, const NumberId& id, uint64_t value,
                     uint64_t last) {
    return Together([&]() -> Status {
      const auto it = values->find(id);
      if (it != values->end() && it->second == last && value < last) it->second = value;
      return {};
    });
  }

  Content& content_;
  const KeyMaterial secret_{std::array<uint8_t, kNumberSecretBytes>{}};
  int depth_ = 0;
  std::string fault_;
};

}  // namespace cygnet::test
