#include "daemon/system/wire_watch.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/errno_error.h"
#include "base/log.h"
#include "device/host/host_link.h"
#include "device/wires/wire_port.h"

namespace cygnet {

void WireWatch::Add(WatchedWire wire) {
  Row row{.wire = std::move(wire)};
  if (const auto facts = ProbeWire(row.wire.wire)) row.ifindex = facts->ifindex;
  row.link = {.ifindex = row.ifindex, .mtu = row.wire.port->mtu(), .mac = row.wire.port->mac()};
  rows_.push_back(std::move(row));
  Look(&rows_.back(), {});
}

void WireWatch::Look(const LinkChanges& changes) {
  for (Row& row : rows_) {
    Look(&row, changes);
    LookAtHost(&row);
  }
}

// Nothing that waits for packets notices an interface that was moved to another network namespace.
void WireWatch::LookAtHost(Row* row) const {
  const HostPresence now = row->wire.host->presence();
  if (now == row->presence) return;
  row->presence = now;
  const std::string text = Explain(now, std::string(row->wire.host->name()));
  Log(now == HostPresence::kPresent ? LogLevel::kInfo : LogLevel::kError,
      "device " + row->wire.device + ": " + text);
  hooks_.tell(row->wire.device, "host-side " + std::string(Name(now)), text);
}

// Identifies an interface by its index: a new interface with the wire's name, or one that was gone
// meanwhile, must be opened first.
void WireWatch::Look(Row* row, const LinkChanges& changes) {
  const auto& gone = changes.gone;
  if (changes.lost || std::find(gone.begin(), gone.end(), row->ifindex) != gone.end()) {
    row->ifindex = 0;
  }
  PortLink link = LookAtLink(row->wire.wire);
  if (link.status == LinkStatus::kGone) {
    row->ifindex = 0;
    row->barred.clear();
  } else if (link.ifindex != row->ifindex) {
    if (const Status taken = Take(*row); !taken) return Bar(row, taken.error().message);
    link = LookAtLink(row->wire.wire);  // Take has set it up
  }
  if (link == row->link && row->barred.empty()) {
    if (link.status != LinkStatus::kGone) row->ifindex = link.ifindex;
    return;
  }
  if (const Status followed = row->wire.port->Follow(link); !followed) {
    return Bar(row, followed.error().message);
  }
  row->barred.clear();
  row->ifindex = link.ifindex;
  Show(row, link);
}

// Shuts the wire before it is set up and before a frame is received from it.
Status WireWatch::Take(const Row& row) {
  CYGNET_RETURN_IF_ERROR(hooks_.shut(row.wire));
  if (!NamedInterface(row.wire.wire).BringUp()) return ErrnoError("set " + row.wire.wire + " up");
  return {};
}

void WireWatch::Bar(Row* row, const std::string& why) {
  if (row->barred == why) return;
  row->barred = why;
  row->ifindex = 0;
  PortLink link = row->link;
  link.status = LinkStatus::kBarred;
  link.ifindex = 0;
  (void)row->wire.port->Follow(link);  // cannot fail, because it binds nothing
  Show(row, link);
}

std::string WireWatch::TextOf(const Row& row) const {
  const std::string text = Explain(row.link.status, row.wire.wire);
  return row.barred.empty() ? text : text + ": " + row.barred;
}

void WireWatch::Show(Row* row, const PortLink& link) {
  const PortLink before = std::exchange(row->link, link);
  FollowOnHost(row, link);
  const bool up = link.status == LinkStatus::kUp;
  const bool another = link.ifindex != 0 && link.ifindex != before.ifindex;
  if (link.status != before.status || another || !row->barred.empty()) {
    const std::string text = TextOf(*row);
    Log(up ? LogLevel::kInfo : LogLevel::kWarning, "device " + row->wire.device + ": " + text);
    hooks_.tell(row->wire.device, "link " + std::string(Name(link.status)), text);
  }
  if (link.mtu != before.mtu && link.mtu != 0) {
    Log(LogLevel::kInfo,
        fmt::format("device {}: the MTU of wire {} is {}, that of {} is {}", row->wire.device,
                    row->wire.wire, link.mtu, row->wire.host->name(), row->wire.host->mtu()));
  }
  hooks_.changed();
}

// Empty: the host-side interface has the MTU of the wire, or the operator's.
std::string WireWatch::WhyNarrower(const Row& row, const PortLink& link) {
  const TapPort& host = *row.wire.host;
  if (row.wire.own_mtu || link.ifindex == 0 || link.mtu <= host.mtu() ||
      host.mtu() == kLargestMtu) {
    return {};
  }
  const bool pools = row.wire.port->mtu() > host.largest_mtu();
  return fmt::format(
      "the MTU of wire {} is {}, but that of {} stays at {}, {}; mtu = 1500 ends this",
      row.wire.wire, link.mtu, host.name(), host.mtu(),
      pools ? "because cygnetd started without packets for jumbo frames: restart it"
            : "the most that the driver of the wire takes: use af_packet");
}

// Logs a failure once: the host-side interface may be gone.
void WireWatch::FollowOnHost(Row* row, const PortLink& link) {
  TapPort* host = row->wire.host;
  Status status = host->SetCarrier(link.status);
  if (link.ifindex != 0) {
    const uint32_t mtu = std::min(row->wire.port->mtu(), host->largest_mtu());
    if (status && !row->wire.own_mtu && mtu != host->mtu()) status = host->SetMtu(mtu);
    if (status && link.mac != host->mac()) status = host->SetMac(link.mac);
  }
  const std::string trouble = status ? WhyNarrower(*row, link) : status.error().message;
  if (!trouble.empty() && trouble != row->trouble) {
    Log(LogLevel::kWarning, "device " + row->wire.device + ": " + trouble);
  }
  row->trouble = trouble;
}

std::vector<DoctorRow> WireWatch::DoctorRows() const {
  std::vector<DoctorRow> rows;
  for (const Row& row : rows_) {
    const bool ok = row.link.status == LinkStatus::kUp && row.trouble.empty();
    DoctorRow found{.check = "link",
                    .ok = ok,
                    .text = fmt::format("device {}: {}", row.wire.device, TextOf(row))};
    if (!row.trouble.empty()) found.text += "; " + row.trouble;
    switch (row.link.status) {
      case LinkStatus::kUp:
        break;
      case LinkStatus::kDown:
        found.advice = fmt::format("ip link set {} up", row.wire.wire);
        break;
      case LinkStatus::kBarred:
        found.advice = "fix the named problem; cygnetd tries again every second";
        break;
      default:
        found.advice = "check the cable and the far end; cygnetd uses the wire as soon as it is up";
    }
    rows.push_back(std::move(found));
  }
  return rows;
}

}  // namespace cygnet
