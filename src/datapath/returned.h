// Packets that a device handed back unsealed (OffloadStatus::kReturned): it lost their SA, or its
// unit stopped, while they were in its rings. They are charged, numbered and built. The CPU seals
// them with the same number and IV; nothing was sealed with those before.
#pragma once

#include "datapath/data_path.h"
#include "datapath/path_ops.h"

namespace cygnet {

// The item of such a packet before its last round: sa() and binding are set, or there is a verdict.
// It leaves by `interface`, whose device had it. REQUIRES: a packet that
// PrepareOutboundCryptoOffload gave to a device.
OutboundItem MakeReturnedItem(const DataPath& path, uint8_t interface, Packet* packet);

}  // namespace cygnet
