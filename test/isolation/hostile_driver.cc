#include "isolation/hostile_driver.h"

#include <sys/mman.h>
#include <sys/socket.h>

#include <cstring>
#include <thread>

#include "plugin/isolation/driver_ring.h"

namespace cygnet::isolation {
namespace {

// The lies about a frame that the host gave: `slot`.
void LieUp(const std::string& how, const DriverMemory& memory, RingEnd* up, RingEnd* out,
           uint32_t slot) {
  FrameHeader& header = memory.header(slot);
  RingEntry entry{.slot = slot, .move = Move::kPacket, .wire = 0};
  header.status = CYGNET_PACKET_RETURNED;
  if (how == "up-beyond") entry.slot = 0xffffff;
  if (how == "up-foreign") entry.slot = memory.shape().slots - 1;
  if (how == "status") header.status = 99;
  if (how == "sealed-up") header.status = CYGNET_PACKET_SEALED;
  if (how == "length" || how == "head") header.status = CYGNET_PACKET_NONE;
  if (how == "length") header.length = UINT32_MAX;
  if (how == "head") header.head = UINT32_MAX - 10;
  if (how == "fault-both") out->Push({.slot = slot, .move = Move::kFree, .wire = 0});
  up->Push(entry);
  if (how == "up-twice") up->Push(entry);
}

void LieOut(const std::string& how, const DriverMemory& memory, RingEnd* out, uint32_t slot) {
  RingEntry entry{.slot = slot, .move = Move::kSend, .wire = 0};
  memory.header(slot).status = CYGNET_PACKET_SEALED;
  if (how == "out-wire") entry.wire = 200;
  if (how == "out-move") entry.move = static_cast<Move>(77);
  if (how == "out-beyond") entry.slot = UINT32_MAX;
  if (how == "out-grown") memory.header(slot).length += 100;
  if (how == "out-clear") memory.header(slot).status = CYGNET_PACKET_PROTECT_REQUESTED;
  if (how == "out-reason") {
    entry.move = Move::kDrop;
    std::memset(memory.header(slot).reason, 'x', kReasonBytes);
  }
  out->Push(entry);
}

// Changes the description of all frames while the host may read it.
void Flicker(const DriverMemory& memory) {
  for (uint32_t i = 0;; ++i) {
    for (uint32_t slot = 0; slot < memory.shape().slots; ++slot) {
      FrameHeader& header = memory.header(slot);
      header.length = i % 2 == 0 ? 64 : UINT32_MAX;
      header.head = i % 3 == 0 ? 0 : UINT32_MAX - 64;
      header.status = i % 5 == 0 ? CYGNET_PACKET_NONE : CYGNET_PACKET_SEALED;
    }
  }
}

void Run(const std::string& how, const DriverMemory& memory, int bell, int pump_bell) {
  RingEnd down = memory.down(0), up = memory.up(0), out = memory.out();
  if (how == "flicker") std::thread(Flicker, memory).detach();
  for (;;) {
    down.beat().fetch_add(1);
    if (down.ready() == 0) continue;
    const uint32_t slot = down.Pop().slot;
    if (how == "scribble") {
      for (std::size_t i = 0; i < DriverMemory::Bytes(memory.shape()) / 8; ++i) {
        const uint64_t word = i * 0x9e3779b97f4a7c15u;
        std::memcpy(reinterpret_cast<uint8_t*>(&memory.header(0)) + (i % 4096) * 8, &word, 8);
      }
      up.Push({.slot = 0x55555555, .move = Move::kPacket, .wire = 0});
    } else if (how.starts_with("out-") || how == "flicker") {
      LieOut(how, memory, &out, slot);
    } else {
      LieUp(how, memory, &up, &out, slot);
    }
    RingEnd far = up, far_out = out;
    for (int i = 0; how == "tail-beyond" && i < 100'000; ++i) far.Push({0, Move::kPacket, 0});
    for (int i = 0; how == "fault-tail" && i < 100'000; ++i) far_out.Push({0, Move::kFree, 0});
    (void)(how == "tail-beyond" ? far : up).Publish();
    (void)(how == "fault-tail" ? far_out : out).Publish();
    for (const int fd : {bell, pump_bell}) (void)!send(fd, "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
  }
}

void PutFacts(const std::string& how, Writer* out) {
  cygnet_caps caps{};
  caps.can = CYGNET_CAN_CRYPTO_OFFLOAD | CYGNET_CAN_OUTBOUND;
  caps.algorithms = reinterpret_cast<const cygnet_algorithm_caps*>(uintptr_t{0x1234});
  caps.kernel_driver = reinterpret_cast<const char*>(uintptr_t{0x5678});
  if (how == "caps-many") caps.algorithm_count = 1'000'000;
  out->Put(caps);
  out->Text(nullptr);
  if (how == "caps-short") return;
  out->Put(uint32_t{1});
  for (const char* text : {"hostile", "", "1"}) out->Text(text);
  out->Put(cygnet_port{});
}

}  // namespace

uint32_t HostileDriverFunctions() {
  uint32_t all = (1u << kDriverMembers) - 1;
  for (const std::size_t part :
       {offsetof(cygnet_driver, packet), offsetof(cygnet_driver, loopback),
        offsetof(cygnet_driver, faults), offsetof(cygnet_driver, findings)}) {
    all &= ~DriverBit(part);
  }
  return all;
}

void OpenHostileDriver(const std::string& how, Reader* in, const std::vector<int>& fds,
                       Writer* out) {
  const auto shape = in->Take<DriverShape>();
  void* at =
      mmap(nullptr, DriverMemory::Bytes(shape), PROT_READ | PROT_WRITE, MAP_SHARED, fds.at(0), 0);
  std::thread(Run, how, DriverMemory(at, shape), fds.at(1), fds.back()).detach();
  out->Put(uint32_t{0});
  const uint8_t text[CYGNET_TEXT_BYTES] = {};
  out->Bytes(text, sizeof(text));
  PutFacts(how, out);
}

}  // namespace cygnet::isolation
