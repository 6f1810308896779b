// SealedEntry: what a node puts into the cluster's store about an SA or a policy. All of it is
// authenticated under a wrapping key, with the name of its key in the store and the epoch of the
// group, so nobody who can write to the store can change it, move it, or bring an older one of
// another key. Keys are wrapped under a key that belongs to this entry alone.
//
//   "CyE1"; kind 1; wrapping key id 8; epoch 8; era 8; serial 8; length 4, clear part;
//   length 2, wrapped keys; HMAC-SHA256 32. Integers are big-endian.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "daemon/cluster/key_wrap.h"
#include "netlink/buffer.h"

namespace cygnet {

enum class EntryKind : uint8_t { kSa = 1, kUsage = 2, kPolicy = 3, kSealed = 4 };

// The order of the entries under one key: an owner raises the serial, the next owner the epoch.
struct EntryPlace {
  uint64_t epoch = 0;
  uint64_t serial = 0;
  auto operator<=>(const EntryPlace&) const = default;
};

struct Entry {
  EntryKind kind = EntryKind::kSa;
  EntryPlace place;
  uint64_t era = 0;            // of the store, in which the SA was added
  std::vector<uint8_t> clear;  // readable in the store
  netlink::Buffer secret{};    // empty: there is none
};

// An entry as it is stored. The views are into the bytes that were parsed.
struct SealedEntry {
  EntryKind kind = EntryKind::kSa;
  WrappingKeyId key{};
  EntryPlace place;
  uint64_t era = 0;
  std::span<const uint8_t> head;  // all in front of the wrapped keys: they are bound to it
  std::span<const uint8_t> clear;
  std::span<const uint8_t> wrapped;
  std::span<const uint8_t> covered;  // by the code
  std::span<const uint8_t> code;
};
// Checks the form alone.
Result<SealedEntry> ParseSealed(std::string_view value);

class EntrySeal {
 public:
  EntrySeal(WrappingKeys keys, std::string cluster)
      : keys_(std::move(keys)), cluster_(std::move(cluster)) {}

  // `name`: the key in the store, without the cluster's prefix.
  Result<std::string> Seal(std::string_view name, const Entry& entry) const;
  // The error says why an operator cannot trust it.
  Result<Entry> Open(std::string_view name, std::string_view value) const;

 private:
  std::vector<uint8_t> Bound(std::string_view name) const;

  WrappingKeys keys_;
  std::string cluster_;
};

}  // namespace cygnet
