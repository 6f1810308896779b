// What the host of an isolated plug-in reads from its child: slots and rings of frames, completions
// of jobs, answers of control calls. The input is what a child writes. Nothing that the host owns
// may be touched beyond its bounds, and each packet and each job comes back at most once.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "plugin/isolation/driver_life.h"
#include "plugin/isolation/driver_message.h"
#include "plugin/isolation/frame_slots.h"
#include "plugin/isolation/job_slots.h"
#include "plugin/isolation/refusal.h"

namespace cygnet::isolation {
namespace {

void Require(bool holds) {
  if (!holds) std::abort();
}

// --- Frames ---

constexpr DriverShape kShape{.queues = 1, .wires = 1, .slots = 16};
constexpr uint32_t kCapacity = 600;

// A packet of the host, with bytes behind its buffer that must not change.
struct HostPacket {
  HostPacket() { Reset(); }
  HostPacket(const HostPacket&) = delete;
  HostPacket& operator=(const HostPacket&) = delete;
  void Reset() {
    bytes.fill(0x5a);
    packet = {};
    packet.buffer = bytes.data();
    packet.capacity = kCapacity;
    packet.head = 100;
    packet.length = 200;
    packet.status = CYGNET_PACKET_SEAL_REQUESTED;
  }
  bool Intact() const {
    return std::all_of(bytes.begin() + kCapacity, bytes.end(),
                       [](uint8_t byte) { return byte == 0x5a; }) &&
           packet.head <= kCapacity && packet.length <= kCapacity - packet.head;
  }
  std::array<uint8_t, kCapacity + 64> bytes;
  cygnet_packet packet{};
  bool given = false;
};

class FrameHost {
 public:
  FrameHost() : bytes_(DriverMemory::Bytes(kShape) + 64), memory_(Aligned(), kShape) {}

  void Give(uint32_t which) {
    HostPacket& host = packets_[which % packets_.size()];
    if (host.given) return;
    host.Reset();
    host.given = true;
    slots_.Give(static_cast<FrameOrigin>(which % 3), 0, &host.packet);
  }
  void Describe(Reader* in) {
    const uint32_t slot = in->Take<uint8_t>() % kShape.slots;
    memory_.header(slot) = in->Take<FrameHeader>();
  }
  // The child's end of a ring: any words, and any tail.
  void Ring(Reader* in) {
    for (uint32_t n = in->Take<uint8_t>() % 4; n > 0; --n)
      child_.Push(UnpackEntry(in->Take<uint64_t>()));
    (void)child_.Publish();
  }
  void TakeAll() {
    const uint32_t ready = host_.ready();
    if (ready > host_.room()) return;  // a lie: the child fails
    for (uint32_t i = 0; i < ready; ++i) Accept(slots_.TakeBack(host_.Pop().slot));
  }
  void Recover() {
    uint32_t from = 0;
    cygnet_packet* all[kShape.slots];
    const uint32_t n = slots_.Recover(
        &from, [](FrameOrigin, uint32_t, bool) { return true; }, all, kShape.slots);
    for (uint32_t i = 0; i < n; ++i) GotBack(all[i]);
    for (const HostPacket& host : packets_) Require(!host.given && host.Intact());
  }

 private:
  void* Aligned() {
    return bytes_.data() + (64 - reinterpret_cast<uintptr_t>(bytes_.data()) % 64) % 64;
  }
  void Accept(const FrameSlots::Returned& back) {
    Require(back.packet == nullptr || back.breach == nullptr);
    Require(back.packet != nullptr || back.breach != nullptr);
    if (back.packet != nullptr) GotBack(back.packet);
    if (back.lost != nullptr) GotBack(back.lost);
    Require(std::memchr(back.header.reason, 0, kReasonBytes) != nullptr);
  }
  void GotBack(const cygnet_packet* packet) {
    const auto host = std::find_if(packets_.begin(), packets_.end(),
                                   [packet](const HostPacket& h) { return &h.packet == packet; });
    Require(host != packets_.end() && host->given && host->Intact());
    host->given = false;
  }

  std::vector<uint8_t> bytes_;
  const DriverMemory memory_;
  FrameSlots slots_{memory_};
  RingEnd child_ = memory_.up(0), host_ = memory_.up(0);
  std::array<HostPacket, kShape.slots> packets_;
};

// --- Jobs ---

class JobHost {
 public:
  JobHost() : bytes_(RingLayout(kJobs).bytes + 64), ring_(Aligned(), RingLayout(kJobs)) {
    for (Job& job : jobs_) {
      job.bytes.fill(0x5a);
      job.job.session = &session_;
      job.job.text = job.bytes.data() + 32;
      job.job.text_length = 64;
      job.job.icv = job.job.text + 64;
      job.job.auth_begin = job.bytes.data();
      job.job.aad_length = 8;
    }
  }
  void Give(uint32_t which) {
    Job& job = jobs_[which % kJobs];
    if (job.given || slots_.full()) return;
    session_.pair = which % 2 == 0;
    job.given = true;
    Require(JobSlots::Fits(job.job) && slots_.Give(&job.job) < kJobs);
  }
  // The child may change all of its memory but the rings' words, which are read once anyway.
  void Scribble(Reader* in) {
    const uint32_t slot = in->Take<uint8_t>() % kJobs;
    ring_.job(slot) = in->Take<JobHeader>();
    std::memset(ring_.text(slot), in->Take<uint8_t>(), kTextBytes);
  }
  void Complete(Reader* in) {
    const cygnet_crypto_job* job = slots_.TakeBack(Unpack(in->Take<uint64_t>()));
    if (job != nullptr) GotBack(job);
  }
  void Recover() {
    for (uint32_t slot = 0; slot < kJobs; ++slot) {
      if (const cygnet_crypto_job* job = slots_.Recover(slot)) GotBack(job);
    }
    for (const Job& job : jobs_) Require(!job.given);
  }

 private:
  static constexpr uint32_t kJobs = 8;
  static constexpr uint32_t kIcv = 16;
  struct Job {
    std::array<uint8_t, 32 + 64 + kIcv + 32> bytes;
    cygnet_crypto_job job{};
    bool given = false;
  };
  void* Aligned() {
    return bytes_.data() + (64 - reinterpret_cast<uintptr_t>(bytes_.data()) % 64) % 64;
  }
  void GotBack(const cygnet_crypto_job* back) {
    const auto job =
        std::find_if(jobs_.begin(), jobs_.end(), [back](const Job& j) { return &j.job == back; });
    Require(job != jobs_.end() && job->given && job->job.text_length == 64);
    job->given = false;
    const auto kept = [](uint8_t byte) { return byte == 0x5a; };
    Require(std::all_of(job->bytes.begin(), job->bytes.begin() + 32, kept));
    Require(std::all_of(job->bytes.end() - 32, job->bytes.end(), kept));
  }

  IsolatedSession session_{.child = 4096, .icv_bytes = kIcv, .seal = true, .pair = false};
  std::vector<uint8_t> bytes_;
  const RingView ring_;
  JobSlots slots_{ring_};
  std::array<Job, kJobs> jobs_;
};

// --- Answers ---

void Answers(Reader in) {
  cygnet_refusal refusal{};
  TakeRefusal(&in, &refusal);
  Require(std::memchr(refusal.text, 0, sizeof(refusal.text)) != nullptr);
  DriverFacts facts;
  Reader copy = in;
  facts.Take(&in);
  Require(facts.caps.algorithm_count == facts.algorithms.size());
  for (const cygnet_algorithm_caps& row : facts.algorithms) Require(row.name != nullptr);
  HostPacket host;
  (void)TakeLoopedFrame(&copy, &host.packet);
  Require(host.Intact());
}

void Play(Reader in) {
  FrameHost frames;
  JobHost jobs;
  while (in.ok() && !in.done()) {
    const auto step = in.Take<uint8_t>();
    switch (step % 7) {
      case 0:
        frames.Give(step / 7);
        break;
      case 1:
        frames.Describe(&in);
        break;
      case 2:
        frames.Ring(&in);
        break;
      case 3:
        frames.TakeAll();
        break;
      case 4:
        jobs.Give(step / 7);
        break;
      case 5:
        jobs.Scribble(&in);
        break;
      default:
        jobs.Complete(&in);
        break;
    }
  }
  frames.Recover();
  jobs.Recover();
}

}  // namespace
}  // namespace cygnet::isolation

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using cygnet::isolation::Reader;
  if (size == 0) return 0;
  const Reader in(data + 1, static_cast<uint32_t>(size - 1));
  if (data[0] % 2 == 0) {
    cygnet::isolation::Answers(in);
  } else {
    cygnet::isolation::Play(in);
  }
  return 0;
}
