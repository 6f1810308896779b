#include "datapath/sa_binding.h"

namespace cygnet {

const SaBinding::Rare SaBinding::kNothingRare{};

std::string_view Name(ProcessingPath path) {
  switch (path) {
    case ProcessingPath::kSoftware:
      return "software";
    case ProcessingPath::kLookAside:
      return "look-aside";
    case ProcessingPath::kCryptoOffload:
      return "crypto";
    case ProcessingPath::kPacketOffload:
      return "packet";
    case ProcessingPath::kBlocked:
      break;
  }
  return "blocked";
}

}  // namespace cygnet
