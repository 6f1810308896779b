// What a configuration needs, looked for without taking any of it: `cygnetd --check`, and the first
// thing that a start does.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "crypto/engine_set.h"
#include "daemon/config/config.h"
#include "daemon/config/fips_switch.h"

namespace cygnet {

// Whether a configuration is checked on the machine it is for.
enum class CheckScope : uint8_t {
  kThisMachine,
  kNoInterfaces,  // the interfaces it names need not be here
};

// The check is whether they can be made; a start keeps what the check has made.
struct Cryptography {
  std::unique_ptr<FipsSwitch> fips;
  EngineSet engines;  // in FIPS mode their self-tests have run
};

Result<Cryptography> CheckAndMake(const Config& config, CheckScope scope);
Status CheckConfig(const Config& config, CheckScope scope);

// Beside the one of the service's state: systemd's folder that a reboot empties. Empty: none.
std::string RestartPath(const Config& config);
// Systemd's folder for a service's state, when it is one.
std::string LedgerPath(const LedgerConfig& config);

// The same error, and where it is.
Error In(const std::string& where, const Error& error);

}  // namespace cygnet
