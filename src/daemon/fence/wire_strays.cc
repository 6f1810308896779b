// WireFence: interfaces that were a wire and have another name now. They stay shut under any name.
#include <fmt/format.h>
#include <net/if.h>

#include <algorithm>

#include "base/log.h"
#include "daemon/fence/wire_fence.h"

namespace cygnet {
namespace {

constexpr std::size_t kMostStrays = 16;  // a bound, should somebody create interfaces without end

}  // namespace

void WireFence::Lost(Wire* wire, const LinkIdentity& was) {
  std::erase_if(wire->strays, [&](const Stray& s) { return s.link.ifindex == was.ifindex; });
  wire->strays.push_back({.link = was});
}

void WireFence::NotifyGone(const Wire& wire) {
  const std::string text = fmt::format(
      "wire {} is gone: unplugged, or moved to another network namespace, where nothing shuts it; "
      "the name stays shut here",
      wire.name);
  Log(LogLevel::kError, fmt::format("device {}: {}", wire.device, text));
  Notify(wire, "wire-gone", text);
}

bool WireFence::IsConfigured(const std::string& name) const {
  return std::any_of(wires_.begin(), wires_.end(),
                     [&](const auto& w) { return w->name == name || w->device == name; });
}

// Its current name; empty: it is not in this namespace. An interface that was here at the last
// check still has its index. One that was away is identified by its address, as another interface
// may have its index now.
std::string WireFence::Locate(Stray* stray) const {
  char by_index[IF_NAMESIZE] = "";
  const bool there = if_indextoname(stray->link.ifindex, by_index) != nullptr;
  if (there && stray->here) return by_index;
  const std::vector<uint32_t> alike = LinksOfMac(&means_.route(), stray->link.mac);
  if (there && std::count(alike.begin(), alike.end(), stray->link.ifindex) != 0) return by_index;
  std::string back;
  for (const uint32_t ifindex : alike) {
    char name[IF_NAMESIZE] = "";
    if (if_indextoname(ifindex, name) == nullptr) continue;
    // The host-side interface has the same address as its wire.
    if (std::any_of(wires_.begin(), wires_.end(), [&](const auto& w) { return w->device == name; }))
      continue;
    if (IsConfigured(name)) {
      back = name;
      continue;
    }
    stray->link.ifindex = ifindex;
    return name;
  }
  return back.empty() && there ? by_index : back;
}

// Either the wire went and came back unseen, so that it has a new index and another interface may
// have its old one; or it is still there, and another interface has its old address. Both look the
// same afterwards, so both interfaces are shut. REQUIRES: the index of `was` is in use.
void WireFence::AddDoubles(Wire* wire, const LinkIdentity& was) {
  auto& strays = wire->strays;
  const std::vector<uint32_t> alike = LinksOfMac(&means_.route(), was.mac);
  if (std::count(alike.begin(), alike.end(), was.ifindex) != 0) return;
  for (const uint32_t ifindex : alike) {
    char name[IF_NAMESIZE] = "";
    const bool known = std::any_of(strays.begin(), strays.end(),
                                   [&](const Stray& s) { return s.link.ifindex == ifindex; });
    if (known || strays.size() >= kMostStrays) continue;
    if (if_indextoname(ifindex, name) == nullptr || IsConfigured(name)) continue;
    strays.push_back({.link = {.ifindex = ifindex, .mac = was.mac}});
  }
}

void WireFence::DoubtStrays(Wire* wire) {
  for (std::size_t i = 0; i < wire->strays.size(); ++i) {
    const LinkIdentity link = wire->strays[i].link;
    char name[IF_NAMESIZE] = "";
    if (!wire->strays[i].here || if_indextoname(link.ifindex, name) == nullptr) continue;
    if (IdentityOf(name).mac != link.mac) AddDoubles(wire, link);
  }
}

void WireFence::CheckStrays(Wire* wire) {
  DoubtStrays(wire);
  while (wire->strays.size() > kMostStrays) {
    const auto away = std::find_if(wire->strays.begin(), wire->strays.end(),
                                   [](const Stray& s) { return !s.here; });
    if (away == wire->strays.end()) break;
    wire->strays.erase(away);
  }
  for (auto stray = wire->strays.begin(); stray != wire->strays.end();) {
    const std::string name = Locate(&*stray);
    if (IsConfigured(name)) {  // it is back, or it is another device's wire
      DropName(*wire, stray->name);
      stray = wire->strays.erase(stray);
      continue;
    }
    if (name.empty()) {
      if (stray->here) NotifyGone(*wire);
      stray->here = false;
    } else if (name != stray->name || !stray->here) {
      const std::string before = std::exchange(stray->name, name);
      ShutStray(wire, &*stray);
      if (before != name && !stray->open) DropName(*wire, before);
    } else {
      WatchStray(wire, &*stray);
    }
    ++stray;
  }
}

// Deletes the tables of a name that the wire had for a time, once other tables shut it.
void WireFence::DropName(const Wire& wire, const std::string& name) {
  if (name.empty() || IsConfigured(name) || if_nametoindex(name.c_str()) != 0) return;
  if (wire.link.ifindex != 0 && !means_.Read(wire.name).shut) return;
  if (const Status status = means_.Forget(name); !status) {
    Log(LogLevel::kWarning, fmt::format("device {}: cannot remove the tables of {}: {}",
                                        wire.device, name, status.error().message));
  }
}

void WireFence::ShutStray(Wire* wire, Stray* stray) {
  const Status status = means_.Shut(stray->name);
  stray->here = true;
  stray->open = !status;
  stray->tc = {};
  std::string text = fmt::format(
      "wire {} was renamed to {}: it is {} under that name, too; use the new name in the "
      "configuration, or rename it back",
      wire->name, stray->name, status ? "shut" : "NOT shut");
  if (!status) {
    (void)BringDown(&means_.route(), stray->link.ifindex);  // reported below
    text += ", its link is down: " + status.error().message;
  }
  Log(LogLevel::kError, fmt::format("device {}: {}", wire->device, text));
  Notify(*wire, "wire-gone", text);
}

void WireFence::WatchStray(Wire* wire, Stray* stray) {
  const FenceReading reading = means_.Read(stray->name);
  if (reading.shut && (reading.complete || !wire->whole)) {
    stray->open = false;
    if (reading.by_tc || !means_.tc_possible()) {
      stray->tc.missing = false;
    } else {
      (void)RepairTc(wire, stray->name, stray->link.ifindex, &stray->tc);
    }
    return;
  }
  if (const Status status = means_.Shut(stray->name); !status) {
    if (!reading.shut && !reading.by_tc) (void)BringDown(&means_.route(), stray->link.ifindex);
    if (!std::exchange(stray->open, true)) {
      const std::string text =
          fmt::format("wire {}, renamed to {}, is not shut under that name: {}", wire->name,
                      stray->name, status.error().message);
      Log(LogLevel::kError, fmt::format("device {}: {}", wire->device, text));
      Notify(*wire, "fence-broken", text);
    }
    return;
  }
  stray->open = false;
  Repaired(wire, stray->name, reading.missing, reading.shut || reading.by_tc);
}

}  // namespace cygnet
