// Driver "auto": a plain wire interface with the first suitable wire driver of the table.
#include "device/wires/wire_port.h"

namespace cygnet {

// The reasons against the earlier drivers become the reason for the chosen one.
Result<WireChoice> ChooseWire(const WireFacts& facts) {
  std::string reasons;
  for (const DriverInfo* row : BuiltinDrivers()) {
    if (row->probe == nullptr) continue;
    WireVerdict verdict = row->probe(facts);
    if (verdict.suits) return WireChoice{row, reasons.empty() ? verdict.reason : reasons};
    reasons += (reasons.empty() ? "" : "; ") + verdict.reason;
  }
  return MakeError(Errc::kNotSupported, "no suitable wire driver: " + reasons);
}

namespace {

Result<std::unique_ptr<Port>> OpenChosen(const DriverParams& params) {
  const auto facts = ProbeWire(params.wire);
  if (!facts) return facts.error();
  const auto choice = ChooseWire(*facts);
  if (!choice) return choice.error();
  auto port = choice->wire->open(params);
  if (port) LogWire(params, choice->wire->name, choice->reason);
  return port;
}

}  // namespace

extern const DriverInfo kAutoDriver = {
    .name = kAutoWire,
    .help = "a plain wire interface with the first suitable driver; all cryptography on the CPU",
    .open = OpenChosen,
};

}  // namespace cygnet
