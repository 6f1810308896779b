// Checks that this machine has what a configuration needs, and claims none of it: `cygnetd --check`
// and the first step of a start.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "crypto/engine_set.h"
#include "daemon/config/config.h"
#include "daemon/config/fips_switch.h"

namespace cygnet {

// Whether the check runs on the machine that the configuration is for.
enum class CheckScope : uint8_t {
  kThisMachine,
  kNoInterfaces,  // the interfaces it names need not exist here
};

// The check creates these to prove that it can; a start keeps them.
struct Cryptography {
  std::unique_ptr<FipsSwitch> fips;
  EngineSet engines;  // in FIPS mode, their self-tests have run
};

Result<Cryptography> CheckAndMake(const Config& config, CheckScope scope);
Status CheckConfig(const Config& config, CheckScope scope);

// daemon.restart_file, else a file in systemd's RUNTIME_DIRECTORY, which a reboot empties. Empty:
// no restart file.
std::string RestartPath(const Config& config);
// ledger.file, else a file in systemd's STATE_DIRECTORY. Empty: no ledger file.
std::string LedgerPath(const LedgerConfig& config);
// numbers.file, else a file in systemd's STATE_DIRECTORY. Empty: no store.
std::string NumbersPath(const NumbersConfig& config);
// cluster.state_file, else a file in systemd's STATE_DIRECTORY. Empty: no cluster, or no place for
// it. cluster.cc
std::string ClusterStatePath(const ClusterConfig& config);
Status CheckClusterFiles(const ClusterConfig& config);
// The folder of the ledger: there the packets of wrong devices are kept, too. Empty: none.
std::string EvidenceFolder(const LedgerConfig& config);

// The same error, with `where` in front of its message.
Error In(const std::string& where, const Error& error);

}  // namespace cygnet
