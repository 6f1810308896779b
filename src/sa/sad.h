// Sad: the security association database (RFC 4301 section 4.4.2). The control thread inserts and
// removes; workers look up without locks.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include "base/numbered_map.h"
#include "base/quiescence.h"
#include "base/rcu_hash.h"
#include "net/flow_key.h"
#include "sa/sa.h"
#include "sa/spi_set.h"

namespace cygnet {

class Sad {
 public:
  explicit Sad(Quiescence* quiescence);
  ~Sad();

  // Any thread. True if an SA admits some flows only: then another flow of the same policy may have
  // another SA.
  bool any_of_some_flows() const { return of_some_flows_.load(std::memory_order_relaxed) != 0; }

  // --- Workers ---
  // The SA for a packet to `daddr` with this SPI, whatever its mark; nullptr if there is none. The
  // result may be larval or dead: the caller checks its state.
  Sa* LookupInbound(Spi spi, const IpAddress& daddr, IpFamily family, uint8_t proto) const {
    return LookupInbound({spi, daddr, family, proto});
  }
  // What a packet names its SA by, with the hash of it.
  struct InboundName {
    InboundName() = default;
    InboundName(Spi of_packet, const IpAddress& to, IpFamily of_address, uint8_t number)
        : spi(of_packet),
          daddr(to),
          family(of_address),
          proto(number),
          hash(InboundHash(spi, daddr, proto)) {}
    bool Names(const Sa& sa) const {
      const SaSpec& spec = sa.spec();
      return spec.spi == spi && spec.family == family && spec.proto == proto && spec.daddr == daddr;
    }
    Spi spi;
    IpAddress daddr;
    IpFamily family = IpFamily::kUnspec;
    uint8_t proto = 0;
    uint64_t hash = 0;
  };
  Sa* LookupInbound(const InboundName& name) const {
    return inbound_.Find(name.hash, [&](const Sa* sa) { return name.Names(*sa); });
  }

  // A policy template as a query, with addresses resolved. `saddr` any = not decided.
  struct OutboundQuery {
    Reqid reqid;
    SaMode mode = SaMode::kTransport;
    uint8_t proto = 0;
    IpFamily family = IpFamily::kUnspec;
    Spi spi;  // 0 = any
    IpAddress daddr;
    IpAddress saddr;
    int32_t ifindex = 0;  // the packet's egress interface
    // The policy's device for packet offload; 0: none. The client's request counts, not the SA's
    // present place (kernel: xfrm_state_find).
    int32_t packet_device = 0;
    // Of the policy (kernel: xfrm_state_find): the SA's if_id is the same, and it has the mark.
    uint32_t if_id = 0;
    uint32_t mark = 0;
    std::optional<uint32_t> cpu{};  // that the packet is on; nullopt: none in particular
  };
  // The newest valid SA that fits the query and whose selector admits the flow, one of the packet's
  // CPU before one of no CPU (RFC 9611). Returns a dying one only if no other fits.
  OutboundSa* ResolveOutbound(const OutboundQuery& query, const FlowKey& flow) const;
  // True if a valid SA fits the query but its XFRMA_SA_DIR is input.
  bool HasInboundOnly(const OutboundQuery& query) const;

  // True if a packet may have arrived through an SA that fits the query, whose `daddr` belongs to
  // this host. Inbound, packet offload is no part of the match.
  bool HasInbound(const OutboundQuery& query) const;

  // By the low word of Sa::number, for packets that a device opened and decapsulated. nullptr:
  // unknown, or IndexByNumber was not called. The caller checks the handle and the state.
  Sa* LookupByNumber(uint32_t low) const;

  // Number of SAs that packets can find.
  std::size_t reachable() const { return inbound_.size(); }

  // Prefetches for a later look-up. Call with step 0 … kPrefetchSteps-1, with other work in
  // between.
  static constexpr int kPrefetchSteps = 2;
  void PrefetchInbound(const InboundName& name, int step) const {
    Prefetch(inbound_, name.hash, step);
  }
  void PrefetchOutbound(const OutboundQuery& query, int step) const {
    Prefetch(outbound_, OutboundHash(query.reqid, query.daddr, query.proto), step);
  }
  // The first candidate after the last prefetch step; nullptr if none. A look-up may find another
  // SA.
  const Sa* PeekOutbound(const OutboundQuery& query) const {
    return outbound_.First(OutboundHash(query.reqid, query.daddr, query.proto));
  }

  // --- Control thread ---
  // By identity with the mark; the newest if several match.
  SaPtr Find(const SaId& id) const;
  // The same with any mark: packets from the wire have none, so only one SA may have the rest.
  SaPtr FindWithAnyMark(const SaId& id) const;
  // The oldest larval state made for the ACQUIRE with this number.
  SaPtr FindByAcquireSeq(uint32_t seq) const;
  // The newest larval state of this tuple for which match(sa) is true.
  template <typename Fn>
  SaPtr FindLarval(const SaSpec& spec, Fn match) const {
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
  SaPtr FindByNumber(uint64_t number) const;
  // Reserves a number for an SA that needs one before it is inserted. Numbers increase. Insert
  // replaces the number of an SA that is inserted out of order.
  uint64_t NextNumber() { return next_number_++; }
  // An SA without a number gets the next one.
  void Insert(SaPtr sa);
  // Workers may use the SA until they are quiescent; the SAD owns it until then.
  void Remove(const SaPtr& sa);
  // Lets workers find the SA by its number, until ForgetNumber. Either may come twice.
  void IndexByNumber(const SaPtr& sa);
  void ForgetNumber(const SaPtr& sa);
  bool SpiTaken(uint8_t proto, Spi spi) const;
  // Newest first.
  std::vector<SaPtr> List() const;
  // Calls fn(Sa&) for each SA, oldest first. fn must not change the SAD. An SA's first line, which
  // workers write, is left to them.
  template <typename Fn>
  void Visit(Fn fn) const {
    for (const auto& [number, sa] : by_number_) fn(*sa);
  }
  // Calls fn(sa) for each SA, oldest first. fn may remove that SA.
  template <typename Fn>
  void ForEach(Fn fn) const {
    for (auto it = by_number_.begin(); it != by_number_.end();) {
      const SaPtr sa = it->second;
      ++it;
      fn(sa);
    }
  }
  // Calls fn(sa) for each SA with a number ≥ `from`, oldest first, while fn returns true. fn may
  // remove that SA. Returns the number to continue from; nullopt if all were visited.
  template <typename Fn>
  std::optional<uint64_t> ForEachFrom(uint64_t from, Fn fn) const {
    for (auto it = by_number_.lower_bound(from); it != by_number_.end();) {
      const SaPtr sa = it->second;
      ++it;
      if (!fn(sa)) return sa->number + 1;
    }
    return std::nullopt;
  }
  std::size_t size() const { return by_number_.size(); }

 private:
  static uint64_t InboundHash(Spi spi, const IpAddress& daddr, uint8_t proto);
  static uint64_t OutboundHash(Reqid reqid, const IpAddress& daddr, uint8_t proto);
  // Compares the whole identity of an SPI request (kernel: __find_acq_core).
  static bool SameTuple(const SaSpec& a, const SaSpec& b);
  static uint64_t TupleHash(const SaSpec& spec);
  static bool MayBeMet(const Sa& sa);
  static bool MayServe(const Sa& sa, const OutboundQuery& query, const FlowKey& flow);
  template <typename Fits>
  SaPtr FindNewest(const SaId& id, Fits fits) const;
  void CountChoosy(const Sa& sa, uint32_t change);
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
  static uint64_t NumberHash(uint32_t low) { return SeededHash(low, 0); }
  struct NumberHashOf {
    uint64_t operator()(const Sa& sa) const { return NumberHash(static_cast<uint32_t>(sa.number)); }
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
  RcuHash<Sa, NumberHashOf> numbered_;  // IndexByNumber
  NumberedMap<SaPtr> by_number_;
  // Of by_number_: the SPIs of each protocol; larval states by tuple; larval states made by an
  // ACQUIRE.
  std::unordered_map<uint8_t, SpiSet> spis_;
  ByHash by_tuple_;
  ByHash by_acquire_seq_;
  std::atomic<uint32_t> of_one_cpu_{0};     // SAs that packets of one CPU alone may use
  std::atomic<uint32_t> of_some_flows_{0};  // SAs whose selector does not admit all flows
  uint64_t next_number_ = 1;
};

}  // namespace cygnet
