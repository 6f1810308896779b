#include "control/data_path_events.h"

#include "datapath/path_mtu.h"

namespace cygnet {
namespace {

constexpr int kEventsPerTurn = 256;   // per worker
constexpr int kAcquiresPerTurn = 64;  // in total: each may query the kernel for a route

}  // namespace

void DataPathEvents::TakeSome() {
  int acquires = kAcquiresPerTurn;
  left_ = false;
  // Starts with another worker each time.
  const std::size_t workers = path_.events.size();
  for (std::size_t i = 0; i < workers; ++i) {
    SpscRing<DataPathEvent>& ring = *path_.events[(first_worker_ + i) % workers];
    if (!TakeFrom(&ring, &acquires)) left_ = true;
  }
  first_worker_ = (first_worker_ + 1) % workers;
}

// False: more events are queued.
bool DataPathEvents::TakeFrom(SpscRing<DataPathEvent>* ring, int* acquires) {
  DataPathEvent event;
  for (int left = kEventsPerTurn; left > 0 && *acquires > 0; --left) {
    if (ring->Pop({&event, 1}) == 0) return true;
    if (event.kind == DataPathEvent::Kind::kAcquire) --*acquires;
    Handle(event);
  }
  return ring->Empty();
}

void DataPathEvents::Handle(const DataPathEvent& event) {
  const SaPtr sa = event.sa_number == 0 ? nullptr : path_.sad.FindByNumber(event.sa_number);
  switch (event.kind) {
    case DataPathEvent::Kind::kAcquire:
      parts_.acquires->OnTraffic(event);
      break;
    case DataPathEvent::Kind::kSoftLimit:
      if (sa != nullptr && sa->state() == SaState::kValid) parts_.sas->ExpireSoft(sa);
      break;
    case DataPathEvent::Kind::kHardLimit:
      if (sa != nullptr) parts_.sas->ExpireHard(sa);
      break;
    case DataPathEvent::Kind::kSequenceExhausted:
      if (sa != nullptr) parts_.sas->OnSequenceExhausted(*sa);
      break;
    case DataPathEvent::Kind::kNumbersLow:
      if (sa != nullptr) parts_.sas->OnNumbersLow(*sa);
      break;
    case DataPathEvent::Kind::kNoNextHop:
      if (sa != nullptr && parts_.next_hops != nullptr) {
        parts_.next_hops->Want(*sa, parts_.clock->MonotonicNs());
      }
      break;
    case DataPathEvent::Kind::kMapping:
      if (sa != nullptr && sa->inbound() != nullptr) parts_.mappings->OnMapping(sa, event.flow);
      break;
    case DataPathEvent::Kind::kShortQuote:
      OnShortQuote(event);
      break;
  }
}

// Handles an ICMP error about ESP in UDP whose quote ends before the SPI: it concerns all SAs of
// these addresses and ports. Anyone who knows those can send it, so it must cost little at any
// rate.
void DataPathEvents::OnShortQuote(const DataPathEvent& event) {
  constexpr uint64_t kPauseNs = 100'000'000;
  const uint64_t now_ns = parts_.clock->MonotonicNs();
  if (now_ns < next_short_quote_ns_ || event.interface >= path_.interfaces.size()) return;
  next_short_quote_ns_ = now_ns + kPauseNs;
  const OuterError error{.kind = OuterError::Kind::kPacketTooBig,
                         .family = event.flow.family,
                         .saddr = event.flow.saddr,
                         .daddr = event.flow.daddr,
                         .spi = std::nullopt,
                         .udp_encapsulated = true,
                         .sport = event.flow.sport,
                         .dport = event.flow.dport,
                         .mtu = event.mtu};
  const uint64_t now = parts_.clock->WallSeconds();
  const uint32_t wire_mtu = path_.interfaces[event.interface].wire->mtu();
  path_.sad.Visit([&](const Sa& sa) {
    OutboundSa* half = sa.outbound();
    if (half != nullptr && IsAbout(error, *half)) LearnPathMtu(half, error.mtu, wire_mtu, now);
  });
}

}  // namespace cygnet
