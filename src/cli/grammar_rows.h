// The rows of the grammar: grammar_look.cc what only looks, grammar_order.cc what changes
// something, grammar_program.cc what runs by itself. Their order is in grammar.cc.
#pragma once

#include "cli/grammar.h"

namespace cygnet {

extern const ObjectRow kSaRow, kPolicyRow, kDeviceRow, kStatRow, kEngineRow, kMtuRow, kTunnelRow,
    kDoctorRow, kWhyRow, kMetricsRow, kTopRow, kMonitorRow, kVersionRow, kHelpRow;
extern const ObjectRow kFipsRow, kStoredRow, kClusterRow, kOffloadRow, kPlacementRow, kSimRow,
    kReloadRow;
extern const ObjectRow kLedgerRow, kCaptureRow, kExtcapRow, kExecRow, kWebRow, kConformanceRow,
    kCompleteRow;

// Keywords that several commands have.
inline constexpr Keyword kSpiWord = {.word = "spi",
                                     .kind = Kind::kSpi,
                                     .value = "SPI",
                                     .field = "spi",
                                     .help = "SAs with this SPI; 0x1000 or decimal"};
inline constexpr Keyword kDstWord = {.word = "dst",
                                     .kind = Kind::kAddress,
                                     .value = "ADDRESS",
                                     .field = "dst",
                                     .help = "SAs to this address"};
inline constexpr Keyword kSrcWord = {.word = "src",
                                     .kind = Kind::kAddress,
                                     .value = "ADDRESS",
                                     .field = "src",
                                     .help = "SAs from this address"};
inline constexpr Keyword kReqidWord = {.word = "reqid",
                                       .kind = Kind::kNumber,
                                       .value = "NUMBER",
                                       .field = "reqid",
                                       .help = "SAs with this reqid"};

}  // namespace cygnet
