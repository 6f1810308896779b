// What a capture says of a frame beside its bytes.
#pragma once

#include <string>

#include "control/report.h"
#include "device/capture.h"

namespace cygnet {

// Of an ESP frame, bare or in UDP, of an SA that is there: where its cryptography runs as this is
// called, "placement out: crypto nic0 (requested)". Empty for all other frames.
std::string PlacementComment(const OperatorControl& control, const CapturedFrame& frame);

}  // namespace cygnet
