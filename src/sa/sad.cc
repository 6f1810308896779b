#include "sa/sad.h"

namespace cygnet {

Sad::Sad(Quiescence* quiescence)
    : quiescence_(quiescence), inbound_(quiescence), outbound_(quiescence), numbered_(quiescence) {}

Sad::~Sad() = default;

uint64_t Sad::InboundHash(Spi spi, const IpAddress& daddr, uint8_t proto) {
  return SeededHash(std::hash<IpAddress>{}(daddr), uint64_t{spi.value} << 8 | proto);
}

uint64_t Sad::OutboundHash(Reqid reqid, const IpAddress& daddr, uint8_t proto) {
  return InboundHash(Spi(reqid.value), daddr, proto);
}

uint64_t Sad::InboundHashOf::operator()(const Sa& sa) const {
  const SaSpec& spec = sa.spec();
  return InboundHash(spec.spi, spec.daddr, spec.proto);
}

uint64_t Sad::OutboundHashOf::operator()(const Sa& sa) const {
  const SaSpec& spec = sa.spec();
  return OutboundHash(spec.reqid, spec.daddr, spec.proto);
}

bool Sad::SameTuple(const SaSpec& a, const SaSpec& b) {
  return a.reqid == b.reqid && a.mode == b.mode && a.family == b.family && a.proto == b.proto &&
         a.daddr == b.daddr && a.saddr == b.saddr && a.rare->cpu == b.rare->cpu &&
         a.if_id == b.if_id && a.mark_value == b.mark_value && a.mark_mask == b.mark_mask;
}

uint64_t Sad::TupleHash(const SaSpec& spec) {
  const uint64_t kind = uint64_t{spec.reqid.value} << 32 | uint64_t{spec.proto} << 16 |
                        uint64_t{static_cast<uint8_t>(spec.mode)} << 8 |
                        static_cast<uint16_t>(spec.family);
  return SeededHash(SeededHash(std::hash<IpAddress>{}(spec.daddr), kind ^ spec.if_id),
                    std::hash<IpAddress>{}(spec.saddr));
}

// Packets cannot name a state without an SPI.
bool Sad::MayBeMet(const Sa& sa) {
  const bool has_keys = sa.outbound() != nullptr || sa.inbound() != nullptr;
  return has_keys || sa.spec().spi.value != 0;
}

// Before the SA can be found, after it can be found no more.
void Sad::CountChoosy(const Sa& sa, uint32_t change) {
  if (sa.spec().rare->cpu) of_one_cpu_.fetch_add(change, std::memory_order_relaxed);
  if (!sa.admits_all()) of_some_flows_.fetch_add(change, std::memory_order_relaxed);
}

// The part of a query that matters for few SAs.
bool Sad::MayServe(const Sa& sa, const OutboundQuery& query, const FlowKey& flow) {
  if (sa.serves_all()) return query.packet_device == 0;
  const SaSpec& spec = sa.spec();
  return spec.HasMark(query.mark) && (spec.flags & kSaFlagWildRecv) == 0 &&
         sa.packet_device() == query.packet_device && sa.Admits(flow, query.ifindex);
}

OutboundSa* Sad::ResolveOutbound(const OutboundQuery& query, const FlowKey& flow) const {
  const auto fits = [&](const Sa* sa) {
    const SaSpec& spec = sa->spec();
    return sa->outbound() != nullptr && spec.reqid == query.reqid && spec.mode == query.mode &&
           spec.proto == query.proto && spec.family == query.family &&
           (query.spi.value == 0 || spec.spi == query.spi) && spec.daddr == query.daddr &&
           (query.saddr.IsAny() || spec.saddr == query.saddr || spec.saddr.IsAny()) &&
           spec.if_id == query.if_id && MayServe(*sa, query, flow);
  };
  const uint64_t hash = OutboundHash(query.reqid, query.daddr, query.proto);
  const auto newest = [&](SaState state, const std::optional<uint32_t>& cpu) {
    return outbound_.Find(hash, [&](const Sa* sa) {
      return sa->state() == state && (sa->serves_all() ? !cpu : sa->spec().rare->cpu == cpu) &&
             fits(sa);
    });
  };
  const bool any_of_one_cpu = of_one_cpu_.load(std::memory_order_relaxed) != 0;
  for (const SaState state : {SaState::kValid, SaState::kDying}) {
    Sa* found = any_of_one_cpu && query.cpu ? newest(state, query.cpu) : nullptr;
    if (found == nullptr) found = newest(state, std::nullopt);
    if (found != nullptr) return found->outbound();
  }
  return nullptr;
}

bool Sad::HasInboundOnly(const OutboundQuery& query) const {
  return outbound_.Find(OutboundHash(query.reqid, query.daddr, query.proto), [&](const Sa* sa) {
    const SaSpec& spec = sa->spec();
    return spec.direction == SaDirection::kIn && sa->usable() && spec.reqid == query.reqid &&
           spec.mode == query.mode && spec.proto == query.proto && spec.family == query.family &&
           spec.daddr == query.daddr && sa->packet_device() == query.packet_device &&
           spec.if_id == query.if_id && spec.HasMark(query.mark);
  }) != nullptr;
}

bool Sad::HasInbound(const OutboundQuery& query) const {
  return outbound_.Find(OutboundHash(query.reqid, query.daddr, query.proto), [&](const Sa* sa) {
    const SaSpec& spec = sa->spec();
    return sa->inbound() != nullptr && sa->usable() && spec.reqid == query.reqid &&
           spec.mode == query.mode && spec.proto == query.proto && spec.family == query.family &&
           (query.spi.value == 0 || spec.spi == query.spi) && spec.daddr == query.daddr &&
           (query.saddr.IsAny() || spec.saddr == query.saddr);
  }) != nullptr;
}

Sa* Sad::LookupByNumber(uint32_t low) const {
  return numbered_.Find(NumberHash(low),
                        [low](const Sa* sa) { return static_cast<uint32_t>(sa->number) == low; });
}

void Sad::IndexByNumber(const SaPtr& sa) {
  if (LookupByNumber(static_cast<uint32_t>(sa->number)) != sa.get()) numbered_.Insert(sa.get());
}

void Sad::ForgetNumber(const SaPtr& sa) {
  if (LookupByNumber(static_cast<uint32_t>(sa->number)) != sa.get()) return;
  numbered_.Erase(sa.get());
  quiescence_->Retire([sa] {});
}

template <typename Fits>
SaPtr Sad::FindNewest(const SaId& id, Fits fits) const {
  const Sa* found = nullptr;
  const InboundName name(id.spi, id.daddr, id.family, id.proto);
  (void)inbound_.Find(name.hash, [&](const Sa* sa) {
    const bool newer = found == nullptr || sa->number > found->number;
    if (name.Names(*sa) && fits(sa->spec()) && newer) found = sa;
    return false;
  });
  return found == nullptr ? nullptr : FindByNumber(found->number);
}

SaPtr Sad::Find(const SaId& id) const {
  return FindNewest(id, [&id](const SaSpec& spec) { return spec.HasMark(id.mark); });
}

SaPtr Sad::FindWithAnyMark(const SaId& id) const {
  return FindNewest(id, [](const SaSpec&) { return true; });
}

SaPtr Sad::FindByAcquireSeq(uint32_t seq) const {
  const Sa* found = nullptr;
  const auto [begin, end] = by_acquire_seq_.equal_range(seq);
  for (auto it = begin; it != end; ++it) {
    const Sa* sa = it->second;
    const bool older = found == nullptr || sa->number < found->number;
    if (sa->state() == SaState::kLarval && older) found = sa;
  }
  return found == nullptr ? nullptr : FindByNumber(found->number);
}

SaPtr Sad::FindByNumber(uint64_t number) const {
  const auto it = by_number_.find(number);
  return it == by_number_.end() ? nullptr : it->second;
}

void Sad::Insert(SaPtr sa) {
  if (sa->number == 0) sa->number = NextNumber();
  // An SA that is inserted again after its removal counts as new.
  if (!by_number_.empty() && by_number_.last() >= sa->number) sa->number = NextNumber();
  const SaSpec& spec = sa->spec();
  const bool larval = sa->state() == SaState::kLarval;
  if (spec.spi.value != 0) spis_[spec.proto].Add(spec.spi.value);
  if (larval) {
    by_tuple_.emplace(TupleHash(spec), sa.get());
    if (spec.acquire_seq != 0) by_acquire_seq_.emplace(spec.acquire_seq, sa.get());
  }
  CountChoosy(*sa, 1);
  if (MayBeMet(*sa)) {
    inbound_.Insert(sa.get());
    outbound_.Insert(sa.get());
  }
  const uint64_t number = sa->number;
  by_number_.insert_or_assign(number, std::move(sa));
}

void Sad::Remove(const SaPtr& sa) {
  const SaSpec& spec = sa->spec();
  const bool met = MayBeMet(*sa);
  if (met) {
    inbound_.Erase(sa.get());
    outbound_.Erase(sa.get());
  }
  CountChoosy(*sa, ~uint32_t{0});
  if (spec.spi.value != 0) spis_[spec.proto].Remove(spec.spi.value);
  if (sa->outbound() == nullptr && sa->inbound() == nullptr) {  // was larval when inserted
    EraseFrom(&by_tuple_, TupleHash(spec), sa.get());
    EraseFrom(&by_acquire_seq_, spec.acquire_seq, sa.get());
  }
  SaPtr keep = sa;
  by_number_.erase(keep->number);
  if (met) quiescence_->Retire([keep = std::move(keep)]() mutable { keep.reset(); });
}

bool Sad::SpiTaken(uint8_t proto, Spi spi) const {
  const auto of_proto = spis_.find(proto);
  return of_proto != spis_.end() && of_proto->second.Has(spi.value);
}

std::vector<SaPtr> Sad::List() const {
  std::vector<SaPtr> all;
  all.reserve(by_number_.size());
  by_number_.ForEachReversed([&](uint64_t, const SaPtr& sa) { all.push_back(sa); });
  return all;
}

}  // namespace cygnet
