#include "daemon/store/state_memory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <string>
#include <utility>

#include "base/crc32c.h"
#include "base/errno_error.h"
#include "base/key_material.h"

namespace cygnet {
namespace {

// The first slot is the header. A version names the layout of all that follows: never change one.
constexpr char kMagic[8] = {'c', 'y', 'g', 's', 't', 'a', 't', 'e'};
constexpr uint32_t kVersion = 1;
struct Header {
  char magic[8];
  uint32_t version;
  uint32_t slot_bytes;
  uint32_t slots;
};

constexpr uint32_t kSlotVersion = 1;
// Slot::state
constexpr uint32_t kFree = 0;
constexpr uint32_t kIncomplete = 1;
constexpr uint32_t kComplete = 2;
// Slot::flags
constexpr uint32_t kExact = 1;
constexpr uint32_t kInStore = 2;

constexpr std::size_t kNameBytes = 16;  // IFNAMSIZ

constexpr uint64_t kNoThreshold = uint64_t{1} << 32;

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

Error Unusable(const std::string& why) {
  return MakeError(Errc::kInvalid, "the kept state cannot be used: " + why);
}

std::span<const uint8_t> BytesFrom(const void* begin, const void* end) {
  const auto* first = static_cast<const uint8_t*>(begin);
  return {first, static_cast<std::size_t>(static_cast<const uint8_t*>(end) - first)};
}

void StoreRelaxed(std::atomic<uint64_t>* to, uint64_t value) {
  to->store(value, std::memory_order_relaxed);
}
uint64_t LoadRelaxed(const std::atomic<uint64_t>& from) {
  return from.load(std::memory_order_relaxed);
}

std::optional<uint32_t> ThresholdOf(const std::atomic<uint64_t>& from) {
  const uint64_t value = LoadRelaxed(from);
  return value == kNoThreshold ? std::nullopt : std::optional(static_cast<uint32_t>(value));
}

}  // namespace

struct StateMemory::Slot {
  std::atomic<uint32_t> state;
  uint32_t version;
  // Covered by the checksum, as is the message.
  uint32_t length;
  uint32_t flags;
  uint64_t number;
  uint64_t iv_mask;
  ExactNumbers exact;
  uint32_t checksum;
  uint32_t unused;
  // Written while packets pass.
  NumberCells cells;
  std::atomic<uint64_t> bytes;
  std::atomic<uint64_t> packets;
  std::atomic<uint64_t> add_time;
  std::atomic<uint64_t> use_time;
  std::atomic<uint64_t> last_used;
  std::atomic<uint64_t> max_diff;  // or kNoThreshold
  std::atomic<uint64_t> max_age;
  std::atomic<uint64_t> life;  // SaState in the low byte, soft_time_signalled above it
  // End with 0; empty: none, or an earlier version wrote the slot.
  char offload_device[kNameBytes];
  char selector_interface[kNameBytes];
  uint8_t reserved[24];
  uint8_t message[kMaxMessage];
};

// --- The file ---

Result<std::unique_ptr<StateMemory>> StateMemory::Map(UniqueFd fd, std::size_t bytes) {
  std::unique_ptr<StateMemory> memory(new StateMemory);
  void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (p == MAP_FAILED) return ErrnoError("map the state memory");
  memory->fd_ = std::move(fd);
  memory->memory_ = static_cast<uint8_t*>(p);
  memory->bytes_ = bytes;
  (void)madvise(p, bytes, MADV_DONTDUMP);
  (void)madvise(p, bytes, MADV_DONTFORK);
  if (mlock2(p, bytes, MLOCK_ONFAULT) != 0) {
    memory->unlocked_ = ErrnoError("lock the state memory").message;
  }
  return memory;
}

Result<std::unique_ptr<StateMemory>> StateMemory::Create(uint32_t slots) {
  static_assert(sizeof(Slot) == kSlotBytes);
  const std::size_t bytes = (std::size_t{slots} + 1) * kSlotBytes;
  UniqueFd fd(memfd_create("cygnet-state", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd.valid()) return ErrnoError("create the state memory");
  if (ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0 ||
      fcntl(fd.get(), F_ADD_SEALS, kSeals) != 0) {
    return ErrnoError("size the state memory");
  }
  auto memory = Map(std::move(fd), bytes);
  if (!memory) return memory;
  Header header{.magic = {}, .version = kVersion, .slot_bytes = kSlotBytes, .slots = slots};
  std::memcpy(header.magic, kMagic, sizeof(kMagic));
  std::memcpy((*memory)->memory_, &header, sizeof(header));
  (*memory)->FindFree();
  return memory;
}

Result<std::unique_ptr<StateMemory>> StateMemory::Adopt(UniqueFd fd) {
  struct stat info {};
  const int seals = fcntl(fd.get(), F_GET_SEALS);
  if (fstat(fd.get(), &info) != 0 || seals < 0 || (seals & kSeals) != kSeals) {
    return Unusable("it is not sealed memory");
  }
  const auto bytes = static_cast<std::size_t>(info.st_size);
  if (bytes < kSlotBytes) return Unusable("it is too short");
  auto memory = Map(std::move(fd), bytes);
  if (!memory) return memory;
  Header header{};
  std::memcpy(&header, (*memory)->memory_, sizeof(header));
  if (std::memcmp(header.magic, kMagic, sizeof(kMagic)) != 0) return Unusable("it has no header");
  if (header.version != kVersion) {
    return Unusable(
        fmt::format("it has version {}, this cygnetd knows {}", header.version, kVersion));
  }
  if (header.slot_bytes != kSlotBytes || (std::size_t{header.slots} + 1) * kSlotBytes != bytes) {
    return Unusable("its size does not fit its header");
  }
  (*memory)->FindFree();
  return memory;
}

StateMemory::~StateMemory() {
  if (memory_ != nullptr) munmap(memory_, bytes_);
}

// Only pages that were written count: reading the others would allocate them all.
std::vector<uint32_t> StateMemory::Used() const {
  std::vector<uint32_t> used;
  const auto last = static_cast<off_t>(bytes_);
  off_t at = lseek(fd_.get(), 0, SEEK_DATA);
  while (at >= 0 && at < last) {
    const off_t end = std::max(at + 1, lseek(fd_.get(), at, SEEK_HOLE));
    const auto first = std::max<off_t>(1, at / static_cast<off_t>(kSlotBytes));
    for (off_t i = first; i * static_cast<off_t>(kSlotBytes) < std::min(end, last); ++i) {
      const auto slot = static_cast<uint32_t>(i - 1);
      if (At(slot).state.load(std::memory_order_acquire) != kFree) used.push_back(slot);
    }
    at = lseek(fd_.get(), end, SEEK_DATA);
  }
  return used;
}

void StateMemory::FindFree() {
  const std::vector<uint32_t> used = Used();
  const auto slots = static_cast<uint32_t>(bytes_ / kSlotBytes - 1);
  free_.clear();
  free_.reserve(slots);
  auto next = used.rbegin();
  for (uint32_t slot = slots; slot-- > 0;) {
    if (next != used.rend() && *next == slot) {
      ++next;
    } else {
      free_.push_back(slot);
    }
  }
}

uint32_t StateMemory::room() const {
  const auto free = static_cast<uint32_t>(free_.size());
  return free > keep_free_ ? free - keep_free_ : 0;
}

// --- Slots ---

StateMemory::Slot& StateMemory::At(uint32_t slot) const {
  return *reinterpret_cast<Slot*>(memory_ + (std::size_t{slot} + 1) * kSlotBytes);
}

uint32_t StateMemory::Checksum(const Slot& slot) {
  const uint32_t fixed = Crc32c(BytesFrom(&slot.length, &slot.checksum));
  return Crc32c({slot.message, slot.length}, fixed);
}

bool StateMemory::IsWhole(const Slot& slot) {
  return slot.length <= kMaxMessage && slot.checksum == Checksum(slot);
}

void StateMemory::SetNumbers(Slot* slot, const std::optional<ExactNumbers>& exact, bool in_store) {
  slot->flags = (exact.has_value() ? kExact : 0) | (in_store ? kInStore : 0);
  slot->exact = exact.value_or(ExactNumbers{});
}

void StateMemory::Fill(Slot* slot, const StateRecord& record) {
  slot->state.store(kIncomplete, std::memory_order_release);
  SecureWipe(slot->message, sizeof(slot->message));
  slot->version = kSlotVersion;
  slot->length = static_cast<uint32_t>(record.message.size());
  slot->number = record.number;
  slot->iv_mask = record.iv_mask;
  SetNumbers(slot, record.exact, record.in_store);
  std::memset(slot->offload_device, 0, kNameBytes);
  record.offload_device.copy(slot->offload_device, kNameBytes - 1);
  std::memset(slot->selector_interface, 0, kNameBytes);
  record.selector_interface.copy(slot->selector_interface, kNameBytes - 1);
  std::memcpy(slot->message, record.message.data(), record.message.size());
  slot->checksum = Checksum(*slot);
}

Result<uint32_t> StateMemory::Write(const StateRecord& record) {
  if (record.message.size() > kMaxMessage) {
    return MakeError(Errc::kNoSpace, "it is too long for a slot of the state memory");
  }
  if (room() == 0) return MakeError(Errc::kNoSpace, "the state memory is full");
  const uint32_t slot = free_.back();
  free_.pop_back();
  NumberCells& cells = At(slot).cells;
  StoreRelaxed(&cells.out_given, 0);
  StoreRelaxed(&cells.in_top, 0);
  (void)Rewrite(slot, record);  // it fits
  return slot;
}

Status StateMemory::Rewrite(uint32_t slot, const StateRecord& record) {
  if (record.message.size() > kMaxMessage) {
    return MakeError(Errc::kNoSpace, "it is too long for a slot of the state memory");
  }
  Slot& to = At(slot);
  Fill(&to, record);
  Checkpoint(slot, record.progress);
  to.state.store(kComplete, std::memory_order_release);
  return {};
}

bool StateMemory::Finish(uint32_t slot, const ExactNumbers& exact, bool in_store,
                         const StateProgress& progress) {
  Slot& to = At(slot);
  const bool complete = to.state.load(std::memory_order_relaxed) == kComplete;
  if (!complete || to.version != kSlotVersion || !IsWhole(to)) return false;
  to.state.store(kIncomplete, std::memory_order_release);
  SetNumbers(&to, exact, in_store);
  to.checksum = Checksum(to);
  Checkpoint(slot, progress);
  to.state.store(kComplete, std::memory_order_release);
  return true;
}

void StateMemory::Checkpoint(uint32_t slot, const StateProgress& progress) {
  Slot& to = At(slot);
  StoreRelaxed(&to.bytes, progress.usage.bytes);
  StoreRelaxed(&to.packets, progress.usage.packets);
  StoreRelaxed(&to.add_time, progress.usage.add_time);
  StoreRelaxed(&to.use_time, progress.usage.use_time);
  StoreRelaxed(&to.last_used, progress.last_used);
  StoreRelaxed(&to.max_diff, progress.max_diff.value_or(kNoThreshold));
  StoreRelaxed(&to.max_age, progress.max_age.value_or(kNoThreshold));
  StoreRelaxed(&to.life, static_cast<uint64_t>(progress.state) |
                             (progress.soft_time_signalled ? uint64_t{0x100} : 0));
}

NumberCells* StateMemory::cells(uint32_t slot) { return &At(slot).cells; }

Result<StateRecord> StateMemory::Read(uint32_t slot) const {
  const Slot& from = At(slot);
  if (from.state.load(std::memory_order_acquire) != kComplete) {
    return MakeError(Errc::kInvalid, "it was not written to its end");
  }
  if (from.version != kSlotVersion) {
    return MakeError(Errc::kInvalid, fmt::format("it has version {}, this cygnetd knows {}",
                                                 from.version, kSlotVersion));
  }
  if (!IsWhole(from)) {
    return MakeError(Errc::kInvalid, "its checksum is wrong");
  }
  StateRecord record;
  record.number = from.number;
  record.iv_mask = from.iv_mask;
  record.in_store = (from.flags & kInStore) != 0;
  if ((from.flags & kExact) != 0) record.exact = from.exact;
  StateProgress& progress = record.progress;
  progress.usage = {.bytes = LoadRelaxed(from.bytes),
                    .packets = LoadRelaxed(from.packets),
                    .add_time = LoadRelaxed(from.add_time),
                    .use_time = LoadRelaxed(from.use_time)};
  progress.last_used = LoadRelaxed(from.last_used);
  progress.max_diff = ThresholdOf(from.max_diff);
  progress.max_age = ThresholdOf(from.max_age);
  const uint64_t life = LoadRelaxed(from.life);
  progress.state = static_cast<SaState>(life & 0xff);
  progress.soft_time_signalled = (life & 0x100) != 0;
  if (progress.state > SaState::kDying) {
    return MakeError(Errc::kInvalid, "its state is not one of an SA in use");
  }
  record.offload_device.assign(from.offload_device, strnlen(from.offload_device, kNameBytes));
  record.selector_interface.assign(from.selector_interface,
                                   strnlen(from.selector_interface, kNameBytes));
  record.message.assign(from.message, from.message + from.length);
  return record;
}

uint64_t StateMemory::NumberIn(uint32_t slot) const { return At(slot).number; }

void StateMemory::Wipe(uint32_t slot) {
  Slot& gone = At(slot);
  gone.state.store(kIncomplete, std::memory_order_release);
  SecureWipe(&gone.version, sizeof(Slot) - offsetof(Slot, version));
  gone.state.store(kFree, std::memory_order_release);
  free_.push_back(slot);
}

}  // namespace cygnet
