// What the operator is shown of placement, and what the operator may ask of it: values, ready to
// print. Words for modes: "no", "crypto", "packet", "auto", "required"; for where cryptography
// runs: "software", "look-aside", "crypto", "packet", and "blocked" for a half that may run
// nowhere.
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

// One half of an SA, named as operators and logs name it.
struct SaHalf {
  IpAddress saddr;
  IpAddress daddr;
  IpFamily family = IpFamily::kUnspec;
  Spi spi;
  uint8_t proto = 0;
  Reqid reqid;
  bool inbound = false;
  bool operator==(const SaHalf&) const = default;
};

// A decision, as the ledger keeps it.
struct PlacementEntry {
  uint64_t time_ms = 0;  // wall clock, UTC
  SaHalf half;
  std::string requested{};     // a mode
  std::string requested_by{};  // "client", "rule", "operator", "device", or empty: nobody asked
  std::string effective{};     // where it runs; "removed": the SA is gone
  std::string where{};         // device or engine; empty when blocked or removed
  std::string reason{};        // code, with its detail: "no-capability:esn"
  std::string explanation{};   // a sentence
  bool simulated = false;  // on a device that is one only by name: this host's CPU does the work
};

// A key that a device or engine was given, as the ledger keeps it.
struct KeyEntry {
  SaHalf half;
  std::string holder{};       // "nic0", "openssl"
  std::string holder_kind{};  // "device", "engine"
  std::string identity{};  // model, serial number and firmware, or name and version, at that time
  uint64_t from_ms = 0;    // wall clock, UTC
  uint64_t until_ms = 0;   // 0: it still holds the key
  bool erased = false;     // the holder said that the key is gone
  std::string note{};      // how it ended when not by an erasure: "cygnetd ended unexpectedly"
};

struct LedgerQuery {
  std::optional<std::string> holder{};
  std::optional<Spi> spi{};
  std::optional<IpAddress> daddr{};
  bool only_current = false;  // what is held now
};

struct LedgerReport {
  std::vector<PlacementEntry> placements{};  // oldest first
  std::vector<KeyEntry> keys{};              // oldest first
  uint64_t since_ms = 0;                     // of the oldest entry that is still kept
  uint64_t dropped = 0;                      // entries that the bound has pushed out of memory
  std::string file{};                        // where it is written; empty: nowhere
  std::string write_error{};                 // why the file is not written any more; empty: it is
};

// What an SA would ask of a device, without a key.
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
  // Per direction asked: where an SA like this would run now, and why.
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
  uint32_t stayed = 0;   // halves looked at that run where they did
  uint32_t blocked = 0;  // of both: halves that may run nowhere
  uint64_t took_us = 0;
};

// `cygnet placement set`: the operator's word about SAs, over rules and clients; or, with `clear`,
// its end. At least one of the first three.
struct PlacementCommand {
  std::optional<Spi> spi{};
  std::optional<IpAddress> daddr{};
  std::optional<Reqid> reqid{};
  bool clear = false;
  PlacementMode mode = PlacementMode::kNo;
  std::optional<std::string> device{};  // empty: as asked by the client, else any that takes it
  bool pinned = false;                  // the scheduler leaves it alone
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
