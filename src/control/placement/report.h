// What the operator sees of placement, and may request of it: values, ready to print. Modes: "no",
// "crypto", "packet", "auto", "required". Where cryptography runs: "software", "look-aside",
// "crypto", "packet", and "blocked" for a half that may run nowhere.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "datapath/placement_request.h"
#include "net/address.h"
#include "sa/half.h"
#include "sa/sa_spec.h"

namespace cygnet {

// One half of an SA, named as in commands and logs.
struct SaHalf {
  IpAddress saddr;
  IpAddress daddr;
  IpFamily family = IpFamily::kUnspec;
  Spi spi;
  uint8_t proto = 0;
  Reqid reqid;
  Half half = Half::kOutbound;
  bool operator==(const SaHalf&) const = default;
};

// A decision, as the ledger keeps it.
struct PlacementEntry {
  uint64_t time_ms = 0;  // wall clock, UTC
  SaHalf half;
  std::string requested{};     // a mode
  std::string requested_by{};  // "client", "rule", "operator", "device", or empty: not requested
  std::string effective{};     // where it runs; "removed": the SA was removed
  std::string where{};         // device or engine; empty when blocked or removed
  std::string reason{};        // code, with its detail: "no-capability:esn"
  std::string explanation{};   // a sentence
  bool simulated = false;      // the device is simulated: this host's CPU does the work
  // What the device really does, if less than it claimed: "not-used: …"; empty: as claimed.
  std::string really{};
};

// A key that a device or engine received, as the ledger keeps it.
struct KeyEntry {
  SaHalf half;
  std::string holder{};       // "nic0", "openssl"
  std::string holder_kind{};  // "device", "engine"
  std::string identity{};  // model, serial number and firmware, or name and version, at that time
  uint64_t from_ms = 0;    // wall clock, UTC
  uint64_t until_ms = 0;   // 0: it still holds the key
  bool erased = false;     // the holder reported that the key is erased
  std::string note{};      // how it ended when not by an erasure: "cygnetd ended unexpectedly"
};

struct LedgerQuery {
  std::optional<std::string> holder{};
  std::optional<Spi> spi{};
  std::optional<IpAddress> daddr{};
  bool only_current = false;  // only what is held now
};

struct LedgerReport {
  std::vector<PlacementEntry> placements{};  // oldest first
  std::vector<KeyEntry> keys{};              // oldest first
  uint64_t since_ms = 0;                     // of the oldest entry still kept
  uint64_t dropped = 0;                      // entries dropped from memory by the bound
  std::string file{};                        // the file that it is written to; empty: none
  std::string write_error{};                 // why the file is no longer written; empty: no error
};

// What an SA would request of a device, without a key.
struct ExplainQuery {
  std::string device{};
  std::string aead{};  // or cipher and auth
  std::string cipher{};
  std::string auth{};
  uint32_t key_bits = 0;  // of the AEAD or cipher, without its salt; 0: the algorithm's shortest
  uint32_t icv_bits = 0;  // 0: the algorithm's default
  std::string mode = "tunnel";  // "transport", "tunnel", "beet"
  PlacementMode offload = PlacementMode::kCrypto;
  bool ipv6 = false;   // outer family
  bool encap = false;  // ESP in UDP
  bool esn = false;
  uint32_t replay_window = 32;
  bool tfc = false;
  std::optional<Half> half{};  // empty: both
};

struct ExplainRow {
  std::string direction{};    // "in", "out"
  std::string requirement{};  // "trust", "fips", "state", "mode", "algorithm", "esn", "capacity" …
  bool ok = false;
  std::string reason{};  // code, empty when ok
  std::string explanation{};
};

struct ExplainReport {
  std::string device{};
  std::vector<ExplainRow> rows{};
  // For each requested direction: where an SA like this would run now, and why.
  struct Verdict {
    std::string direction;
    bool offloaded = false;
    std::string effective;
    std::string where;
    std::string reason;
    std::string explanation;
  };
  std::vector<Verdict> verdicts{};
};

// `cygnet offload disable|enable dev NAME`, `cygnet placement set …`, a reload: what moved.
struct MoveReport {
  uint32_t moved = 0;    // halves of SAs that run elsewhere now
  uint32_t stayed = 0;   // halves checked that stayed where they were
  uint32_t blocked = 0;  // included in both: halves that may run nowhere
  uint64_t took_us = 0;
};

// Who gave an order, and when.
struct OrderMark {
  uint32_t uid = ~uint32_t{0};  // as the daemon's user namespace numbers it; all ones: unknown
  int32_t pid = 0;              // 0: unknown
  uint64_t since = 0;           // wall-clock seconds
};

// `cygnet placement set`: overrides rules and clients for the matching SAs; with `clear`, ends
// that. Needs at least one of the first three fields.
struct PlacementCommand {
  std::optional<Spi> spi{};
  std::optional<IpAddress> daddr{};
  IpFamily family = IpFamily::kUnspec;  // of daddr, for reports
  std::optional<Reqid> reqid{};
  bool clear = false;
  PlacementMode mode = PlacementMode::kNo;
  std::optional<std::string> device{};  // empty: as the client requested, else any suitable one
  bool pinned = false;                  // the scheduler does not move it
  OrderMark mark{};
};

// `cygnet offload list`: an order of an operator that is in force.
struct OperatorOrder {
  std::string kind{};            // "device", "engine": it is disabled; "placement": it is set
  std::string name{};            // of the device or engine
  PlacementCommand placement{};  // of kind "placement"
  OrderMark mark{};
};

// One decision of `cygnet doctor --fips`.
struct FipsRow {
  std::string kind{};  // "mode", "list", "device", "engine", "algorithm", "self-test"
  std::string name{};
  bool inside = false;  // allowed in FIPS mode
  std::string identity{};
  std::string certificate{};
  std::string expires{};  // date, empty: never or not listed
  std::string reason{};   // code, empty when inside
  std::string explanation{};
};

struct FipsReport {
  std::string mode{};     // "auto", "on", "off", as configured or set
  bool enforced = false;  // FIPS mode is in force
  std::string list_file{};
  std::vector<FipsRow> rows{};
};

}  // namespace cygnet
