// Sad: the security association database (RFC 4301 section 4.4.2). The control thread inserts and
// removes; workers look up without locks.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "base/quiescence.h"
#include "base/rcu_hash.h"
#include "net/flow_key.h"
#include "sa/sa.h"

namespace cygnet {

class Sad {
 public:
  explicit Sad(Quiescence* quiescence);
  ~Sad();

  // --- Workers ---
  // The SA that a packet to `daddr` with this SPI names; nullptr when there is none.
  // Larval and dead states are found too: the caller tells them apart.
  Sa* LookupInbound(Spi spi, const IpAddress& daddr, IpFamily family, uint8_t proto) const;

  // What a policy's template asks for; addresses already resolved, `saddr` any = not decided.
  struct OutboundQuery {
    Reqid reqid;
    SaMode mode = SaMode::kTransport;
    uint8_t proto = 0;
    IpFamily family = IpFamily::kUnspec;
    Spi spi;  // 0 = any
    IpAddress daddr;
    IpAddress saddr;
    int32_t ifindex = 0;  // that the packet leaves by
  };
  // The newest valid SA that fits the query and whose selector admits the flow; a dying one only
  // when no other fits.
  OutboundSa* ResolveOutbound(const OutboundQuery& query, const FlowKey& flow) const;
  // True when a valid SA fits the query, but its XFRMA_SA_DIR says input.
  bool HasInboundOnly(const OutboundQuery& query) const;

  // True when a packet may have come by an SA that fits the query, whose `daddr` is of this host.
  bool HasInbound(const OutboundQuery& query) const;

  // SAs that packets may meet.
  std::size_t reachable() const { return inbound_.size(); }

  // A look-up is near: what it will touch is on its way into the cache, one step further with each
  // call, of which there are kPrefetchSteps.
  static constexpr int kPrefetchSteps = 2;
  void PrefetchInbound(Spi spi, const IpAddress& daddr, uint8_t proto, int step) const {
    Prefetch(inbound_, InboundHash(spi, daddr, proto), step);
  }
  void PrefetchOutbound(const OutboundQuery& query, int step) const {
    Prefetch(outbound_, OutboundHash(query.reqid, query.daddr, query.proto), step);
  }
  // What the last step found first; nullptr: nothing. Not necessarily what a look-up finds.
  const Sa* PeekInbound(Spi spi, const IpAddress& daddr, uint8_t proto) const {
    return inbound_.First(InboundHash(spi, daddr, proto));
  }
  const Sa* PeekOutbound(const OutboundQuery& query) const {
    return outbound_.First(OutboundHash(query.reqid, query.daddr, query.proto));
  }

  // --- Control thread ---
  // By identity; the newest of several.
  std::shared_ptr<Sa> Find(const SaId& id) const;
  // The oldest larval state that was made for the ACQUIRE of this number.
  std::shared_ptr<Sa> FindByAcquireSeq(uint32_t seq) const;
  // The newest larval state of this tuple for which match(sa) is true.
  template <typename Fn>
  std::shared_ptr<Sa> FindLarval(const SaSpec& spec, Fn match) const {
    const Sa* found = nullptr;
    const auto [begin, end] = by_tuple_.equal_range(TupleHash(spec));
    for (auto it = begin; it != end; ++it) {
      const Sa* sa = it->second;
      const bool fits =
          sa->state() == SaState::kLarval && SameTuple(sa->spec(), spec) && match(*sa);
      if (fits && (found == nullptr || sa->number > found->number)) found = sa;
    }
    return found == nullptr ? nullptr : FindByNumber(found->number);
  }
  std::shared_ptr<Sa> FindByNumber(uint64_t number) const;
  void Insert(std::shared_ptr<Sa> sa);
  // Workers may use the SA until they are quiescent; the shared pointer keeps it whole until then.
  void Remove(const std::shared_ptr<Sa>& sa);
  bool SpiTaken(uint8_t proto, Spi spi) const;
  // Newest first.
  std::vector<std::shared_ptr<Sa>> List() const;
  // fn(sa) for each, oldest first; it may remove the one that it is given.
  template <typename Fn>
  void ForEach(Fn fn) const {
    for (auto it = by_number_.begin(); it != by_number_.end();) {
      const std::shared_ptr<Sa> sa = it->second;
      ++it;
      fn(sa);
    }
  }
  // fn(sa) for each whose number is `from` or more, oldest first, while fn returns true; it may
  // remove the one that it is given. Returns where to go on; nullopt: that was all.
  template <typename Fn>
  std::optional<uint64_t> ForEachFrom(uint64_t from, Fn fn) const {
    for (auto it = by_number_.lower_bound(from); it != by_number_.end();) {
      const std::shared_ptr<Sa> sa = it->second;
      ++it;
      if (!fn(sa)) return sa->number + 1;
    }
    return std::nullopt;
  }
  std::size_t size() const { return by_number_.size(); }

 private:
  static uint64_t InboundHash(Spi spi, const IpAddress& daddr, uint8_t proto);
  static uint64_t OutboundHash(Reqid reqid, const IpAddress& daddr, uint8_t proto);
  // The whole identity of what an SPI is asked for (kernel: __find_acq_core).
  static bool SameTuple(const SaSpec& a, const SaSpec& b);
  static uint64_t TupleHash(const SaSpec& spec);
  static bool MayBeMet(const Sa& sa);
  struct SpiHash {
    std::size_t operator()(uint32_t spi) const { return SeededHash(spi, 0); }
  };
  using ByHash = std::unordered_multimap<uint64_t, const Sa*>;
  template <typename Index, typename Key>
  static void EraseFrom(Index* index, const Key& key, const Sa* sa) {
    const auto [begin, end] = index->equal_range(key);
    for (auto it = begin; it != end; ++it) {
      if (it->second != sa) continue;
      index->erase(it);
      return;
    }
  }
  struct InboundHashOf {
    uint64_t operator()(const Sa& sa) const;
  };
  struct OutboundHashOf {
    uint64_t operator()(const Sa& sa) const;
  };
  template <typename Table>
  static void Prefetch(const Table& table, uint64_t hash, int step) {
    if (step == 0) {
      table.Prefetch(hash);
    } else if (const Sa* sa = table.First(hash)) {
      sa->PrefetchIdentity();
    }
  }

  Quiescence* const quiescence_;
  RcuHash<Sa, InboundHashOf> inbound_;
  RcuHash<Sa, OutboundHashOf> outbound_;
  std::map<uint64_t, std::shared_ptr<Sa>> by_number_;
  // Of by_number_: what has an SPI; larval states by what they are for; those of them that an
  // ACQUIRE made.
  std::unordered_multimap<uint32_t, const Sa*, SpiHash> by_spi_;
  ByHash by_tuple_;
  ByHash by_acquire_seq_;
  uint64_t next_number_ = 1;
};

}  // namespace cygnet
