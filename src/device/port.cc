#include "device/port.h"

namespace cygnet {

std::string_view Name(LinkStatus status) {
  switch (status) {
    case LinkStatus::kUp:
      return "up";
    case LinkStatus::kNoCarrier:
      return "no-carrier";
    case LinkStatus::kDown:
      return "down";
    case LinkStatus::kGone:
      return "gone";
    case LinkStatus::kBarred:
      return "barred";
  }
  return "?";
}

std::string Explain(LinkStatus status, const std::string& wire) {
  const std::string name = "wire " + wire;
  switch (status) {
    case LinkStatus::kUp:
      return name + " is up";
    case LinkStatus::kNoCarrier:
      return name + " has no carrier";
    case LinkStatus::kDown:
      return name + " is set down";
    case LinkStatus::kGone:
      return name + " is gone: no interface has this name";
    case LinkStatus::kBarred:
      return name + " exists but is not used";
  }
  return name;
}

}  // namespace cygnet
