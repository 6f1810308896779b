#include "daemon/fence/wire_fence.h"

#include <fmt/format.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include "base/log.h"
#include "daemon/fence/wire_link.h"

namespace cygnet {
namespace {

constexpr uint64_t kSecondNs = 1'000'000'000;

}  // namespace

Result<std::unique_ptr<WireFence>> WireFence::Create(FenceOwnership ownership) {
  auto means = FenceMeans::Open(ownership);
  if (!means) return means.error();
  auto nft_events = KernelNetlink::Open(NETLINK_NETFILTER, {NFNLGRP_NFTABLES});
  if (!nft_events) return nft_events.error();
  auto route_events = KernelNetlink::Open(
      NETLINK_ROUTE, {RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR, RTNLGRP_TC});
  if (!route_events) return route_events.error();
  return std::unique_ptr<WireFence>(
      new WireFence(*std::move(means), *std::move(nft_events), *std::move(route_events)));
}

Status WireFence::Add(const std::string& device, const std::string& wire) {
  CYGNET_RETURN_IF_ERROR(means_.Shut(wire));
  auto added = std::make_unique<Wire>();
  added->device = device;
  added->name = wire;
  added->link = IdentityOf(wire);
  added->status.state = "in-force";
  added->status.owned = means_.owned();
  const FenceReading reading = means_.Read(wire);
  added->whole = reading.complete;
  added->status.by_tc = reading.by_tc;
  Note(added.get());
  if (!means_.owned()) {
    Log(LogLevel::kInfo,
        fmt::format("device {}: this kernel does not let cygnetd own the fence of {} (Linux 6.9 "
                    "does): cygnetd watches it and restores it if somebody removes it",
                    device, wire));
  }
  wires_.push_back(std::move(added));
  return {};
}

const FenceStatus* WireFence::status(const std::string& device) const {
  for (const auto& wire : wires_) {
    if (wire->device == device) return &wire->status;
  }
  return nullptr;
}

void WireFence::OnEvents() {
  const bool nft = nft_events_.Drain();
  const bool route = route_events_.Drain();
  pending_ = pending_ || nft || route;
}

void WireFence::Turn(uint64_t now_ns) {
  constexpr uint64_t kAfterEventsNs = 20'000'000;
  const uint64_t passed = now_ns - checked_ns_;
  if (passed < (pending_ ? kAfterEventsNs : kSecondNs)) return;
  checked_ns_ = now_ns;
  Check();
  pending_ = false;
}

void WireFence::Check() {
  for (const auto& wire : wires_) Check(wire.get());
}

void WireFence::Check(Wire* wire) {
  FollowInterface(wire);
  const FenceReading reading = means_.Read(wire->name);
  wire->status.by_tc = reading.by_tc;
  if (!reading.shut || (wire->whole && !reading.complete)) {
    Repair(wire, reading);
  } else if (wire->link.ifindex != 0 && means_.tc_possible() && !reading.by_tc) {
    wire->status.by_tc = RepairTc(wire, wire->name, wire->link.ifindex, &wire->tc);
  }
  if (wire->status.by_tc) wire->tc.missing = false;
  CheckStrays(wire);
  CheckAddresses(wire);
  Note(wire);
}

// Handles an interface of that name that appeared, disappeared or was replaced.
void WireFence::FollowInterface(Wire* wire) {
  LinkIdentity now = IdentityOf(wire->name);
  const LinkIdentity was = wire->link;
  if (now.ifindex == 0) now.mac = was.mac;
  wire->link = now;
  if (now.ifindex == was.ifindex) {
    if (now.ifindex != 0 && now.mac != was.mac) AddDoubles(wire, was);
    return;
  }
  if (was.ifindex != 0) Lost(wire, was);
  if (const Status status = means_.Shut(wire->name); !status) {
    Broken(wire, status.error());
    return;
  }
  if (now.ifindex == 0) return;
  const std::string text = fmt::format("wire {} is back, and shut", wire->name);
  Log(LogLevel::kWarning, fmt::format("device {}: {}", wire->device, text));
  Notify(*wire, "fence-in-force", text);
}

void WireFence::Repair(Wire* wire, const FenceReading& reading) {
  if (const Status status = means_.Shut(wire->name); !status) {
    Broken(wire, status.error());
    return;
  }
  wire->status.by_tc = means_.Read(wire->name).by_tc;
  wire->status.state = "in-force";
  if (wire->brought_down) {
    wire->brought_down = false;
    (void)BringUp(&means_.route(), wire->link.ifindex);  // WireWatch reports one that stays down
  }
  Repaired(wire, wire->name, reading.missing, reading.shut || reading.by_tc);
}

// Leaves the tables as they are. A program that removes the filters in a loop, or occupies their
// place, wins now and then: the repair is tried again every second.
bool WireFence::RepairTc(Wire* wire, const std::string& name, uint32_t ifindex, TcWatch* watch) {
  if (watch->missing && checked_ns_ - watch->tried_ns < kSecondNs) return false;
  watch->tried_ns = checked_ns_;
  (void)means_.ShutBySecond(name, ifindex);
  if (means_.Read(name).by_tc) {
    watch->missing = false;
    Repaired(wire, name, "tc filters", true);
    return true;
  }
  if (watch->missing) return false;
  watch->missing = true;
  const std::string text = fmt::format(
      "the tc filters on wire {} are gone and cannot be restored: a program removes them again and "
      "again, or occupies their place (tc qdisc show dev {}); only nftables shuts the wire",
      name, name);
  Log(LogLevel::kWarning, fmt::format("device {}: {}", wire->device, text));
  Notify(*wire, "fence-broken", text);
  return false;
}

// Counts every repair and reports at most one a second.
void WireFence::Repaired(Wire* wire, const std::string& name, const std::string& missing,
                         bool held) {
  ++wire->status.restored;
  if (wire->told_ns != 0 && checked_ns_ - wire->told_ns < kSecondNs) {
    ++wire->untold;
    return;
  }
  std::string text =
      fmt::format("the fence of wire {} had been removed ({}) and is in force again; {}", name,
                  missing.empty() ? "tc filters" : missing,
                  held ? "the rest of it kept the wire shut meanwhile"
                       : "the host's own stack could use the wire meanwhile");
  if (wire->untold != 0)
    text += fmt::format("; this happened {} more times since the last report", wire->untold);
  wire->told_ns = checked_ns_;
  wire->untold = 0;
  Log(LogLevel::kError, fmt::format("device {}: {}", wire->device, text));
  Notify(*wire, "fence-restored", text);
}

// Takes the link down unless tc still shuts the wire: nothing else would keep plaintext off it.
void WireFence::Broken(Wire* wire, const Error& error) {
  const bool known = wire->status.state == "broken";
  const FenceReading reading = means_.Read(wire->name);
  const bool held = reading.shut || reading.by_tc;
  std::string text =
      fmt::format("the fence of wire {} is incomplete and cannot be restored ({}): ", wire->name,
                  error.message);
  if (held) {
    text += "the rest of it keeps the wire shut";
  } else {
    const Status down =
        wire->link.ifindex != 0 ? BringDown(&means_.route(), wire->link.ifindex) : Status{};
    wire->brought_down = wire->brought_down || (down && wire->link.ifindex != 0);
    text += down ? "its link is down until it can be" : "ITS LINK CANNOT BE TAKEN DOWN EITHER";
  }
  wire->status.state = held ? "in-force" : "broken";
  wire->status.explanation = text;
  if (known) return;
  Log(LogLevel::kError, fmt::format("device {}: {}", wire->device, text));
  Notify(*wire, "fence-broken", text);
}

void WireFence::CheckAddresses(Wire* wire) {
  if (wire->link.ifindex == 0) return;
  RemoveKernelAddresses(&means_.route(), wire->link.ifindex);
  std::string people = AddressesByPeople(&means_.route(), wire->link.ifindex);
  if (people == wire->people) return;
  wire->people = std::move(people);
  if (wire->people.empty()) return;
  Log(LogLevel::kWarning,
      fmt::format("device {}: wire {} got addresses ({}), which do not work; the host must use {} "
                  "in its place",
                  wire->device, wire->name, wire->people, wire->device));
}

void WireFence::Note(Wire* wire) {
  if (wire->status.state == "broken") return;
  std::string& text = wire->status.explanation;
  text.clear();
  if (wire->link.ifindex == 0) text = "wire " + wire->name + " does not exist; its name is shut";
  for (const Stray& stray : wire->strays) {
    if (!stray.here) continue;
    text += (text.empty() ? "" : "; ") + ("it became " + stray.name);
    if (stray.open) text += ", which is NOT shut";
    if (stray.tc.missing) text += " (WARNING: the tc filters are missing there)";
  }
  if (wire->link.ifindex != 0 && means_.tc_possible() && !wire->status.by_tc) {
    text += std::string(text.empty() ? "" : "; ") +
            "WARNING: the tc filters are missing, only nftables shuts the wire";
  }
  if (!wire->people.empty()) {
    text += (text.empty() ? "" : "; ") + ("the wire has addresses: " + wire->people);
  }
}

void WireFence::Notify(const Wire& wire, const std::string& what, const std::string& text) {
  if (notify_) notify_(wire.device, what, text);
}

}  // namespace cygnet
