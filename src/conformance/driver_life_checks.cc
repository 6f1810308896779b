// Checks of drivers: states, the end, threads, known answers.
#include <chrono>
#include <cstring>
#include <thread>

#include "conformance/driver_checks.h"

namespace cygnet::conformance {
namespace {

using Out = DriverBench::Out;

bool Play(DriverBench* b, const char* fault) {
  return b->device().faults()->InjectFault(fault).has_value();
}

Outcome DownReturns(DriverBench* b) {
  const EspSample sample = b->Sample();
  const auto handle = b->Start(sample.spec(), Half::kOutbound);
  CONFORMANCE_REQUIRE(handle.has_value(), "refused: " + b->refusal.text);
  if (!Play(b, "down")) return NotApplicable("it does not play the fault \"down\"");
  CONFORMANCE_REQUIRE(b->device().state() == DeviceState::kDown, "its state is not DOWN");
  const Out out = DriverBench::ToSeal(sample, *handle, 4, 126);
  CONFORMANCE_REQUIRE(b->Send({out}, 0).empty(), "a packet to be sealed left while it was down");
  const auto up = b->Received(1);
  CONFORMANCE_REQUIRE(up.size() == 1, "a packet that it could not seal did not come back");
  CONFORMANCE_REQUIRE(up[0].meta.status == OffloadStatus::kReturned && up[0].frame == out.frame,
                      "a packet that came back is changed, or is not RETURNED");
  CONFORMANCE_REQUIRE(up[0].sa_number == (handle->value ^ 0x5a5a),
                      "a packet that came back does not name its SA any more");
  CONFORMANCE_REQUIRE(b->Send({{.frame = ClearFrame(50)}}, 1).size() == 1,
                      "frames do not pass while the offload unit is down");
  CONFORMANCE_REQUIRE(Play(b, "up"), "it does not play the fault \"up\"");
  const auto sent = b->Send({out}, 1);
  CONFORMANCE_REQUIRE(sent.size() == 1 && sent[0] == sample.Sealed(4, 126),
                      "it has lost its SAs by going down");
  return Kept();
}

Outcome DownInstallsNothing(DriverBench* b) {
  const EspSample sample = b->Sample();
  if (!Play(b, "down")) return NotApplicable("it does not play the fault \"down\"");
  CONFORMANCE_REQUIRE(!b->Install(sample.spec(), Half::kOutbound).has_value(),
                      "it took an SA while it was down");
  CONFORMANCE_REQUIRE(b->refusal.kind == InstallError::kDeviceDown,
                      "the refusal is not CYGNET_REFUSED_DOWN");
  return Kept();
}

Outcome ResetErases(DriverBench* b) {
  const EspSample sample = b->Sample();
  const auto out = b->Start(sample.spec(), Half::kOutbound);
  const auto in = b->Start(sample.spec(), Half::kInbound);
  CONFORMANCE_REQUIRE(out.has_value() && in.has_value(), "refused: " + b->refusal.text);
  const uint32_t resets = b->device().resets();
  if (!Play(b, "reset")) return NotApplicable("it does not play the fault \"reset\"");
  CONFORMANCE_REQUIRE(b->Wait([&] { return b->device().state() == DeviceState::kUp; }),
                      "it is not up again after a reset");
  CONFORMANCE_REQUIRE(b->device().resets() == resets + 1, "`resets` has not risen by one");
  const auto erased = b->Erased(2);
  CONFORMANCE_REQUIRE(erased.size() == 2 && HasHandle(erased, *out) && HasHandle(erased, *in),
                      "the keys that a reset erased are not reported, each once");
  const auto up = b->Arrive({sample.Sealed(1, 62)});
  CONFORMANCE_REQUIRE(up.size() == 1 && up[0].meta.status == OffloadStatus::kNone,
                      "it opens packets of an SA that a reset erased");
  CONFORMANCE_REQUIRE(b->Send({DriverBench::ToSeal(sample, *out, 1, 62)}, 0).empty(),
                      "a packet left for an SA that a reset erased");
  const auto back = b->Received(1);
  CONFORMANCE_REQUIRE(back.size() == 1 && back[0].meta.status == OffloadStatus::kReturned,
                      "a packet of an SA that a reset erased did not come back as RETURNED");
  return Kept();
}

// What a worker of this device sends: to be sealed, if it seals.
Out Typical(DriverBench* b, std::size_t bytes) {
  const EspSample sample = b->Sample();
  const auto handle = b->seals() ? b->Start(sample.spec(), Half::kOutbound) : std::nullopt;
  return handle.has_value() ? DriverBench::ToSeal(sample, *handle, 1, bytes)
                            : Out{.frame = ClearFrame(bytes)};
}

Outcome StateRings(DriverBench* b) {
  for (const char* fault : {"down", "up", "reset"}) {
    bool played = false;
    const bool rung = b->HearsBell([&] { played = Play(b, fault); });
    if (!played) return NotApplicable(std::string("it does not play the fault \"") + fault + "\"");
    CONFORMANCE_REQUIRE(rung,
                        std::string("the bell is not rung after the fault \"") + fault + "\"");
  }
  return Kept();
}

Outcome PacketsComeBack(DriverBench* b) {
  const Out typical = Typical(b, 62);
  for (int round = 0; round < 64; ++round) {
    std::vector<Out> out(kMaxBatch, typical);
    if (b->seals()) {
      out.push_back(DriverBench::ToSeal(b->Sample(), OffloadHandle(0), 1, 62));  // dropped
    }
    out.push_back({.frame = ClearFrame(10)});
    CONFORMANCE_REQUIRE(b->Send(out, kMaxBatch + 1).size() == kMaxBatch + 1u,
                        "packets stop leaving after " + std::to_string(round * 64) +
                            ": the driver does not give them back");
    CONFORMANCE_REQUIRE(b->Arrive({ClearFrame(20)}).size() == 1, "frames stop arriving");
  }
  const uint32_t kept = b->device().Close();
  CONFORMANCE_REQUIRE(kept == 0, std::to_string(kept) + " packets were not given back by close");
  return Kept();
}

Outcome ClosesInFlight(DriverBench* b) {
  const Out typical = Typical(b, 1398);
  for (int i = 0; i < 4; ++i) {
    b->wire()->Feed(0, b->Sample().Sealed(1, 62));
    b->Transmit(std::vector<Out>(kMaxBatch, typical));
  }
  const uint32_t kept = b->device().Close();
  CONFORMANCE_REQUIRE(kept == 0, std::to_string(kept) + " packets were not given back by close");
  return Kept();
}

Outcome ClosesTwice(const Subject& subject) {
  for (int i = 0; i < 3; ++i) {
    auto bench = DriverBench::Open(subject);
    if (!bench) return Broken("it does not open again: " + bench.error().message);
    (void)(*bench)->device().Close();
  }
  return Kept();
}

Outcome TwoDevices(const Subject& subject) {
  auto first = DriverBench::Open(subject);
  auto second = DriverBench::Open(subject);
  if (!first) return Broken(first.error().message);
  if (!second) return NotApplicable("a second device does not open: " + second.error().message);
  const std::string why_not = WhyNotApplicable(first->get(), Need::kCrypto);
  if (!why_not.empty()) return NotApplicable(why_not);
  DriverBench* b = first->get();
  const EspSample sample = b->Sample();
  (void)b->Start(sample.spec(), Half::kInbound);
  CONFORMANCE_REQUIRE((*second)->device().offload_stats().slots_used == 0,
                      "an SA of one device takes a slot of another");
  const auto up = (*second)->Arrive({sample.Sealed(1, 62)});
  CONFORMANCE_REQUIRE(up.size() == 1 && up[0].meta.status == OffloadStatus::kNone,
                      "an SA of one device opens packets of another");
  return Kept();
}

// One worker of the threads check: sends on its queue and counts what comes up.
struct Worker {
  Worker(DriverBench* bench, uint32_t number) : b(bench), queue(number), sink(&caches, &drops) {}
  void Turn(const Bytes& frame, OffloadHandle handle) {
    PacketBatch batch;
    for (int i = 0; i < 16; ++i) {
      Packet* packet = caches.small.Take();
      if (packet == nullptr) break;
      std::memcpy(packet->Append(static_cast<uint32_t>(frame.size())), frame.data(), frame.size());
      packet->l3_offset = kEthernetHeader;
      packet->offload = {.handle = handle,
                         .esp_offset = static_cast<uint16_t>(frame.size() > 0 ? 34 : 0),
                         .status = OffloadStatus::kSealRequested};
      batch.Push(packet);
    }
    b->device().Transmit(queue, &batch, &sink);
    (void)b->device().Receive(queue, &batch, &sink);
    for (Packet* packet : batch.packets()) sink.Recycle(packet);
    batch.ReleaseAll();
  }
  DriverBench* b;
  uint32_t queue;
  PacketCaches caches{b->pools()};
  DropCounters drops;
  DropSink sink;
};

// Two workers send and receive while control installs and releases other SAs.
Outcome Threads(const Subject& subject) {
  auto opened = DriverBench::Open(subject, 2);
  if (!opened) return Broken(opened.error().message);
  DriverBench* b = opened->get();
  const std::string why_not = WhyNotApplicable(b, Need::kCrypto);
  if (!why_not.empty()) return NotApplicable(why_not);
  const EspSample sample = b->Sample();
  if (sample.esp_offset() != 34) return NotApplicable("it has no IPv4");
  const auto handle = b->Start(sample.spec(), Half::kOutbound);
  CONFORMANCE_REQUIRE(handle.has_value(), "refused: " + b->refusal.text);
  const Bytes readable = sample.Readable(5, 126);
  std::atomic<bool> stop{false};
  std::vector<std::thread> workers;
  for (uint32_t queue = 0; queue < 2; ++queue) {
    workers.emplace_back([&, queue] {
      Worker worker(b, queue);
      while (!stop.load()) worker.Turn(readable, *handle);
    });
  }
  uint32_t installed = 0;
  for (int i = 0; i < 200; ++i) {
    const EspSample other = b->Sample({.spi = 0x5000u + static_cast<uint32_t>(i)});
    const auto more = b->Start(other.spec(), i % 2 == 0 ? Half::kOutbound : Half::kInbound);
    if (more.has_value()) ++installed;
    (void)b->device().offload_stats();
    if (more.has_value()) b->device().StopSa(*more);
    if (more.has_value()) b->device().ReleaseSa(*more);
    (void)b->device().TakeErased();
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  stop.store(true);
  for (std::thread& worker : workers) worker.join();
  CONFORMANCE_REQUIRE(installed == 200, "SAs are refused while packets are sealed");
  const Bytes sealed = sample.Sealed(5, 126);
  for (const Bytes& frame : b->wire()->TakeSent()) {
    CONFORMANCE_REQUIRE(frame == sealed, "a packet is sealed wrongly while two workers send");
  }
  CONFORMANCE_REQUIRE(b->wire()->sent() > 0, "nothing left");
  const std::string breach = b->device().breach();
  return breach.empty() ? Kept() : Broken(breach);
}

Outcome KnownAnswers(DriverBench* b) {
  const OffloadStats before = b->device().offload_stats();
  for (const Choice& choice : b->choices()) {
    const EspSample sample = b->Sample(choice, {});
    PacketCaches caches(b->pools());
    for (const Half half : kHalves) {
      const bool in = IsInbound(half);
      const Bytes from = in ? sample.Sealed(3, 62) : sample.Readable(3, 62);
      Packet* packet = caches.small.Take();
      std::memcpy(packet->Append(static_cast<uint32_t>(from.size())), from.data(), from.size());
      packet->l3_offset = kEthernetHeader;
      packet->offload.esp_offset = in ? uint16_t{0} : sample.esp_offset();
      packet->offload.status = in ? OffloadStatus::kNone : OffloadStatus::kSealRequested;
      DropReason drop = DropReason::kNone;
      const ::cygnet::Status status =
          b->device().loopback()->Loop({sample.spec(), half}, {&packet, 1}, {&drop, 1});
      const Bytes got(packet->bytes().begin(), packet->bytes().end());
      const OffloadStatus became = packet->offload.status;
      caches.small.Give(packet);
      CONFORMANCE_REQUIRE(status.has_value(), choice.Text() + ": " + status.error().message);
      CONFORMANCE_REQUIRE(became == (in ? OffloadStatus::kOpened : OffloadStatus::kSealed),
                          choice.Text() + ": status " + std::to_string(static_cast<int>(became)));
      const bool right = in ? sample.TextOf(got) == sample.TextOf(sample.Readable(3, 62))
                            : got == sample.Sealed(3, 62);
      CONFORMANCE_REQUIRE(right && drop == DropReason::kNone, choice.Text() + ": wrong answer");
    }
  }
  const OffloadStats after = b->device().offload_stats();
  CONFORMANCE_REQUIRE(after.slots_used == before.slots_used && after.sealed == before.sealed &&
                          after.opened == before.opened,
                      "the loopback takes a slot or is counted");
  CONFORMANCE_REQUIRE(b->wire() == nullptr || b->wire()->sent() == 0, "a looped packet left");
  return Kept();
}

}  // namespace

std::span<const Check> DriverLifeChecks() {
  static constexpr Check kChecks[] = {
      {"down-returns", "while it is down, what it cannot seal comes back as it was",
       With<DownReturns, Need::kFaults>},
      {"down-installs-nothing", "while it is down, it takes no SA",
       With<DownInstallsNothing, Need::kFaults>},
      {"reset-erases", "a reset erases all keys, reports them and voids their handles",
       With<ResetErases, Need::kFaults>},
      {"state-rings", "the bell is rung when its state changes", With<StateRings, Need::kFaults>},
      {"packets-given-back", "every packet is given back", With<PacketsComeBack, Need::kWire>},
      {"close-in-flight", "it can be closed while packets are in it",
       With<ClosesInFlight, Need::kWire>},
      {"opens-again", "it can be opened again after close", ClosesTwice},
      {"two-devices", "two devices of the driver share nothing", TwoDevices},
      {"threads", "two workers and control do not disturb each other", Threads},
      {"loopback-answers", "the loopback gives known answers and leaves no trace",
       With<KnownAnswers, Need::kLoopback>},
  };
  return kChecks;
}

}  // namespace cygnet::conformance
