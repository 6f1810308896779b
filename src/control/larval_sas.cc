#include "control/larval_sas.h"

#include <utility>

#include "base/random.h"

namespace cygnet {
namespace {

// Whole addresses, family 0: the kernel's selector if no flow requested the SA.
Selector LarvalSelector(const SaSpec& spec) {
  const auto bits = static_cast<uint8_t>(AddressBits(spec.family));
  Selector selector;
  selector.saddr = spec.saddr;
  selector.daddr = spec.daddr;
  selector.prefixlen_s = bits;
  selector.prefixlen_d = bits;
  return selector;
}

}  // namespace

SaPtr LarvalSas::Find(const SaSpec& spec) const {
  if (spec.acquire_seq != 0) {
    SaPtr sa = path_.sad.FindByAcquireSeq(spec.acquire_seq);
    if (sa != nullptr && sa->spec().daddr == spec.daddr && sa->spec().rare->cpu == spec.rare->cpu)
      return sa;
  }
  return path_.sad.FindLarval(spec, [](const Sa& sa) { return sa.spec().spi.value == 0; });
}

// One ACQUIRE per tuple. An SPI that key management has since reserved for it counts as a pending
// answer (kernel: xfrm_state_look_at, for which every larval state does). A policy with packet
// offload sees only states with it, like its SAs.
bool LarvalSas::AcquireInProgress(const SaSpec& wanted) const {
  const auto any = [device = PacketDeviceOf(wanted.offload)](const Sa& sa) {
    return sa.packet_device() == device;
  };
  SaSpec from_anywhere;
  from_anywhere.reqid = wanted.reqid;
  from_anywhere.mode = wanted.mode;
  from_anywhere.family = wanted.family;
  from_anywhere.proto = wanted.proto;
  from_anywhere.daddr = wanted.daddr;
  from_anywhere.if_id = wanted.if_id;
  from_anywhere.mark_value = wanted.mark_value;
  from_anywhere.mark_mask = wanted.mark_mask;
  from_anywhere.rare.Set(&SaRare::cpu, wanted.rare->cpu);
  return path_.sad.FindLarval(wanted, any) != nullptr ||
         path_.sad.FindLarval(from_anywhere, any) != nullptr;
}

SaPtr LarvalSas::Insert(SaSpec spec, uint64_t since) {
  auto sa = MakeSharedSa(std::move(spec), since, Sa::Larval{});
  path_.sad.Insert(sa);  // no flow can use it: the workers' flow caches stay valid
  if (keeper_ != nullptr) keeper_->Keep(sa);  // it has no numbers
  return sa;
}

void LarvalSas::Restore(SaSpec spec) {
  const uint64_t since = spec.rare->initial_usage->add_time;
  Insert(std::move(spec), since);
}

void LarvalSas::InsertForAcquire(SaSpec spec, uint64_t policy_number) {
  budget_.Add(Insert(std::move(spec), clock_.WallSeconds())->number, policy_number);
}

std::optional<Spi> LarvalSas::ChooseSpi(const SpiRequest& request) const {
  const auto free = [&](uint32_t spi) {
    return spi != 0 && !path_.sad.SpiTaken(request.spec.proto, Spi(spi));
  };
  const uint64_t range = uint64_t{request.max} - request.min + 1;
  constexpr int kRandomTries = 1000;
  for (int i = 0; range > 1 && i < kRandomTries; ++i) {
    const auto spi = static_cast<uint32_t>(request.min + RandomWord() % range);
    if (free(spi)) return Spi(spi);
  }
  constexpr uint64_t kScanLimit = 1u << 20;
  for (uint64_t i = 0; i < range && i < kScanLimit; ++i) {
    const auto spi = static_cast<uint32_t>(request.min + i);
    if (free(spi)) return Spi(spi);
  }
  return std::nullopt;
}

Result<ConstSaPtr> LarvalSas::AllocateSpi(SpiRequest request) {
  SaSpec spec = std::move(request.spec);
  request.spec.proto = spec.proto;
  spec.limits = LifetimeLimits{};
  spec.limits.Change()->hard_add_seconds = request.larval_lifetime_seconds;
  spec.selector = LarvalSelector(spec);
  const SaPtr larval = Find(spec);
  spec.acquire_seq = 0;  // it was only used to find a state; a new state has none
  const std::optional<Spi> spi = ChooseSpi(request);
  if (!spi.has_value()) {
    if (larval == nullptr)
      Insert(std::move(spec), clock_.WallSeconds());  // stays until it times out
    return MakeError(Errc::kNoEntry, "No SPI available in the requested range");
  }
  uint64_t since = clock_.WallSeconds();
  if (larval != nullptr) {  // keeps its contents and gets the SPI
    const SaDirection direction = spec.direction;
    spec = larval->spec().Clone();
    if (direction != SaDirection::kUnspec) spec.direction = direction;
    since = larval->lifetime().usage().add_time;
    Remove(larval);
  }
  spec.spi = *spi;
  return ConstSaPtr(Insert(std::move(spec), since));
}

void LarvalSas::RemoveAnswered(const SaSpec& spec) {
  const SaPtr larval = Find(spec);
  if (larval != nullptr && larval->spec().spi.value == 0) Remove(larval);
}

void LarvalSas::Remove(const SaPtr& sa) {
  sa->set_state(SaState::kDead);
  budget_.Remove(sa->number);
  if (keeper_ != nullptr) keeper_->Forget(*sa);
  path_.sad.Remove(sa);
}

}  // namespace cygnet
