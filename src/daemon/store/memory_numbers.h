// MemoryNumbers: a NumberStore in memory that outlives the process, held as StateMemory is. A key
// that was deleted and comes back meets its counter, also after a crash: its outbound numbers go on
// behind the last block, under the same IV mask, and its window begins behind what was accepted.
// It has keyed hashes of keys, and no key. Inbound numbers are written when an SA ends: until then
// the SA's cell has them (NumberCells).
//
// It is bounded. If it is full, it begins anew with another secret, so with other masks, and keeps
// only what living SAs have. Control thread.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "control/numbers/number_store.h"
#include "daemon/store/number_index.h"

namespace cygnet {

class MemoryNumbers final : public NumberStore {
 public:
  // Two for each SA that StateMemory has room for, and as many of SAs that ended.
  static constexpr uint32_t kEntries = uint32_t{1} << 20;

  static Result<std::unique_ptr<MemoryNumbers>> Create(uint32_t entries = kEntries);
  // The memory that an earlier process left. kInvalid: it cannot be used; the text says why.
  static Result<std::unique_ptr<MemoryNumbers>> Adopt(UniqueFd fd);
  ~MemoryNumbers() override;
  MemoryNumbers(const MemoryNumbers&) = delete;
  MemoryNumbers& operator=(const MemoryNumbers&) = delete;

  int fd() const { return fd_.get(); }
  // It forgets all but living SAs, and all masks are new from here on: what an SA accepted is
  // unknown, or there is no room.
  Status BeginAnew();

  Result<NumberIdentity> Identify(const SaSpec& spec) override;
  void Retain(const NumberIdentity& identity) override;
  void Release(const NumberIdentity& identity) override;
  Result<NumberBlock> Outbound(const NumberId& id, uint64_t after, uint64_t count) override;
  Result<InboundMark> Inbound(const NumberId& id, uint64_t from, uint64_t up_to) override;
  Status ReturnOutbound(const NumberId& id, uint64_t used, uint64_t last) override;
  Status LowerInbound(const NumberId& id, uint64_t mark, uint64_t last) override;
  Status Together(const std::function<Status()>& steps) override { return steps(); }
  bool reserves_inbound() const override { return false; }
  std::string fault() const override { return {}; }

 private:
  struct Header;
  struct Region;
  struct Entry;
  using Known = NumberIndex::Known;

  MemoryNumbers() = default;
  static std::size_t BytesFor(uint32_t entries);
  static Result<std::unique_ptr<MemoryNumbers>> Map(UniqueFd fd, std::size_t bytes);
  Header& header() const;
  Region& RegionAt(uint32_t number) const;
  Region& region() const;
  std::atomic<uint64_t>* Find(const NumberId& id) const;
  Status Set(const NumberId& id, std::atomic<uint64_t>* found, uint64_t value);
  Status Begin(uint32_t number);
  void ReadIndex();

  UniqueFd fd_;
  uint8_t* memory_ = nullptr;
  std::size_t bytes_ = 0;
  // Of each id that has an entry, or an SA that lives.
  NumberIndex known_;
};

}  // namespace cygnet
