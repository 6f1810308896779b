// The comment that a capture adds to a frame.
#pragma once

#include <string>

#include "control/report.h"
#include "device/capture.h"

namespace cygnet {

// For an ESP frame, bare or in UDP, of an existing SA: where its cryptography runs at the time of
// the call, "placement out: crypto nic0 (requested)". Empty for all other frames.
std::string PlacementComment(const OperatorControl& control, const CapturedFrame& frame);

}  // namespace cygnet
