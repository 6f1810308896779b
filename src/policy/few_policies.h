// FewPolicies: an ordered list of a few policies of IPv4, and the first one that matches a flow.
// Most hosts and many gateways have no more than a few. A look-up compares the flow with four
// policies at a time, and no branch depends on which of them matches.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>

#include "base/ids.h"
#include "net/flow_key.h"
#include "policy/policy_state.h"

namespace cygnet {

// Immutable.
class FewPolicies {
 public:
  static constexpr std::size_t kMost = 16;

  // REQUIRES: at most kMost policies of IPv4, in the order in which they are checked.
  // `with_ports`: false: they match whatever ports they name.
  FewPolicies(std::span<Policy* const> in_order, bool with_ports);

  // nullptr: none matches. REQUIRES: the flow is of IPv4.
  Policy* Find(const FlowKey& flow, int32_t ifindex) const {
    const Words words = WordsOf(flow, ifindex);
    if (!plain_) return FirstMatch(words, std::make_index_sequence<kWords>());
    if (flow.if_id != 0) return nullptr;
    return FirstMatch(words, std::make_index_sequence<kPlainWords>());
  }
  std::span<Policy* const> policies() const { return {policies_.data(), size_}; }

 private:
  using Lanes [[gnu::vector_size(16)]] = uint32_t;  // a word of each of four policies
  using Halves [[gnu::vector_size(16)]] = uint64_t;
  static constexpr std::size_t kLanes = 4;
  // The words of a flow that policies compare; most policies only the first of them.
  static constexpr std::size_t kPlainWords = 4;
  static constexpr std::size_t kWords = 7;
  using Words = std::array<uint32_t, kWords>;
  struct alignas(kCacheLine) Four {
    std::array<Lanes, kWords> mask{};
    std::array<Lanes, kWords> value{};
    Lanes place{};  // in the list, as a bit; 0: no policy
  };

  static uint32_t WordOf(const IpAddress& address) {
    uint32_t word;
    std::memcpy(&word, address.bytes.data(), sizeof(word));
    return word;
  }
  static Words WordsOf(const FlowKey& flow, int32_t ifindex) {
    return {WordOf(flow.daddr),
            WordOf(flow.saddr),
            uint32_t{flow.sport} | uint32_t{flow.dport} << 16,
            flow.proto,
            flow.if_id,
            flow.mark,
            static_cast<uint32_t>(ifindex)};
  }
  template <std::size_t... kCompared>
  Policy* FirstMatch(const Words& words, std::index_sequence<kCompared...>) const {
    const Lanes flow[] = {(Lanes{} + words[kCompared])...};
    Lanes found{};
    for (const Four& four : std::span(fours_).first(fours_used_)) {
      const Lanes differs =
          (... | ((flow[kCompared] & four.mask[kCompared]) ^ four.value[kCompared]));
      found |= reinterpret_cast<Lanes>(differs == 0) & four.place;
    }
    const auto halves = reinterpret_cast<Halves>(found);
    const uint64_t both = halves[0] | halves[1];
    const auto places = static_cast<uint32_t>(both | both >> 32);
    return places == 0 ? nullptr : policies_[static_cast<std::size_t>(std::countr_zero(places))];
  }
  void Set(std::size_t at, const PolicySpec& spec, bool with_ports);

  std::array<Four, kMost / kLanes> fours_{};
  std::array<Policy*, kMost> policies_{};
  std::size_t size_;
  std::size_t fours_used_;
  bool plain_ = true;  // no policy compares more than the plain words, or is of a tunnel
};

}  // namespace cygnet
