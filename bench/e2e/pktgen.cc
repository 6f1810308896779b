// Sends numbered, timestamped UDP packets from one network namespace to another at a given rate.
// Reports loss, duplicates, reordering and latency. One process runs both ends, so that they share
// a clock. Prints one line of JSON. With --interface both ends are packet sockets.
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <cstdio>
#include <optional>
#include <thread>
#include <vector>

#include "latency_histogram.h"
#include "packet_batch.h"
#include "sockets.h"

namespace cygnet::bench {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;
constexpr uint32_t kLargestFrame = 1500 + 14;
constexpr uint64_t kLongestDrain = 3 * kSecond;
constexpr uint32_t kImix[] = {64, 570, 64, 64, 570, 64, 1400, 64, 570, 64, 570, 64};

struct Options {
  std::string from, to, source, target, size = "64";
  std::string interface;  // not empty: packet sockets on this interface of both namespaces
  std::string source_mac, target_mac;
  uint16_t port = 7100;
  double rate = 1000;
  double seconds = 1;
  double drain = 0.2;  // seconds without a packet after which the run is over
};

struct Result {
  LatencyHistogram latency;
  uint64_t twice = 0;
  uint64_t late = 0;  // arrived after a later one
  uint64_t bytes = 0;
};

uint64_t Clock(clockid_t id) {
  timespec t{};
  clock_gettime(id, &t);
  return static_cast<uint64_t>(t.tv_sec) * kSecond + static_cast<uint64_t>(t.tv_nsec);
}

uint64_t Now() { return Clock(CLOCK_MONOTONIC); }

void SleepUntil(uint64_t when) {
  const timespec t{.tv_sec = static_cast<time_t>(when / kSecond),
                   .tv_nsec = static_cast<long>(when % kSecond)};
  clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, nullptr);
}

class Generator {
 public:
  explicit Generator(const Options& options) : options_(options) {
    const sockaddr_in to = SocketAddress(options.target, options.port);
    if (options.interface.empty()) {
      in_ = UdpSocketIn(options.to, options.target, options.port);
      out_ = UdpSocketIn(options.from, options.source, static_cast<uint16_t>(options.port + 1));
      if (connect(out_, reinterpret_cast<const sockaddr*>(&to), sizeof(to)) != 0) Fail("connect");
    } else {
      in_ = PacketSocketIn(options.to, options.interface, options.port);
      out_ = PacketSocketIn(options.from, options.interface, 0);
      headers_.emplace(options.source_mac, options.target_mac,
                       SocketAddress(options.source, static_cast<uint16_t>(options.port + 1)), to);
    }
    const timeval wait{.tv_sec = 0, .tv_usec = 20'000};
    setsockopt(in_, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
    LimitReceiveBuffer(in_);
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
        "\"sent_pps\": %.0f, \"received_pps\": %.0f, \"bytes\": %lu, \"p50_us\": %.1f, \"p99_us\": "
        "%.1f, "
        "\"p999_us\": %.1f, \"max_us\": %.1f, \"lag_ms\": %.1f, \"send_ns\": %.0f, "
        "\"receive_ns\": %.0f}\n",
        sent_, received, sent_ - received, result_.twice, result_.late,
        static_cast<double>(sent_) / sent_seconds_,
        static_cast<double>(received) / (sent_seconds_ + static_cast<double>(lag_) * 1e-9),
        result_.bytes, us(0.5), us(0.99), us(0.999),
        static_cast<double>(result_.latency.max()) * 1e-3, static_cast<double>(lag_) * 1e-6,
        PerPacket(sender_cpu_, sent_), PerPacket(receiver_cpu_, received));
  }

 private:
  static double PerPacket(uint64_t nanoseconds, uint64_t packets) {
    return packets == 0 ? 0 : static_cast<double>(nanoseconds) / static_cast<double>(packets);
  }

  uint32_t PayloadOf(uint64_t number) const {
    return (size_ == 0 ? kImix[number % std::size(kImix)] : size_) - kIpHeaders;
  }

  // Sends at most one batch at once. When late it sends as fast as it can, and it stops when the
  // time is over: `sent_pps` is the rate that it reached.
  void Send() {
    prctl(PR_SET_TIMERSLACK, 1000);
    PacketBatch batch(kLargestFrame, headers());
    const uint64_t cpu = Clock(CLOCK_THREAD_CPUTIME_ID);
    const uint64_t begin = Now();
    const auto length = static_cast<uint64_t>(options_.seconds * static_cast<double>(kSecond));
    uint64_t now = begin;
    while (sent_ < expected_ && now - begin < length + length / 20) {
      const double elapsed = static_cast<double>(now - begin) * 1e-9;
      const auto due = std::min(static_cast<uint64_t>(elapsed * options_.rate) + 1, expected_);
      const auto count =
          static_cast<uint32_t>(std::min<uint64_t>(due - std::min(due, sent_), kBatch));
      for (uint32_t i = 0; i < count; ++i) {
        const uint32_t payload = PayloadOf(sent_ + i);
        batch.SetPayload(i, payload);
        if (headers_) FrameHeaders::SetLengths(batch.packet(i), payload);
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
    sender_cpu_ = Clock(CLOCK_THREAD_CPUTIME_ID) - cpu;
  }

  void Receive() {
    PacketBatch batch(2048, headers());
    uint64_t next = 0;
    while (!done_) {
      const int n = recvmmsg(in_, batch.data(), kBatch, MSG_WAITFORONE, nullptr);
      if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) break;
      const uint64_t now = Now();
      for (uint32_t i = 0; n > 0 && i < static_cast<uint32_t>(n); ++i) {
        if (!batch.HasStamp(i)) continue;
        const Stamp stamp = batch.Read(i);
        if (stamp.run != run_ || stamp.number >= expected_) continue;
        result_.latency.Add(now - stamp.sent_at);
        result_.bytes += batch.payload(i) + kIpHeaders;
        result_.twice += seen_[stamp.number];
        seen_[stamp.number] = true;
        result_.late += stamp.number < next;
        next = std::max(next, stamp.number + 1);
        last_arrival_ = now;
      }
      arrived_ = result_.latency.count() - result_.twice;
    }
    receiver_cpu_ = Clock(CLOCK_THREAD_CPUTIME_ID);
  }

  const Options options_;
  const uint32_t size_ =
      options_.size == "imix" ? 0 : static_cast<uint32_t>(std::stoul(options_.size));
  std::span<const uint8_t> headers() const {
    return headers_ ? headers_->bytes() : std::span<const uint8_t>();
  }

  std::optional<FrameHeaders> headers_;  // of packet sockets
  int in_ = -1;
  int out_ = -1;
  uint64_t expected_ = 0;
  uint64_t sent_ = 0;
  double sent_seconds_ = 1;
  uint64_t sender_cpu_ = 0;  // time of its thread, with what the kernel does in it
  uint64_t receiver_cpu_ = 0;
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
  auto* interface = app.add_option("--interface", options.interface,
                                   "packet sockets on this interface of both namespaces");
  app.add_option("--source-mac", options.source_mac, "MAC address to send from")->needs(interface);
  auto* mac = app.add_option("--target-mac", options.target_mac, "MAC address of the next hop");
  interface->needs(mac->needs(interface));
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
