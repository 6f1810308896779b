// Packets that a device handed back unsealed (OffloadStatus::kReturned), because it lost their SA
// or its crypto unit stopped while they were in its rings. They are already charged, numbered and
// built. The CPU seals them with the same sequence number and IV, with which nothing was sealed
// before.
#pragma once

#include "datapath/data_path.h"
#include "datapath/path_ops.h"

namespace cygnet {

// Returns the packet's item as it was before its last round: sa() and binding are set, or there is
// a verdict. It leaves by `interface`, whose device returned it. REQUIRES:
// PrepareOutboundCryptoOffload had marked the packet for a device.
OutboundItem MakeReturnedItem(const DataPath& path, uint8_t interface, Packet* packet);

}  // namespace cygnet
