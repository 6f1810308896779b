// Devices, engines, tunnel and inside interfaces.
#include <fmt/format.h>

#include <utility>

#include "cli/doctor_check.h"
#include "client/json_fields.h"

namespace cygnet {
namespace {

void Add(std::vector<Finding>* rows, Level level, std::string text, std::string advice) {
  rows->push_back({.level = level, .text = std::move(text), .advice = std::move(advice)});
}

bool MayOffload(const Json& device) {
  const Json& offload = Child(device, "offload");
  return offload.value("capable", false) && Text(offload, "mode") != "no";
}

void CheckLink(const Json& device, std::vector<Finding>* rows) {
  const Json& link = Child(device, "link");
  const std::string state = Text(link, "state");
  if (state.empty() || state == "up") return;
  const std::string name = Text(device, "name");
  Add(rows, state == "down" || state == "no-carrier" ? Level::kWarning : Level::kFault,
      fmt::format("device {}: all packets of {} are dropped (port-down) until this ends: {}", name,
                  name, Text(link, "explanation")),
      "cygnet dev, and the log of cygnetd");
}

void CheckDevice(const Json& device, std::vector<Finding>* rows) {
  const std::string name = "device " + Text(device, "name");
  const Json& shadow = Child(device, "shadow");
  if (const std::string caught = Text(shadow, "caught"); !caught.empty()) {
    Add(rows, Level::kFault, fmt::format("{}: its packets were wrong: {}", name, caught),
        "do not use it before you know why; the packets are in " + Text(shadow, "evidence") +
            "; then: cygnet offload enable dev " + Text(device, "name"));
  }
  const Json& host = Child(device, "host_side");
  if (const std::string at = Text(host, "state"); !at.empty() && at != "present") {
    Add(rows, Level::kFault, fmt::format("{}: {}", name, Text(host, "explanation")),
        "restart cygnetd");
  }
  CheckLink(device, rows);
  if (!MayOffload(device)) return;
  const std::string state = Text(device, "state");
  if (state == "failed" || state == "removed") {
    const std::string failure = Text(device, "failure");
    Add(rows, Level::kFault,
        fmt::format("{}: its offload unit is {}{}{}", name, state, failure.empty() ? "" : ": ",
                    failure),
        "SAs run on the CPU, or nowhere if offload is required; look at the device's log");
  } else if (state != "up" && state != "link-down") {
    Add(rows, Level::kWarning, fmt::format("{}: its offload unit is {}", name, state),
        "SAs return to it by themselves when it is up");
  }
  if (device.value("disabled", false)) {
    Add(rows, Level::kNote, name + ": an operator has disabled offload",
        "cygnet offload enable dev " + Text(device, "name"));
  }
  if (const std::string denied = Text(device, "denied"); !denied.empty()) {
    Add(rows, Level::kWarning,
        fmt::format("{}: it gets no key: {}", name, Text(device, "denied_explanation")),
        "trust or list the device if it may hold keys, or set its offload to no");
  }
  for (const Json& lie : Child(Child(device, "self_test"), "withdrawn")) {
    Add(rows, Level::kWarning,
        fmt::format("{}: it claims {} and fails the self-test of it: {}", name,
                    Text(lie, "capability"), Text(lie, "text")),
        "Cygnet does not use it; the packets are in " +
            Text(Child(device, "self_test"), "evidence") + ": tell the vendor");
  }
}

// The wire may have a link while the host's interface is shut.
void CheckInterface(const Json& device, const HostFacts& host, std::vector<Finding>* rows) {
  const std::string name = Text(device, "name");
  const auto found = host.interface_up.find(name);
  if (found == host.interface_up.end() || found->second) return;
  Add(rows, Level::kFault,
      fmt::format("device {}: the host's interface is down: no packet passes", name),
      fmt::format("ip link set {} up, unless it is down on purpose", name));
}

}  // namespace

std::vector<Finding> CheckDevices(const DoctorSubject& subject) {
  std::vector<Finding> rows;
  for (const Json& device : subject.devices) {
    CheckDevice(device, &rows);
    CheckInterface(device, subject.host, &rows);
  }
  return rows;
}

std::vector<Finding> CheckSlots(const DoctorSubject& subject) {
  std::vector<Finding> rows;
  for (const Json& device : subject.devices) {
    const Json& offload = Child(device, "offload");
    const auto look = [&](const char* used_name, const char* limit_name, const char* what) {
      const uint64_t used = Number(offload, used_name);
      const uint64_t limit = Number(offload, limit_name);
      if (limit == 0 || used * 10 < limit * 9) return;
      Add(&rows, Level::kWarning,
          fmt::format("device {}: {} of {} {} are in use", Text(device, "name"), used, limit, what),
          "further SAs run on the CPU, or are refused if offload is required: use more devices, or "
          "the scheduler");
    };
    look("slots_used", "slots_limit", "SA slots");
    look("outbound_used", "direction_limit", "outbound SA slots");
    look("inbound_used", "direction_limit", "inbound SA slots");
    look("addresses_used", "addresses_limit", "receive addresses");
  }
  return rows;
}

std::vector<Finding> CheckGuard(const DoctorSubject& subject) {
  std::vector<Finding> rows;
  for (const Json& device : subject.devices) {
    const Json& guard = Child(device, "guard");
    const uint64_t stopped = Number(guard, "clear_stopped") + Number(guard, "unsealed_stopped") +
                             Number(guard, "engine_unsealed");
    const std::string name = Text(device, "name");
    if (stopped != 0) {
      Add(&rows, Level::kFault,
          fmt::format(
              "device {}: {} packets would have left in clear or unsealed, and were stopped", name,
              stopped),
          fmt::format(
              "find out who let them through: cygnet capture dev {} side guard, and the log",
              name));
    }
  }
  return rows;
}

std::vector<Finding> CheckEngines(const DoctorSubject& subject) {
  std::vector<Finding> rows;
  for (const Json& engine : subject.engines) {
    const std::string failure = Text(engine, "failure");
    if (!failure.empty()) {
      Add(&rows, Level::kWarning, fmt::format("engine {}: {}", Text(engine, "name"), failure),
          "it does no jobs; another engine has its SAs, or none: cygnet engine");
    }
  }
  return rows;
}

std::vector<Finding> CheckInside(const DoctorSubject& subject) {
  std::vector<Finding> rows;
  for (const Json& device : subject.devices) {
    for (const Json& inside : Child(device, "inside")) {
      const std::string why = Text(inside, "explanation");
      if (why.empty()) continue;
      Add(&rows, Level::kWarning,
          fmt::format("inside interface {} of {} is {}: {}", Text(inside, "name"),
                      Text(device, "name"), Text(inside, "state"), why),
          "its packets go by the host's own stack, slower, until that is mended (doc/inside.md)");
    }
  }
  return rows;
}

std::vector<Finding> CheckTunnels(const DoctorSubject& subject) {
  std::vector<Finding> rows;
  for (const Json& tunnel : subject.tunnels) {
    const uint64_t lost = Number(tunnel, "unprotected");
    const std::string name = Text(tunnel, "name");
    if (Number(tunnel, "policies") == 0) {
      Add(&rows, Level::kWarning,
          fmt::format("tunnel {}: no policy has its if_id or mark: all packets through it are "
                      "dropped",
                      name),
          "let key management set its if_id or mark (swanctl: if_id_in, if_id_out)");
    } else if (lost != 0) {
      Add(&rows, Level::kNote,
          fmt::format("tunnel {}: {} packets were dropped because nothing protected them", name,
                      lost),
          "ask for one of them: cygnet why ADDRESS dev " + name);
    }
  }
  return rows;
}

}  // namespace cygnet
