#include "conformance/driver_bench.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <thread>
#include <utility>

namespace cygnet::conformance {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kPatience{2000};
// How long a driver with threads of its own may take to do what it must not do.
constexpr milliseconds kQuiet{15};

// Between the adapter and the driver: *handle stays as it is when install_sa refuses.
decltype(cygnet_driver::install_sa) real_install = nullptr;
bool handle_changed = false;

int32_t WitnessInstall(void* device, const cygnet_sa* sa, uint32_t* handle,
                       cygnet_refusal* refusal) {
  const uint32_t before = *handle = 0xdeadbeef;
  const int32_t result = real_install(device, sa, handle, refusal);
  if (result < 0 && *handle != before) handle_changed = true;
  return result;
}

}  // namespace

std::string DriverBench::Witnessed() {
  return handle_changed ? "install_sa refuses an SA and changes *handle" : "";
}

::cygnet::Result<std::unique_ptr<DriverBench>> DriverBench::Open(const Subject& subject,
                                                                 uint32_t queues) {
  if (subject.isolated() != nullptr) WatchIsolation();
  auto plugin = LoadDriver(subject.path, PluginTrust::kAnyOwner, subject.isolated());
  if (!plugin) return plugin.error();
  std::unique_ptr<DriverBench> bench(new DriverBench);
  bench->plugin_ = *std::move(plugin);
  real_install = std::exchange(bench->plugin_.driver.install_sa, WitnessInstall);
  std::unique_ptr<MemoryWire> wire;
  const uint32_t wants = bench->plugin_.driver.wire;
  if (wants != CYGNET_WIRE_NONE) {
    wire = std::make_unique<MemoryWire>(wants == CYGNET_WIRE_EACH ? queues : 1);
    bench->wire_ = wire.get();
  }
  auto device = PluginDevice::Open(bench->plugin_, {.name = "conformance0",
                                                    .queues = queues,
                                                    .pools = &bench->pools_,
                                                    .wire = std::move(wire),
                                                    .options = subject.options});
  if (!device) return device.error();
  bench->device_ = *std::move(device);
  bench->device_->SetBell(&bench->bell_);
  bench->choices_ = ChoicesOf(bench->device_->plugin_caps());
  return bench;
}

EspSample DriverBench::Sample(SampleOptions options) const {
  if (!choices_.empty()) return Sample(choices_[0], options);
  const Choice gcm{.encryption = FindAlgorithm(AlgorithmKind::kAead, "rfc4106(gcm(aes))"),
                   .key_bytes = 16,
                   .icv_bytes = 16};
  return Sample(gcm, options);
}

void DriverBench::StartClaimed() {
  if (seals()) (void)Start(Sample({.spi = 0x3003}).spec(), Half::kOutbound);
  if (opens()) (void)Start(Sample().spec(), Half::kInbound);
}

EspSample DriverBench::Sample(const Choice& choice, SampleOptions options) const {
  const OffloadCaps& caps = device_->caps();
  options.ipv6 = options.ipv6 || !caps.ipv4;
  options.mode = caps.tunnel      ? SaMode::kTunnel
                 : caps.transport ? SaMode::kTransport
                                  : SaMode::kBeet;
  return EspSample(choice, options);
}

std::optional<OffloadHandle> DriverBench::Install(const SaSpec& spec, Half half, uint64_t highest) {
  const SaSpec copy = spec.Clone();
  return Install({copy, half, highest});
}

std::optional<OffloadHandle> DriverBench::Install(const OffloadSa& sa) {
  OffloadHandle handle;
  auto refused = device_->InstallSa(sa, &handle);
  if (!refused.has_value()) return handle;
  refusal = *std::move(refused);
  return std::nullopt;
}

std::optional<OffloadHandle> DriverBench::Start(const SaSpec& spec, Half half, uint64_t highest) {
  const auto handle = Install(spec, half, highest);
  if (handle.has_value()) device_->StartSa(*handle);
  return handle;
}

DriverBench::Out DriverBench::ToSeal(const EspSample& sample, OffloadHandle handle, uint64_t seq,
                                     std::size_t bytes) {
  return {.frame = sample.Readable(seq, bytes),
          .meta = {.handle = handle,
                   .esn_high = static_cast<uint32_t>(seq >> 32),
                   .esp_offset = sample.esp_offset(),
                   .status = OffloadStatus::kSealRequested}};
}

void DriverBench::Transmit(const std::vector<Out>& packets, uint32_t queue) {
  PacketBatch batch;
  for (std::size_t i = 0; i < packets.size(); ++i) {
    const Bytes& frame = packets[i].frame;
    Packet* packet = caches_.TakeFor(static_cast<uint32_t>(frame.size()));
    if (packet == nullptr) break;
    std::memcpy(packet->Append(static_cast<uint32_t>(frame.size())), frame.data(), frame.size());
    packet->l3_offset = kEthernetHeader;
    packet->offload = packets[i].meta;
    packet->SetSaNumber(packets[i].meta.handle.value ^ 0x5a5a);
    batch.Push(packet);
    if (batch.full() || i + 1 == packets.size()) device_->Transmit(queue, &batch, &sink_);
  }
}

void DriverBench::Poll(uint32_t queue) {
  PacketBatch batch;
  (void)device_->Receive(queue, &batch, &sink_);
  for (Packet* packet : batch.packets()) {
    up_.push_back({Bytes(packet->bytes().begin(), packet->bytes().end()), packet->offload,
                   packet->sa_number()});
    sink_.Recycle(packet);
  }
  batch.ReleaseAll();
}

bool DriverBench::Wait(const std::function<bool()>& done) {
  for (const auto due = steady_clock::now() + kPatience; steady_clock::now() < due;) {
    if (done()) return true;
    std::this_thread::sleep_for(milliseconds(1));
  }
  return done();
}

bool DriverBench::HearsBell(const std::function<void()>& cause) {
  bell_.Disarm();
  bell_.Arm();
  cause();
  eventfd_t rung = 0;
  return Wait([&] { return eventfd_read(bell_.fd(), &rung) == 0; });
}

std::vector<Bytes> DriverBench::Sent(std::size_t wanted) {
  const auto look = [&] {
    Poll(0);
    for (Bytes& frame : wire_->TakeSent()) sent_.push_back(std::move(frame));
    return sent_.size() >= wanted;
  };
  if (wanted > 0) (void)Wait(look);
  if (wanted == 0) std::this_thread::sleep_for(kQuiet);
  (void)look();
  return std::exchange(sent_, {});
}

std::vector<Bytes> DriverBench::Send(const std::vector<Out>& packets, std::size_t wanted) {
  Transmit(packets);
  return Sent(wanted);
}

std::vector<DriverBench::Up> DriverBench::Received(std::size_t wanted) {
  const auto look = [&] {
    Poll(0);
    return up_.size() >= wanted;
  };
  if (wanted > 0) (void)Wait(look);
  if (wanted == 0) std::this_thread::sleep_for(kQuiet);
  (void)look();
  return std::exchange(up_, {});
}

std::vector<DriverBench::Up> DriverBench::Arrive(const std::vector<Bytes>& frames) {
  for (const Bytes& frame : frames) wire_->Feed(0, frame);
  return Received(frames.size());
}

std::vector<OffloadHandle> DriverBench::Erased(std::size_t wanted) {
  std::vector<OffloadHandle> erased;
  const auto look = [&] {
    Poll(0);
    for (const OffloadHandle handle : device_->TakeErased()) erased.push_back(handle);
    return erased.size() >= wanted;
  };
  if (wanted > 0) (void)Wait(look);
  if (wanted == 0) std::this_thread::sleep_for(kQuiet);
  (void)look();
  return erased;
}

std::optional<OffloadStats> DriverBench::StatsWhen(
    const std::function<bool(const OffloadStats&)>& done) {
  OffloadStats stats;
  const bool reached = Wait([&] {
    stats = device_->offload_stats();
    return done(stats);
  });
  return reached ? std::optional(stats) : std::nullopt;
}

}  // namespace cygnet::conformance
