// Driver "pcap": capture files in place of a wire. The frames of one file (pcap or pcapng,
// Ethernet) arrive at full speed or at their recorded times. Sent frames are written to another
// file as pcap. The port waits until the file to replay exists; put it there by a rename, so that
// it is complete.
#include <pcap/pcap.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>

#include "base/log.h"
#include "base/unique_fd.h"
#include "device/driver.h"
#include "device/port_counters.h"

namespace cygnet {
namespace {

// --- Options ---

enum class PcapSpeed : uint8_t { kFast, kRecorded };

constexpr std::array<NamedValue<PcapSpeed>, 2> kSpeeds = {{
    {"fast", PcapSpeed::kFast},
    {"recorded", PcapSpeed::kRecorded},
}};

struct PcapOptions {
  std::string read;   // replayed; empty: nothing arrives
  std::string write;  // for sent frames; empty: they are discarded
  PcapSpeed speed = PcapSpeed::kFast;
  MacAddress mac = {0x02, 0x43, 0x79, 0x67, 0x6e, 0x01};
  uint32_t mtu = 1500;
};

// Six hexadecimal pairs, separated by colons.
std::optional<MacAddress> ParseMac(const std::string& text) {
  MacAddress mac{};
  unsigned byte[6];
  int end = 0;
  if (std::sscanf(text.c_str(), "%2x:%2x:%2x:%2x:%2x:%2x%n", &byte[0], &byte[1], &byte[2], &byte[3],
                  &byte[4], &byte[5], &end) != 6 ||
      end != 17 || text.size() != 17) {
    return std::nullopt;
  }
  for (std::size_t i = 0; i < mac.size(); ++i) mac[i] = static_cast<uint8_t>(byte[i]);
  return mac;
}

Codec<MacAddress> UnicastMac() {
  return {"unicast MAC address",
          [](const TomlValue& value, MacAddress* out) -> Status {
            const auto* text = value.As<std::string>();
            if (text == nullptr) return WrongType("a string", value);
            const auto mac = ParseMac(*text);
            if (!mac || ((*mac)[0] & 1) != 0) {
              return MakeError(Errc::kInvalid, "\"" + *text + "\" is not a unicast MAC address");
            }
            *out = *mac;
            return {};
          },
          [](const MacAddress& m) {
            char text[18];
            std::snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2],
                          m[3], m[4], m[5]);
            return std::optional(TomlValue(std::string(text)));
          }};
}

const std::vector<Field<PcapOptions>>& PcapFields() {
  static const std::vector<Field<PcapOptions>> kFields = {
      {"pcap_read", &PcapOptions::read, Text(), "capture file to replay"},
      {"pcap_write", &PcapOptions::write, Text(), "capture file for sent frames"},
      {"pcap_speed", &PcapOptions::speed, OneOf(std::span<const NamedValue<PcapSpeed>>(kSpeeds)),
       "gaps between replayed frames"},
      {"pcap_mac", &PcapOptions::mac, UnicastMac(), "MAC address of the interface"},
      {"pcap_mtu", &PcapOptions::mtu, Number(1280, kLargestMtu), "MTU of the interface"},
  };
  return kFields;
}

Result<DeviceOptions> CheckOptions(const Options& options) {
  const auto read = ReadOptions(options, PcapFields());
  if (!read) return read.error();
  return DeviceOptions{.options = ShowOptions(options, PcapFields(), *read),
                       .owns_interface = false};
}

// --- The port ---

constexpr uint64_t kNs = 1'000'000'000;
constexpr uint64_t kLookEveryNs = 50'000'000;
constexpr int kSnapLength = 262'144;

uint64_t NowNs() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<uint64_t>(t.tv_sec) * kNs + static_cast<uint64_t>(t.tv_nsec);
}

// Queue 0 receives; all queues send. For tests and replay: workers read and write the files.
class PcapPort final : public Port {
 public:
  static Result<std::unique_ptr<Port>> Create(const DriverParams& params);
  ~PcapPort() override;

  std::string_view name() const override { return name_; }
  MacAddress mac() const override { return files_.mac; }
  uint32_t mtu() const override { return files_.mtu; }
  uint32_t queues() const override { return queues_; }
  PortStats stats() const override;

  uint32_t Receive(uint32_t queue, PacketBatch* out, DropSink* sink) override;
  void Transmit(uint32_t queue, PacketBatch* batch, DropSink* sink) override;
  int wait_fd(uint32_t queue) const override { return queue == 0 ? timer_.get() : -1; }
  bool PrepareWait(uint32_t queue) override;
  void FinishWait(uint32_t queue) override;

 private:
  enum class State : uint8_t { kWaiting, kReplaying, kDone };

  PcapPort(std::string name, PcapOptions files, uint32_t queues);
  Status OpenOutput();
  void LookForInput();
  bool Advance();
  uint64_t DueNs() const;
  Packet* TakeFrame(DropSink* sink);
  void Finish(const std::string& how);

  const std::string name_;
  const PcapOptions files_;
  const uint32_t queues_;
  UniqueFd timer_;
  // Used by the thread of queue 0.
  State state_ = State::kDone;
  pcap* input_ = nullptr;
  const uint8_t* frame_ = nullptr;  // read, not yet handed over; libpcap owns it
  uint32_t frame_bytes_ = 0;        // bytes captured
  uint32_t frame_length_ = 0;       // bytes on its wire
  uint64_t frame_ns_ = 0;           // its time stamp
  uint64_t first_ns_ = 0;           // of the first frame
  uint64_t started_ns_ = 0;         // when the first frame was handed over
  uint64_t look_again_ns_ = 0;
  // Under the lock.
  std::mutex mutex_;
  pcap* output_ = nullptr;
  pcap_dumper* dumper_ = nullptr;
  bool failed_ = false;

  PortCounters counters_;
};

PcapPort::PcapPort(std::string name, PcapOptions files, uint32_t queues)
    : name_(std::move(name)),
      files_(std::move(files)),
      queues_(queues),
      timer_(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)),
      state_(files_.read.empty() ? State::kDone : State::kWaiting) {}

PcapPort::~PcapPort() {
  if (input_ != nullptr) pcap_close(input_);
  if (dumper_ != nullptr) pcap_dump_close(dumper_);
  if (output_ != nullptr) pcap_close(output_);
}

Result<std::unique_ptr<Port>> PcapPort::Create(const DriverParams& params) {
  auto options = ReadOptions(params.options, PcapFields());
  if (!options) return options.error();
  std::unique_ptr<PcapPort> port(new PcapPort(params.name, *std::move(options), params.queues));
  CYGNET_RETURN_IF_ERROR(port->OpenOutput());
  return std::unique_ptr<Port>(std::move(port));
}

Status PcapPort::OpenOutput() {
  if (files_.write.empty()) return {};
  output_ =
      pcap_open_dead_with_tstamp_precision(DLT_EN10MB, kSnapLength, PCAP_TSTAMP_PRECISION_NANO);
  if (output_ == nullptr) return MakeError(Errc::kNoMemory, "pcap_write: no memory");
  dumper_ = pcap_dump_open(output_, files_.write.c_str());
  if (dumper_ == nullptr) {
    return MakeError(Errc::kInvalid, std::string("pcap_write: ") + pcap_geterr(output_));
  }
  (void)pcap_dump_flush(dumper_);
  return {};
}

// --- Replay ---

void PcapPort::Finish(const std::string& how) {
  state_ = State::kDone;
  frame_ = nullptr;
  if (input_ != nullptr) pcap_close(input_);
  input_ = nullptr;
  Log(LogLevel::kInfo, "device " + name_ + ": replay of " + files_.read + ": " + how);
}

void PcapPort::LookForInput() {
  const uint64_t now = NowNs();
  if (now < look_again_ns_) return;
  look_again_ns_ = now + kLookEveryNs;
  if (access(files_.read.c_str(), F_OK) != 0) return;
  char error[PCAP_ERRBUF_SIZE] = "";
  input_ = pcap_open_offline_with_tstamp_precision(files_.read.c_str(), PCAP_TSTAMP_PRECISION_NANO,
                                                   error);
  if (input_ == nullptr) {
    Finish(error);
  } else if (pcap_datalink(input_) != DLT_EN10MB) {
    Finish("not an Ethernet capture");
  } else {
    state_ = State::kReplaying;
    Log(LogLevel::kInfo, "device " + name_ + ": replaying " + files_.read);
  }
}

// True: the next frame of the file is loaded.
bool PcapPort::Advance() {
  if (frame_ != nullptr) return true;
  pcap_pkthdr* header = nullptr;
  const int result = pcap_next_ex(input_, &header, &frame_);
  if (result != 1) {
    Finish(result == PCAP_ERROR_BREAK
               ? "done, " + std::to_string(stats().rx_packets) + " frames received"
               : std::string(pcap_geterr(input_)));
    return false;
  }
  frame_bytes_ = header->caplen;
  frame_length_ = header->len;
  frame_ns_ = static_cast<uint64_t>(header->ts.tv_sec) * kNs +
              static_cast<uint64_t>(header->ts.tv_usec);  // nanoseconds, as requested
  if (started_ns_ == 0) {
    started_ns_ = NowNs();
    first_ns_ = frame_ns_;
  }
  return true;
}

// A frame that is older than the first is due at once.
uint64_t PcapPort::DueNs() const {
  if (files_.speed != PcapSpeed::kRecorded || frame_ns_ < first_ns_) return 0;
  return started_ns_ + (frame_ns_ - first_ns_);
}

Packet* PcapPort::TakeFrame(DropSink* sink) {
  const uint8_t* bytes = std::exchange(frame_, nullptr);
  if (frame_bytes_ < frame_length_ || frame_bytes_ < kEthernetHeader) {
    sink->counters()->Add(DropReason::kPortBadFrame);
    return nullptr;
  }
  if (frame_bytes_ > kJumboFrame) {
    sink->counters()->Add(DropReason::kPortTooBig);
    return nullptr;
  }
  Packet* packet = sink->caches()->TakeFor(frame_bytes_);
  if (packet == nullptr) {
    sink->counters()->Add(DropReason::kNoBuffers);
    return nullptr;
  }
  std::memcpy(packet->Append(frame_bytes_), bytes, frame_bytes_);
  packet->l3_offset = kEthernetHeader;
  return packet;
}

uint32_t PcapPort::Receive(uint32_t queue, PacketBatch* out, DropSink* sink) {
  if (queue != 0) return 0;
  if (state_ == State::kWaiting) LookForInput();
  uint32_t received = 0;
  while (state_ == State::kReplaying && !out->full() && Advance()) {
    const uint64_t due = DueNs();
    if (due != 0 && due > NowNs()) break;
    Packet* packet = TakeFrame(sink);
    if (packet == nullptr) continue;
    counters_.Received(1, packet->length);
    out->Push(packet);
    ++received;
  }
  return received;
}

bool PcapPort::PrepareWait(uint32_t queue) {
  if (queue != 0 || state_ == State::kDone) return true;
  uint64_t due = look_again_ns_;
  if (state_ == State::kReplaying) {
    if (frame_ == nullptr) return false;  // not read ahead: there may be a frame
    due = DueNs();
  }
  const uint64_t now = NowNs();
  if (due <= now) return false;
  itimerspec when{};
  when.it_value.tv_sec = static_cast<time_t>((due - now) / kNs);
  when.it_value.tv_nsec = static_cast<long>((due - now) % kNs);
  (void)timerfd_settime(timer_.get(), 0, &when, nullptr);
  return true;
}

void PcapPort::FinishWait(uint32_t queue) {
  if (queue != 0) return;
  uint64_t expirations = 0;
  (void)!read(timer_.get(), &expirations, sizeof(expirations));
}

// --- Sent frames ---

void PcapPort::Transmit(uint32_t, PacketBatch* batch, DropSink* sink) {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  const std::lock_guard lock(mutex_);
  if (failed_) {
    batch->DropAll(DropReason::kPortRefused, sink);
    return;
  }
  for (Packet* packet : batch->packets()) {
    pcap_pkthdr header{};
    header.ts.tv_sec = now.tv_sec;
    header.ts.tv_usec = now.tv_nsec;  // the file uses nanoseconds
    header.caplen = packet->length;
    header.len = packet->length;
    if (dumper_ != nullptr) {
      pcap_dump(reinterpret_cast<uint8_t*>(dumper_), &header, packet->data());
    }
    counters_.Sent(1, packet->length);
    sink->Recycle(packet);
  }
  batch->ReleaseAll();
  if (dumper_ == nullptr || pcap_dump_flush(dumper_) == 0) return;
  failed_ = true;  // a file with a gap is not a valid record: it ends here
  Log(LogLevel::kError, "device " + name_ + ": cannot write " + files_.write + ": " +
                            std::strerror(errno) + "; no more frames are sent");
}

PortStats PcapPort::stats() const {
  PortStats total;
  counters_.AddTo(&total);
  return total;
}

}  // namespace

extern const DriverInfo kPcapDriver = {
    .name = "pcap",
    .help = "capture files in place of a wire",
    .keys = [] { return InfoOf(PcapFields()); },
    .check = CheckOptions,
    .open = PcapPort::Create,
};

}  // namespace cygnet
