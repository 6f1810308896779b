#include "sa/sad.h"

namespace cygnet {

Sad::Sad(Quiescence* quiescence)
    : quiescence_(quiescence), inbound_(quiescence), outbound_(quiescence) {}

Sad::~Sad() = default;

uint64_t Sad::InboundHash(Spi spi, const IpAddress& daddr, uint8_t proto) {
  uint64_t h = (uint64_t{spi.value} << 8 | proto) * 0x9E3779B97F4A7C15u;
  h ^= std::hash<IpAddress>{}(daddr);
  return h ^ (h >> 31);
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

Sa* Sad::LookupInbound(Spi spi, const IpAddress& daddr, IpFamily family, uint8_t proto) const {
  return inbound_.Find(InboundHash(spi, daddr, proto), [&](const Sa* sa) {
    const SaSpec& spec = sa->spec();
    return spec.spi == spi && spec.family == family && spec.proto == proto && spec.daddr == daddr;
  });
}

OutboundSa* Sad::ResolveOutbound(const OutboundQuery& query, const FlowKey& flow) const {
  const auto fits = [&](const Sa* sa) {
    const SaSpec& spec = sa->spec();
    return sa->outbound() != nullptr && spec.reqid == query.reqid && spec.mode == query.mode &&
           spec.proto == query.proto && spec.family == query.family &&
           sa->outbound()->if_id.load(std::memory_order_relaxed) == 0 &&
           (query.spi.value == 0 || spec.spi == query.spi) && spec.daddr == query.daddr &&
           (query.saddr.IsAny() || spec.saddr == query.saddr || spec.saddr.IsAny()) &&
           (spec.flags & kSaFlagWildRecv) == 0 && sa->Admits(flow);
  };
  const uint64_t hash = OutboundHash(query.reqid, query.daddr, query.proto);
  Sa* found = outbound_.Find(
      hash, [&](const Sa* sa) { return sa->state() == SaState::kValid && fits(sa); });
  if (found == nullptr) {
    found = outbound_.Find(
        hash, [&](const Sa* sa) { return sa->state() == SaState::kDying && fits(sa); });
  }
  return found == nullptr ? nullptr : found->outbound();
}

bool Sad::HasInboundOnly(const OutboundQuery& query) const {
  return outbound_.Find(OutboundHash(query.reqid, query.daddr, query.proto), [&](const Sa* sa) {
    const SaSpec& spec = sa->spec();
    return spec.direction == SaDirection::kIn && sa->usable() && spec.reqid == query.reqid &&
           spec.mode == query.mode && spec.proto == query.proto && spec.family == query.family &&
           spec.daddr == query.daddr;
  }) != nullptr;
}

std::shared_ptr<Sa> Sad::Find(const SaId& id) const {
  const Sa* found = nullptr;
  const auto [begin, end] = by_spi_.equal_range(id.spi.value);
  for (auto it = begin; it != end; ++it) {
    const Sa* sa = it->second;
    const SaSpec& spec = sa->spec();
    if (spec.proto == id.proto && spec.family == id.family && spec.daddr == id.daddr &&
        (id.mark & spec.mark.mask) == spec.mark.value &&
        (found == nullptr || sa->number > found->number)) {
      found = sa;
    }
  }
  return found == nullptr ? nullptr : FindByNumber(found->number);
}

std::shared_ptr<Sa> Sad::FindByAcquireSeq(uint32_t seq) const {
  for (const auto& [number, sa] : larvals_) {
    if (sa->state() == SaState::kLarval && sa->spec().acquire_seq == seq) return sa;
  }
  return nullptr;
}

std::shared_ptr<Sa> Sad::FindByNumber(uint64_t number) const {
  const auto it = by_number_.find(number);
  return it == by_number_.end() ? nullptr : it->second;
}

void Sad::Insert(std::shared_ptr<Sa> sa) {
  sa->number = next_number_++;
  const SaSpec& spec = sa->spec();
  by_spi_.emplace(spec.spi.value, sa.get());
  if (sa->state() == SaState::kLarval) larvals_.emplace(sa->number, sa);
  // Packets carry no mark here, so only states that admit mark 0 can be met by one.
  if (spec.mark.value == 0) {
    inbound_.Insert(sa.get());
    outbound_.Insert(sa.get());
  }
  const uint64_t number = sa->number;
  by_number_.emplace_hint(by_number_.end(), number, std::move(sa));
}

void Sad::Remove(const std::shared_ptr<Sa>& sa) {
  const SaSpec& spec = sa->spec();
  if (spec.mark.value == 0) {
    inbound_.Erase(sa.get());
    outbound_.Erase(sa.get());
  }
  const auto [begin, end] = by_spi_.equal_range(spec.spi.value);
  for (auto it = begin; it != end; ++it) {
    if (it->second == sa.get()) {
      by_spi_.erase(it);
      break;
    }
  }
  std::shared_ptr<Sa> keep = sa;
  larvals_.erase(keep->number);
  by_number_.erase(keep->number);
  quiescence_->Retire([keep = std::move(keep)]() mutable { keep.reset(); });
}

bool Sad::SpiTaken(uint8_t proto, Spi spi) const {
  const auto [begin, end] = by_spi_.equal_range(spi.value);
  for (auto it = begin; it != end; ++it) {
    if (it->second->spec().proto == proto) return true;
  }
  return false;
}

std::vector<std::shared_ptr<Sa>> Sad::List() const {
  std::vector<std::shared_ptr<Sa>> all;
  all.reserve(by_number_.size());
  for (auto it = by_number_.rbegin(); it != by_number_.rend(); ++it) all.push_back(it->second);
  return all;
}

std::vector<std::shared_ptr<Sa>> Sad::Larvals() const {
  std::vector<std::shared_ptr<Sa>> all;
  for (auto it = larvals_.rbegin(); it != larvals_.rend(); ++it) {
    if (it->second->state() == SaState::kLarval) all.push_back(it->second);
  }
  return all;
}

}  // namespace cygnet
