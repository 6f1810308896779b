// PcapPort: capture files in place of a wire. What a file (pcap or pcapng, Ethernet) holds arrives,
// as fast as it is taken or as it was recorded; what is sent is written to another, as pcap. The
// file to replay is waited for: whoever puts it there (by a rename, so that it is whole) says when.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "device/driver.h"
#include "device/port_counters.h"

struct pcap;
struct pcap_dumper;

namespace cygnet {

// Queue 0 receives; all send. For tests and replay: files are read and written in the workers.
class PcapPort final : public Port {
 public:
  // Behind params.guard.
  static Result<std::unique_ptr<Port>> Create(const DriverParams& params, uint32_t queues);
  ~PcapPort() override;

  std::string_view name() const override { return name_; }
  MacAddress mac() const override { return files_.mac; }
  uint32_t mtu() const override { return kMtu; }
  uint32_t queues() const override { return queues_; }
  PortStats stats() const override;

  uint32_t Receive(uint32_t queue, PacketBatch* out, DropSink* sink) override;
  void Transmit(uint32_t queue, PacketBatch* batch, DropSink* sink) override;
  int wait_fd(uint32_t queue) const override { return queue == 0 ? timer_.get() : -1; }
  bool PrepareWait(uint32_t queue) override;
  void FinishWait(uint32_t queue) override;

 private:
  static constexpr uint32_t kMtu = 1500;
  enum class State : uint8_t { kWaiting, kReplaying, kDone };

  PcapPort(std::string name, PcapFiles files, uint32_t queues);
  Status OpenOutput();
  void LookForInput();
  bool Advance();
  uint64_t DueNs() const;
  Packet* TakeFrame(DropSink* sink);
  void Finish(const std::string& how);

  const std::string name_;
  const PcapFiles files_;
  const uint32_t queues_;
  UniqueFd timer_;
  // Of the thread of queue 0.
  State state_ = State::kDone;
  pcap* input_ = nullptr;
  const uint8_t* frame_ = nullptr;  // read, not yet handed over; libpcap's
  uint32_t frame_bytes_ = 0;        // of it that are there
  uint32_t frame_length_ = 0;       // that it had on its wire
  uint64_t frame_ns_ = 0;           // its time stamp
  uint64_t first_ns_ = 0;           // of the first frame
  uint64_t started_ns_ = 0;         // when that was handed over
  uint64_t look_again_ns_ = 0;
  // Under the lock.
  std::mutex mutex_;
  pcap* output_ = nullptr;
  pcap_dumper* dumper_ = nullptr;
  bool failed_ = false;

  PortCounters counters_;
};

}  // namespace cygnet
