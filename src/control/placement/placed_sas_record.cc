// The part of PlacedSas that tells ledger and log where SAs run.
#include "base/log.h"
#include "control/placement/placed_sas.h"

namespace cygnet {

PlacementEntry PlacedSas::EntryOf(const PlacedSa& placed, Half half) const {
  const PlacedHalf& row = placed.half(half);
  const SaBinding& binding = *row.binding;
  return {.time_ms = uint64_t{row.since} * 1000,
          .half = NameOf(placed.sa->spec(), half),
          .requested = std::string(Name(row.request.mode)),
          .requested_by = std::string(Name(row.request.by)),
          .effective = std::string(Name(binding.path)),
          .where = WhereOf(binding, p_.devices->engines()),
          .reason = row.reason().Text(),
          .explanation = row.reason().Explanation(),
          .simulated = binding.on_device() && binding.device()->identity().simulated,
          .really = row.rare().really};
}

bool PlacedSas::RecordFindings(const OffloadDevice* device, std::span<const SaFinding> findings) {
  std::unordered_map<uint32_t, const SaFinding*> by_handle;
  for (const SaFinding& finding : findings) by_handle[finding.handle.value] = &finding;
  bool lost = false;
  for (auto& [number, placed] : placed_) {
    for (const Half half : kHalves) {
      const PlacedHalf& row = placed.half(half);
      if (!row.IsOn(device) || row.binding->device_resets() != device->resets()) continue;
      const auto found = by_handle.find(row.binding->handle.value);
      if (found == by_handle.end()) continue;
      RecordFinding(&placed, half, *found->second);
      lost = lost || found->second->gap == ClaimGap::kNotHeld;
    }
  }
  return lost;
}

void PlacedSas::RecordFinding(PlacedSa* placed, Half half, const SaFinding& finding) {
  PlacedHalf& row = placed->made(half);
  PlacedHalf::Rare* const rare = row.MakeRare();
  rare->really = std::string(Name(finding.gap)) + ": " + finding.text;
  if (finding.gap == ClaimGap::kNotHeld) {
    rare->lost_by = row.binding->device();
    rare->lost_why = finding.text;
  }
  Log(LogLevel::kWarning, "SA " + Describe(placed->sa->spec()) + " " + std::string(Name(half)) +
                              ": device " + std::string(row.binding->device()->device_name()) +
                              " claims it: " + rare->really);
  p_.ledger->Placed(EntryOf(*placed, half));
}

PlacementEntry& PlacedSas::Spoken(const PlacedSa& placed, Half half) {
  const PlacedHalf& row = placed.half(half);
  const SaBinding& binding = *row.binding;
  if (row.rare().detail.empty() && row.rare().really.empty()) {
    const Cause cause{.request = row.request,
                      .path = binding.path,
                      .device = binding.on_device() ? binding.device() : nullptr,
                      .engine = binding.on_device() ? uint8_t{0} : binding.engine().engine,
                      .reason = row.reason_code};
    if (spoken_cause_ == cause) {
      spoken_.half = NameOf(placed.sa->spec(), half);
      return spoken_;
    }
    spoken_cause_ = cause;
  } else {
    spoken_cause_.reset();
  }
  return spoken_ = EntryOf(placed, half);
}

void PlacedSas::Record(const PlacedSa& placed, Half half) {
  const PlacedHalf& row = placed.half(half);
  PlacementEntry& entry = Spoken(placed, half);
  // A half that runs where it was requested needs no log line; the ledger records it.
  if (row.binding->blocked() || row.IsAway()) {
    const std::string where =
        row.binding->blocked() || row.binding->rare().look_aside.session != nullptr
            ? entry.effective
            : "in software";
    Log(LogLevel::kInfo, "SA " + Describe(placed.sa->spec()) + " " + std::string(Name(half)) +
                             ": " + where + ": " + entry.reason + " (" + entry.explanation + ")");
  }
  p_.ledger->Placed(entry);
}

void PlacedSas::RecordRemoval(const PlacedSa& placed, Half half) {
  const PlacedHalf& row = placed.half(half);
  removal_.half = NameOf(placed.sa->spec(), half);
  removal_.requested = Name(row.request.mode);
  removal_.requested_by = Name(row.request.by);
  removal_.effective = "removed";
  removal_.explanation = "the SA was removed";
  removal_.simulated = row.binding->on_device() && row.binding->device()->identity().simulated;
  removal_.really = row.rare().really;
  p_.ledger->Placed(removal_);
}

}  // namespace cygnet
