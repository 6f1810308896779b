// PluginDevice: what a plug-in offers to operators and tests.
#include <algorithm>
#include <string>

#include "base/plain_text.h"
#include "plugin/plugin_convert.h"
#include "plugin/plugin_device.h"

namespace cygnet {
namespace {

constexpr uint32_t kMostEntries = 1u << 16;

// All entries of a list whose function returns how many there are.
template <typename T, typename Ask>
std::vector<T> AskForAll(Ask ask) {
  std::vector<T> entries(64);
  for (;;) {
    const auto room = static_cast<uint32_t>(entries.size());
    const uint32_t there = std::min(ask(entries.data(), room), kMostEntries);
    const bool all = there <= room;
    entries.resize(there);
    if (all) return entries;
  }
}

}  // namespace

std::vector<SaId> PluginDevice::HeldSas() const {
  std::vector<SaId> held;
  if (!usable() || driver_.records == nullptr) return held;
  const auto ids = AskForAll<cygnet_sa_id>(
      [this](cygnet_sa_id* to, uint32_t room) { return plugin_.records.held(device_, to, room); });
  for (const cygnet_sa_id& id : ids) held.push_back(FromPlugin(id));
  return held;
}

std::vector<KeyLogEntry> PluginDevice::KeyLog() const {
  std::vector<KeyLogEntry> log;
  if (!usable() || driver_.records == nullptr) return log;
  const auto entries =
      AskForAll<cygnet_key_log_entry>([this](cygnet_key_log_entry* to, uint32_t room) {
        return plugin_.records.key_log(device_, to, room);
      });
  for (const cygnet_key_log_entry& entry : entries) {
    log.push_back({.time = entry.time,
                   .id = FromPlugin(entry.id),
                   .half = HalfFor(entry.id.half == CYGNET_INBOUND),
                   .taken = entry.taken != 0,
                   .erased = entry.erased != 0});
  }
  return log;
}

std::string PluginDevice::DriverView() const {
  if (contract_.broken()) {
    return "the plug-in has broken the contract of drivers: " + contract_.breach() + "\n";
  }
  if (!usable() || plugin_.records.view == nullptr) return {};
  std::string text(16384, '\0');
  const uint32_t length =
      plugin_.records.view(device_, text.data(), static_cast<uint32_t>(text.size()));
  text.resize(std::min<std::size_t>(length, text.size() - 1));
  return PlainLines(text);
}

std::vector<SaFinding> PluginDevice::TakeFindings() {
  std::vector<SaFinding> out;
  if (!usable()) return out;
  std::array<cygnet_finding, 16> findings{};
  const uint32_t n = plugin_.findings.take(device_, findings.data(), findings.size());
  if (n > findings.size()) {
    contract_.Break("findings.take returned more findings than it was given places");
    return out;
  }
  for (uint32_t i = 0; i < n; ++i) {
    if (findings[i].gap > CYGNET_GAP_NO_REPLAY_CHECK) {
      contract_.Break("a finding has gap " + std::to_string(findings[i].gap) +
                      ", which does not exist");
      return out;
    }
    out.push_back({OffloadHandle(findings[i].handle), static_cast<ClaimGap>(findings[i].gap),
                   PlainText(findings[i].text, sizeof(findings[i].text))});
  }
  if (n == findings.size()) contract_.Ring();  // there may be more
  return out;
}

// The packets may be of any pool, so each is described in a place of its own.
Status PluginDevice::LoopSome(const cygnet_sa& sa, std::span<Packet* const> packets,
                              std::span<DropReason> drops) {
  std::array<cygnet_packet, CYGNET_BURST> views{};
  std::array<cygnet_packet*, CYGNET_BURST> pointers{};
  std::array<const char*, CYGNET_BURST> reasons{};
  for (std::size_t i = 0; i < packets.size(); ++i) {
    PluginPackets::Describe(*packets[i], &views[i]);
    pointers[i] = &views[i];
  }
  cygnet_refusal refusal = NewRefusal();
  const auto refused =
      Refused(plugin_.loopback.loop(device_, &sa, pointers.data(),
                                    static_cast<uint32_t>(packets.size()), reasons.data()),
              refusal, "loop");
  if (refused.has_value()) return MakeError(refused->code, refused->text);
  for (std::size_t i = 0; i < packets.size(); ++i) {
    const auto reason = FindDropReason(reasons[i] != nullptr ? reasons[i] : "none");
    if (!reason) contract_.Break("loop named a reason that does not exist");
    drops[i] = reason.value_or(DropReason::kInDeviceError);
    // Judged as what is handed up: with any length that fits.
    if (!services_.Accept(views[i], {packets[i], PluginLoan::kFresh, 0})) {
      return MakeError(Errc::kIo, breach());
    }
    packets[i]->offload.handle = OffloadHandle(views[i].handle);
    packets[i]->offload.esn_high = views[i].esn_high;
  }
  return {};
}

Status PluginDevice::Loop(const OffloadSa& sa, std::span<Packet* const> packets,
                          std::span<DropReason> drops) {
  if (!usable()) return MakeError(Errc::kNetworkDown, "the plug-in has failed");
  const cygnet_sa view = ToPlugin(sa);
  for (std::size_t at = 0; at < packets.size(); at += CYGNET_BURST) {
    const std::size_t n = std::min<std::size_t>(CYGNET_BURST, packets.size() - at);
    CYGNET_RETURN_IF_ERROR(LoopSome(view, packets.subspan(at, n), drops.subspan(at, n)));
  }
  return {};
}

Status PluginDevice::InjectFault(std::string_view fault) {
  if (!usable()) return MakeError(Errc::kNetworkDown, "the plug-in has failed");
  cygnet_refusal refusal = NewRefusal();
  const int32_t result = plugin_.faults.inject(device_, std::string(fault).c_str(), &refusal);
  const auto refused = Refused(result, refusal, "faults.inject");
  return refused.has_value() ? Status(MakeError(refused->code, refused->text)) : Status();
}

}  // namespace cygnet
