#include "client/device_faults.h"

#include "client/json_fields.h"

namespace cygnet {

std::map<std::string, std::string> FaultsOf(const Json& device) {
  std::map<std::string, std::string> faults;
  const std::string state = Text(device, "state");
  const Json& offload = Child(device, "offload");
  if (offload.value("capable", false) && !state.empty() && state != "up") {
    const std::string failure = Text(device, "failure");
    faults["state"] = "its offload unit is " + state + (failure.empty() ? "" : ": " + failure);
  }
  const std::string link = Text(Child(device, "link"), "state");
  if (!link.empty() && link != "up") {
    const std::string explanation = Text(Child(device, "link"), "explanation");
    faults["link"] =
        "the link of its wire is " + link + (explanation.empty() ? "" : ": " + explanation);
  }
  const std::string host_side = Text(Child(device, "host_side"), "state");
  if (!host_side.empty() && host_side != "present") {
    faults["host_side"] = Text(Child(device, "host_side"), "explanation");
  }
  const std::string caught = Text(Child(device, "shadow"), "caught");
  if (!caught.empty()) faults["caught"] = "caught: " + caught;
  const std::string denied = Text(device, "denied");
  if (!denied.empty()) {
    faults["denied"] = "it gets no keys: " + Text(device, "denied_explanation");
  }
  if (Text(Child(device, "fence"), "state") == "broken") {
    faults["fence"] =
        "the fence of its wire is broken: " + Text(Child(device, "fence"), "explanation");
  }
  return faults;
}

uint64_t GuardHits(const Json& device) {
  const Json& guard = Child(device, "guard");
  return Number(guard, "clear_stopped") + Number(guard, "unsealed_stopped") +
         Number(guard, "engine_unsealed");
}

}  // namespace cygnet
