// InsidePort: an interface of the host whose packets for protected networks go straight to the
// workers (`[[device]] inside`). The interface stays the host's: an XDP program takes only what
// InsideTables name, the kernel gets the rest. It may come and go: the port opens it again.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/quiescence.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "device/inside/inside_program.h"
#include "device/port.h"
#include "device/wires/af_xdp.h"
#include "packet/packet_pool.h"

namespace cygnet {

struct InsidePortParams {
  std::string interface;
  uint8_t place = 0;  // InsideTables::Place::port
  const InsideTables* tables = nullptr;
  PacketPool* pool = nullptr;
  uint32_t workers = 1;
  uint32_t sharers = 1;  // ports that receive into the pool
  Quiescence* quiescence = nullptr;
};

// One queue for each worker. A worker receives from every queue of the interface whose number
// modulo the workers is its own. If there are fewer queues than workers, several send by one.
class InsidePort final : public Port {
 public:
  explicit InsidePort(InsidePortParams params);
  ~InsidePort() override;

  std::string_view name() const override { return params_.interface; }
  MacAddress mac() const override { return state_.mac(); }
  uint32_t mtu() const override { return state_.mtu(); }
  uint32_t queues() const override { return params_.workers; }
  PortStats stats() const override;
  LinkStatus link() const override { return state_.status(); }

  uint32_t Receive(uint32_t worker, PacketBatch* out, DropSink* sink) override;
  void Transmit(uint32_t worker, PacketBatch* batch, DropSink* sink) override;
  int wait_fd(uint32_t worker) const override { return epolls_[worker].get(); }
  bool PrepareWait(uint32_t) override { return true; }  // the descriptor itself becomes readable
  void FinishWait(uint32_t) override {}

  // --- Control thread ---
  // Looks at the interface: opens it if it is there, closes it if it is gone or was replaced, and
  // follows its addresses and state. True: something changed.
  bool Look();
  // No packet is taken any more; those that wait may still be received.
  void Shut();
  int ifindex() const { return ifindex_; }
  // How packets are taken: "native", "generic"; empty while the interface is not open.
  std::string mode() const;
  // Why it cannot be opened; empty: it can, or it does not exist.
  const std::string& problem() const { return problem_; }

 private:
  // What exists while the interface is open. The program ends first.
  struct Opened {
    std::unique_ptr<XdpPort> sockets;
    std::unique_ptr<InsideProgram> program;
    InsideProgram::Mode mode = InsideProgram::Mode::kNative;
    uint32_t queues = 1;
    bool finish_checksums = false;
    std::vector<std::mutex> sharing;  // for each queue, if workers share it
  };

  Result<std::unique_ptr<Opened>> Open(const WireFacts& facts);
  Status AttachProgram(const WireFacts& facts, Opened* opened) const;
  Status Watch(const Opened& opened, int operation) const;
  bool OpenIfThere(const PortLink& link);
  void Close();
  std::unique_lock<std::mutex> Claim(Opened* opened, uint32_t queue) const;

  const InsidePortParams params_;
  WireState state_;
  std::vector<UniqueFd> epolls_;  // one for each worker
  std::atomic<Opened*> opened_{nullptr};
  int ifindex_ = 0;
  PortLink seen_{};
  std::string problem_;
  bool busy_ = false;  // somebody else has it, who may end: an earlier socket, another program
  PortStats before_;   // of earlier openings
};

// Computes the checksum of a TCP or UDP packet if its sender left it unfinished, for a NIC that is
// not there: then the field has the sum of the pseudo-header. False: it was finished.
bool FinishLeftChecksum(Packet* packet);

}  // namespace cygnet
