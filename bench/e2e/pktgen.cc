// Sends numbered, timestamped UDP packets from one network namespace to another at a given rate.
// Reports loss, duplicates, reordering and latency. One process runs both ends, so that they share
// a clock. Prints one line of JSON.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <thread>
#include <vector>

#include "latency_histogram.h"

namespace cygnet::bench {
namespace {

constexpr uint32_t kBatch = 32;
constexpr uint32_t kHeaders = 28;  // IPv4 and UDP: sizes are those of the IP packet
constexpr uint64_t kSecond = 1'000'000'000;
constexpr uint64_t kLongestDrain = 3 * kSecond;
constexpr int kReceiveBuffer = 4 << 20;  // small enough not to hide an unsustainable rate
constexpr uint32_t kImix[] = {64, 570, 64, 64, 570, 64, 1400, 64, 570, 64, 570, 64};

struct Options {
  std::string from, to, source, target, size = "64";
  uint16_t port = 7100;
  double rate = 1000;
  double seconds = 1;
  double drain = 0.2;  // seconds without a packet after which the run is over
};

struct Stamp {
  uint64_t run;  // distinguishes late packets of an earlier run
  uint64_t number;
  uint64_t sent_at;
};

struct Result {
  LatencyHistogram latency;
  uint64_t twice = 0;
  uint64_t late = 0;  // arrived after a later one
  uint64_t bytes = 0;
};

uint64_t Now() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<uint64_t>(t.tv_sec) * kSecond + static_cast<uint64_t>(t.tv_nsec);
}

void SleepUntil(uint64_t when) {
  const timespec t{.tv_sec = static_cast<time_t>(when / kSecond),
                   .tv_nsec = static_cast<long>(when % kSecond)};
  clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, nullptr);
}

[[noreturn]] void Fail(const std::string& what) {
  throw std::runtime_error(what + ": " + std::strerror(errno));
}

sockaddr_in SocketAddress(const std::string& text, uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  if (inet_pton(AF_INET, text.c_str(), &address.sin_addr) != 1) {
    throw std::runtime_error("not an IPv4 address: " + text);
  }
  return address;
}

// A socket stays in the namespace that it was created in.
int SocketIn(const std::string& ns, const std::string& address, uint16_t port) {
  const int fd = open(ns.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0 || setns(fd, CLONE_NEWNET) != 0) Fail(ns);
  close(fd);
  const int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const sockaddr_in local = SocketAddress(address, port);
  if (s < 0 || bind(s, reinterpret_cast<const sockaddr*>(&local), sizeof(local)) != 0) {
    Fail("bind " + address);
  }
  return s;
}

// A batch of packets with fixed buffers; only the stamps change.
class Batch {
 public:
  explicit Batch(uint32_t bytes) : bytes_(kBatch * bytes), iov_(kBatch), messages_(kBatch) {
    for (uint32_t i = 0; i < kBatch; ++i) {
      iov_[i] = {.iov_base = bytes_.data() + i * bytes, .iov_len = bytes};
      messages_[i] = {};
      messages_[i].msg_hdr.msg_iov = &iov_[i];
      messages_[i].msg_hdr.msg_iovlen = 1;
    }
  }
  void SetLength(uint32_t i, uint32_t bytes) { iov_[i].iov_len = bytes; }
  void Write(uint32_t i, const Stamp& stamp) {
    std::memcpy(iov_[i].iov_base, &stamp, sizeof(stamp));
  }
  Stamp Read(uint32_t i) const {
    Stamp stamp;
    std::memcpy(&stamp, iov_[i].iov_base, sizeof(stamp));
    return stamp;
  }
  uint32_t received_bytes(uint32_t i) const { return messages_[i].msg_len; }
  mmsghdr* data() { return messages_.data(); }

 private:
  std::vector<uint8_t> bytes_;
  std::vector<iovec> iov_;
  std::vector<mmsghdr> messages_;
};

class Generator {
 public:
  explicit Generator(const Options& options) : options_(options) {
    in_ = SocketIn(options.to, options.target, options.port);
    const timeval wait{.tv_sec = 0, .tv_usec = 20'000};
    setsockopt(in_, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
    if (setsockopt(in_, SOL_SOCKET, SO_RCVBUFFORCE, &kReceiveBuffer, sizeof(int)) != 0) {
      setsockopt(in_, SOL_SOCKET, SO_RCVBUF, &kReceiveBuffer, sizeof(int));
    }
    out_ = SocketIn(options.from, options.source, static_cast<uint16_t>(options.port + 1));
    const sockaddr_in to = SocketAddress(options.target, options.port);
    if (connect(out_, reinterpret_cast<const sockaddr*>(&to), sizeof(to)) != 0) Fail("connect");
    expected_ = static_cast<uint64_t>(options.rate * options.seconds);
    seen_.assign(expected_, false);
  }
  ~Generator() {
    close(in_);
    close(out_);
  }

  void Run() {
    std::thread receiver([this] { Receive(); });
    Send();
    const uint64_t end = Now();
    const auto quiet = static_cast<uint64_t>(options_.drain * static_cast<double>(kSecond));
    while (arrived_ < sent_ && Now() - std::max(end, last_arrival_.load()) < quiet &&
           Now() - end < kLongestDrain) {
      SleepUntil(Now() + kSecond / 1000);
    }
    done_ = true;
    receiver.join();
    if (last_arrival_ > end) lag_ = last_arrival_ - end;
  }

  void Print() const {
    const uint64_t received = result_.latency.count() - result_.twice;
    const auto us = [this](double q) {
      return static_cast<double>(result_.latency.Quantile(q)) * 1e-3;
    };
    std::printf(
        "{\"sent\": %lu, \"received\": %lu, \"lost\": %lu, \"twice\": %lu, \"late\": %lu, "
        "\"sent_pps\": %.0f, \"bytes\": %lu, \"p50_us\": %.1f, \"p99_us\": %.1f, "
        "\"p999_us\": %.1f, \"max_us\": %.1f, \"lag_ms\": %.1f}\n",
        sent_, received, sent_ - received, result_.twice, result_.late,
        static_cast<double>(sent_) / sent_seconds_, result_.bytes, us(0.5), us(0.99), us(0.999),
        static_cast<double>(result_.latency.max()) * 1e-3, static_cast<double>(lag_) * 1e-6);
  }

 private:
  uint32_t PayloadOf(uint64_t number) const {
    return (size_ == 0 ? kImix[number % std::size(kImix)] : size_) - kHeaders;
  }

  // Sends at most one batch at once. When late it sends as fast as it can, and it stops when the
  // time is over: `sent_pps` is the rate that it reached.
  void Send() {
    prctl(PR_SET_TIMERSLACK, 1000);
    Batch batch(1500);
    const uint64_t begin = Now();
    const auto length = static_cast<uint64_t>(options_.seconds * static_cast<double>(kSecond));
    uint64_t now = begin;
    while (sent_ < expected_ && now - begin < length + length / 20) {
      const double elapsed = static_cast<double>(now - begin) * 1e-9;
      const auto due = std::min(static_cast<uint64_t>(elapsed * options_.rate) + 1, expected_);
      const auto count =
          static_cast<uint32_t>(std::min<uint64_t>(due - std::min(due, sent_), kBatch));
      for (uint32_t i = 0; i < count; ++i) {
        batch.SetLength(i, PayloadOf(sent_ + i));
        batch.Write(i, {.run = run_, .number = sent_ + i, .sent_at = now});
      }
      const int n = count == 0 ? 0 : sendmmsg(out_, batch.data(), count, 0);
      if (n < 0 && errno != ENOBUFS && errno != EAGAIN) Fail("sendmmsg");
      if (n > 0) sent_ += static_cast<uint64_t>(n);
      if (count == 0) {
        SleepUntil(begin + static_cast<uint64_t>(static_cast<double>(sent_) / options_.rate * 1e9));
      }
      now = Now();
    }
    sent_seconds_ = static_cast<double>(now - begin) * 1e-9;
  }

  void Receive() {
    Batch batch(2048);
    uint64_t next = 0;
    while (!done_) {
      const int n = recvmmsg(in_, batch.data(), kBatch, MSG_WAITFORONE, nullptr);
      if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) return;
      const uint64_t now = Now();
      for (uint32_t i = 0; n > 0 && i < static_cast<uint32_t>(n); ++i) {
        const Stamp stamp = batch.Read(i);
        if (batch.received_bytes(i) < sizeof(Stamp) || stamp.run != run_ ||
            stamp.number >= expected_) {
          continue;
        }
        result_.latency.Add(now - stamp.sent_at);
        result_.bytes += batch.received_bytes(i) + kHeaders;
        result_.twice += seen_[stamp.number];
        seen_[stamp.number] = true;
        result_.late += stamp.number < next;
        next = std::max(next, stamp.number + 1);
        last_arrival_ = now;
      }
      arrived_ = result_.latency.count() - result_.twice;
    }
  }

  const Options options_;
  const uint32_t size_ =
      options_.size == "imix" ? 0 : static_cast<uint32_t>(std::stoul(options_.size));
  int in_ = -1;
  int out_ = -1;
  uint64_t expected_ = 0;
  uint64_t sent_ = 0;
  double sent_seconds_ = 1;
  std::vector<bool> seen_;
  Result result_;
  const uint64_t run_ = Now();
  uint64_t lag_ = 0;  // of the last packet after the end of sending
  std::atomic<uint64_t> arrived_ = 0;
  std::atomic<uint64_t> last_arrival_ = 0;
  std::atomic<bool> done_ = false;
};

}  // namespace
}  // namespace cygnet::bench

int main(int argc, char** argv) {
  cygnet::bench::Options options;
  CLI::App app("UDP packets from one network namespace to another");
  app.add_option("--from", options.from, "namespace of the sender, a file")->required();
  app.add_option("--to", options.to, "namespace of the receiver, a file")->required();
  app.add_option("--source", options.source, "address to send from")->required();
  app.add_option("--target", options.target, "address to send to")->required();
  app.add_option("--size", options.size, "bytes of the IP packet (64 to 1500), or imix");
  app.add_option("--rate", options.rate, "packets per second");
  app.add_option("--seconds", options.seconds, "duration of sending");
  app.add_option("--drain", options.drain, "seconds to wait for the last packets");
  app.add_option("--port", options.port, "UDP port of the receiver; the sender's is the next");
  CLI11_PARSE(app, argc, argv);
  try {
    cygnet::bench::Generator generator(options);
    generator.Run();
    generator.Print();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "pktgen: %s\n", error.what());
    return 1;
  }
}
