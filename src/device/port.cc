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

}  // namespace cygnet
