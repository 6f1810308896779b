#include "daemon/store/memory_numbers.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "base/errno_error.h"
#include "base/key_material.h"

namespace cygnet {
namespace {

// A version names the layout of all that follows: never change one.
constexpr char kMagic[8] = {'c', 'y', 'g', 'n', 'u', 'm', 'b', 'r'};
constexpr uint32_t kVersion = 1;
constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
constexpr uint32_t kRegions = 2;

Error Unusable(const std::string& why) {
  return MakeError(Errc::kInvalid, "the kept numbers cannot be used: " + why);
}

}  // namespace

struct MemoryNumbers::Header {
  char magic[8];
  uint32_t version;
  uint32_t entries;              // of each region
  std::atomic<uint32_t> active;  // the region in use
  uint32_t unused[11];
};

// Written in this order, so that a process that is killed at any instruction leaves whole entries.
struct MemoryNumbers::Entry {
  NumberId id;
  std::atomic<uint64_t> value;
};

struct MemoryNumbers::Region {
  std::array<uint8_t, kNumberSecretBytes> secret;
  std::atomic<uint64_t> used;
  uint64_t unused[3];
  Entry& entry(uint32_t i) { return *(reinterpret_cast<Entry*>(this + 1) + i); }
};

// --- The file ---

std::size_t MemoryNumbers::BytesFor(uint32_t entries) {
  return sizeof(Header) + kRegions * (sizeof(Region) + std::size_t{entries} * sizeof(Entry));
}

Result<std::unique_ptr<MemoryNumbers>> MemoryNumbers::Map(UniqueFd fd, std::size_t bytes) {
  std::unique_ptr<MemoryNumbers> numbers(new MemoryNumbers);
  void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (p == MAP_FAILED) return ErrnoError("map the memory of numbers");
  numbers->fd_ = std::move(fd);
  numbers->memory_ = static_cast<uint8_t*>(p);
  numbers->bytes_ = bytes;
  (void)madvise(p, bytes, MADV_DONTDUMP);
  (void)madvise(p, bytes, MADV_DONTFORK);
  (void)mlock2(p, bytes, MLOCK_ONFAULT);  // of the state memory, a failure is reported
  return numbers;
}

Result<std::unique_ptr<MemoryNumbers>> MemoryNumbers::Create(uint32_t entries) {
  const std::size_t bytes = BytesFor(entries);
  UniqueFd fd(memfd_create("cygnet-numbers", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd.valid()) return ErrnoError("create the memory of numbers");
  if (ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0 ||
      fcntl(fd.get(), F_ADD_SEALS, kSeals) != 0) {
    return ErrnoError("size the memory of numbers");
  }
  auto numbers = Map(std::move(fd), bytes);
  if (!numbers) return numbers;
  Header& header = (*numbers)->header();
  header.version = kVersion;
  header.entries = entries;
  CYGNET_RETURN_IF_ERROR((*numbers)->Begin(0));
  std::memcpy(header.magic, kMagic, sizeof(kMagic));
  return numbers;
}

Result<std::unique_ptr<MemoryNumbers>> MemoryNumbers::Adopt(UniqueFd fd) {
  struct stat info {};
  const int seals = fcntl(fd.get(), F_GET_SEALS);
  if (fstat(fd.get(), &info) != 0 || seals < 0 || (seals & kSeals) != kSeals) {
    return Unusable("they are not in sealed memory");
  }
  const auto bytes = static_cast<std::size_t>(info.st_size);
  if (bytes < sizeof(Header)) return Unusable("the memory is too short");
  auto numbers = Map(std::move(fd), bytes);
  if (!numbers) return numbers;
  const Header& header = (*numbers)->header();
  if (std::memcmp(header.magic, kMagic, sizeof(kMagic)) != 0 || header.version != kVersion) {
    return Unusable("this cygnetd does not know the version of the memory");
  }
  if (BytesFor(header.entries) != bytes || header.active.load() >= kRegions ||
      (*numbers)->region().used.load() > header.entries) {
    return Unusable("the size of the memory does not fit its header");
  }
  (*numbers)->ReadIndex();
  return numbers;
}

MemoryNumbers::~MemoryNumbers() {
  if (memory_ != nullptr) munmap(memory_, bytes_);
}

MemoryNumbers::Header& MemoryNumbers::header() const { return *reinterpret_cast<Header*>(memory_); }

MemoryNumbers::Region& MemoryNumbers::RegionAt(uint32_t number) const {
  const std::size_t each = sizeof(Region) + std::size_t{header().entries} * sizeof(Entry);
  return *reinterpret_cast<Region*>(memory_ + sizeof(Header) + number * each);
}

MemoryNumbers::Region& MemoryNumbers::region() const {
  return RegionAt(header().active.load(std::memory_order_acquire));
}

void MemoryNumbers::ReadIndex() {
  const NumberIndex before = std::exchange(known_, {});
  Region& now = region();
  const auto used = static_cast<uint32_t>(now.used.load(std::memory_order_acquire));
  known_.Reserve(2 * std::size_t{used});  // an SA has two ids, of which one may have no entry
  for (uint32_t i = 0; i < used; ++i) {
    known_.Change(now.entry(i).id, [i](Known* known) {
      if (known->at == Known::kNone) known->at = i;
    });
  }
  before.ForEach([this](const NumberId& id, const Known& was) {
    if (was.living == 0) return;
    known_.Change(id, [&was](Known* known) { known->living = was.living; });
  });
}

// Writes the region, with what living SAs have, and then switches to it.
Status MemoryNumbers::Begin(uint32_t number) {
  Region& next = RegionAt(number);
  next.used.store(0, std::memory_order_release);
  const auto bytes = static_cast<ssize_t>(next.secret.size());
  if (getrandom(next.secret.data(), next.secret.size(), 0) != bytes) {
    return MakeError(Errc::kIo, "cannot get random numbers");
  }
  uint32_t used = 0;
  known_.ForEach([&](const NumberId& id, const Known& known) {
    if (known.living == 0 || known.at == Known::kNone) return;
    Entry& entry = next.entry(used++);
    entry.id = id;
    entry.value.store(region().entry(known.at).value.load());
  });
  next.used.store(used, std::memory_order_release);
  header().active.store(number, std::memory_order_release);
  ReadIndex();
  return {};
}

Status MemoryNumbers::BeginAnew() {
  const uint32_t before = header().active.load();
  CYGNET_RETURN_IF_ERROR(Begin((before + 1) % kRegions));
  SecureWipe(RegionAt(before).secret.data(), kNumberSecretBytes);
  return {};
}

// --- Values ---

std::atomic<uint64_t>* MemoryNumbers::Find(const NumberId& id) const {
  const Known* const known = known_.Find(id);
  return known == nullptr || known->at == Known::kNone ? nullptr : &region().entry(known->at).value;
}

// REQUIRES: `found` is what Find has returned for the id.
Status MemoryNumbers::Set(const NumberId& id, std::atomic<uint64_t>* found, uint64_t value) {
  if (found != nullptr) {
    found->store(value, std::memory_order_release);
    return {};
  }
  const auto at = static_cast<uint32_t>(region().used.load());
  if (at >= header().entries) {
    return MakeError(Errc::kNoSpace, "the memory of numbers is full of living SAs; delete SAs");
  }
  Entry& entry = region().entry(at);
  entry.id = id;
  entry.value.store(value, std::memory_order_release);
  region().used.store(at + 1, std::memory_order_release);
  known_.Change(id, [at](Known* known) { known->at = at; });
  return {};
}

// An SA needs two entries, and has them before the next one is identified.
Result<NumberIdentity> MemoryNumbers::Identify(const SaSpec& spec) {
  if (region().used.load() + 2 > header().entries) CYGNET_RETURN_IF_ERROR(BeginAnew());
  const KeyMaterial secret(region().secret);
  return IdentityOf(spec, secret);
}

void MemoryNumbers::Retain(const NumberIdentity& identity) {
  for (const NumberId& id : {identity.outbound, identity.inbound}) {
    known_.Change(id, [](Known* known) { ++known->living; });
  }
}

void MemoryNumbers::Release(const NumberIdentity& identity) {
  for (const NumberId& id : {identity.outbound, identity.inbound}) {
    Known* const known = known_.Find(id);
    if (known == nullptr || known->living == 0) continue;
    if (known->living == 1 && known->at == Known::kNone) {
      known_.Forget(id);
    } else {
      --known->living;
    }
  }
}

Result<NumberBlock> MemoryNumbers::Outbound(const NumberId& id, uint64_t after, uint64_t count) {
  auto* const given = Find(id);
  const uint64_t last = std::max(given != nullptr ? given->load() : 0, after);
  const uint64_t left = ~uint64_t{0} - last;
  if (left == 0) return MakeError(Errc::kRange, "all 2^64 numbers of the key are given");
  const NumberBlock block{last + 1, last + std::min(count, left)};
  CYGNET_RETURN_IF_ERROR(Set(id, given, block.last));
  return block;
}

Result<InboundMark> MemoryNumbers::Inbound(const NumberId& id, uint64_t from, uint64_t up_to) {
  auto* const mark = Find(id);
  const uint64_t now = mark != nullptr ? mark->load() : 0;
  if (now != from) return InboundMark{.mark = now, .raised = false};
  if (up_to > now) CYGNET_RETURN_IF_ERROR(Set(id, mark, up_to));
  return InboundMark{.mark = up_to, .raised = true};
}

Status MemoryNumbers::ReturnOutbound(const NumberId& id, uint64_t used, uint64_t last) {
  auto* const given = Find(id);
  if (given != nullptr && given->load() == last && used < last) given->store(used);
  return {};
}

// Marks are written at the end of an SA: nobody raised them in vain.
Status MemoryNumbers::LowerInbound(const NumberId&, uint64_t, uint64_t) { return {}; }

}  // namespace cygnet
