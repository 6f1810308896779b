#include "datapath/worker.h"

#include <poll.h>
#include <pthread.h>

#include <string>

namespace cygnet {

Worker::Worker(DataPath* path, uint32_t number, PacketPools* pools, CryptoEngine* engine,
               const Clock* clock)
    : context_(path, number, pools, engine),
      outbound_(&context_),
      inbound_(&context_),
      clock_(clock),
      reader_(path->readers[number]) {}

void Worker::Start() {
  thread_ = std::thread([this] { Loop(); });
  const std::string name = "cygnet-w" + std::to_string(context_.number);
  pthread_setname_np(thread_.native_handle(), name.c_str());
}

void Worker::Stop() {
  stop_.store(true);
  stop_bell_.Ring();
  if (thread_.joinable()) thread_.join();
}

void Worker::Loop() {
  reader_->Online();
  while (!stop_.load(std::memory_order_relaxed)) {
    if (RunOnce() == 0) Sleep();
  }
  reader_->Offline();
}

uint32_t Worker::RunOnce() {
  reader_->Quiescent();
  context_.now = clock_->WallSeconds();
  uint32_t received = 0;
  DataPath& path = *context_.path;
  for (std::size_t i = 0; i < path.interfaces.size(); ++i) {
    PacketBatch batch;
    if (path.interfaces[i].wire->Receive(context_.number, &batch, &context_.sink) > 0) {
      received += batch.size();
      inbound_.Run(static_cast<uint8_t>(i), &batch);
    }
    if (path.interfaces[i].host->Receive(context_.number, &batch, &context_.sink) > 0) {
      received += batch.size();
      outbound_.Run(static_cast<uint8_t>(i), &batch);
    }
  }
  return received;
}

// Nothing to do: sleeps until a port has something. Offline meanwhile, so that control need not
// wait.
void Worker::Sleep() {
  constexpr std::size_t kMaxFds = 64;
  std::array<pollfd, kMaxFds> fds;
  std::size_t n = 0;
  DataPath& path = *context_.path;
  stop_bell_.Arm();
  bool idle = !stop_.load();
  fds[n++] = {stop_bell_.fd(), POLLIN, 0};
  for (Interface& interface : path.interfaces) {
    for (Port* port : {interface.host, interface.wire}) {
      idle = port->PrepareWait(context_.number) && idle;
      if (n < kMaxFds) fds[n++] = {port->wait_fd(context_.number), POLLIN, 0};
    }
  }
  if (idle) {
    reader_->Offline();
    (void)poll(fds.data(), n, 1000);
    reader_->Online();
  }
  for (Interface& interface : path.interfaces) {
    for (Port* port : {interface.host, interface.wire}) port->FinishWait(context_.number);
  }
  stop_bell_.Disarm();
}

}  // namespace cygnet
