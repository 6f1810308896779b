#include "cli/capture.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>

#include "base/errno_error.h"
#include "base/key_material.h"
#include "base/unique_fd.h"
#include "client/operator_client.h"

namespace cygnet {
namespace {

// pcapng block types, and the parts of them that matter here.
constexpr uint32_t kInterfaceStatistics = 5;
constexpr uint32_t kEnhancedPacket = 6;
constexpr std::size_t kSmallestBlock = 12;
constexpr std::size_t kStatisticsInterface = 8;  // offset
constexpr std::size_t kStatisticsOptions = 20;   // offset
constexpr uint16_t kIsbIfDrop = 5;

// How long the daemon may take to send the rest after the end was requested.
constexpr int kEndTimeoutMs = 2000;

template <typename T>
T Load(std::string_view bytes, std::size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof(value));
  return value;
}

// SIGINT and SIGTERM as a descriptor. Ignores SIGPIPE: a reader that is gone shows as EPIPE.
Result<UniqueFd> TakeSignals() {
  std::signal(SIGPIPE, SIG_IGN);
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  if (sigprocmask(SIG_BLOCK, &signals, nullptr) != 0) return ErrnoError("sigprocmask");
  UniqueFd fd(signalfd(-1, &signals, SFD_CLOEXEC));
  if (!fd.valid()) return ErrnoError("signalfd");
  return fd;
}

// A link is followed to a device or pipe (/dev/stdout) only: to a file, who made it would choose
// what is overwritten.
UniqueFd OpenNamed(const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (fd.valid() || errno != ELOOP) return fd;
  fd = UniqueFd(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  struct stat facts {};
  if (fd.valid() && fstat(fd.get(), &facts) == 0 && !S_ISREG(facts.st_mode)) return fd;
  errno = ELOOP;
  return UniqueFd();
}

// The file may hold plaintext, so only the caller may read it, even if it existed before. It is
// overwritten, as by tcpdump and dumpcap.
Result<UniqueFd> OpenOutput(const std::string& path) {
  if (path == "-") {
    UniqueFd fd(fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0));
    if (!fd.valid()) return ErrnoError("standard output");
    return fd;
  }
  UniqueFd fd = OpenNamed(path);
  if (!fd.valid() && errno == ELOOP) {
    return MakeError(Errc::kPermission, path + " is a symbolic link: name the file itself");
  }
  struct stat facts {};
  if (!fd.valid() || fstat(fd.get(), &facts) != 0) return ErrnoError(path);
  if (!S_ISREG(facts.st_mode)) return fd;
  if (facts.st_uid != geteuid()) {
    return MakeError(Errc::kPermission, path + " belongs to another user; remove it");
  }
  if (fchmod(fd.get(), 0600) != 0 || ftruncate(fd.get(), 0) != 0) return ErrnoError(path);
  return fd;
}

// What the capture brought, for its user. A capture that failed before its first packet has nothing
// to say but its error, and leaves nothing behind.
void PrintSummary(const CaptureWriter& writer, KeyFolder* keys, const std::string& file,
                  bool failed) {
  if (failed && writer.packets() == 0) {
    if (keys != nullptr) keys->Discard();
    return;
  }
  fmt::print(stderr, "{} packets captured, {} missed\n", writer.packets(), writer.missed());
  if (keys == nullptr) return;
  fmt::print(stderr, "keys of {} SAs in {}; to decrypt: WIRESHARK_CONFIG_DIR={} tshark -r {}\n",
             keys->sas(), keys->path(), keys->path(), file);
}

enum class Wake : uint8_t { kData, kSignal, kOutputClosed, kTimeout };

Wake Wait(int daemon_fd, int signal_fd, int output_fd, int timeout_ms) {
  std::array<pollfd, 3> fds = {{{.fd = daemon_fd, .events = POLLIN, .revents = 0},
                                {.fd = signal_fd, .events = POLLIN, .revents = 0},
                                {.fd = output_fd, .events = 0, .revents = 0}}};
  int ready = 0;
  do {
    ready = poll(fds.data(), fds.size(), timeout_ms);
  } while (ready < 0 && errno == EINTR);
  if (ready <= 0) return Wake::kTimeout;
  if (fds[1].revents != 0) return Wake::kSignal;
  if ((fds[2].revents & POLLERR) != 0) return Wake::kOutputClosed;
  return Wake::kData;
}

// Copies until the daemon ends the stream.
Status Copy(OperatorClient* client, int signal_fd, int output_fd, CaptureWriter* writer) {
  bool ending = false;
  for (;;) {
    const Wake wake = Wait(client->fd(), signal_fd, output_fd, ending ? kEndTimeoutMs : -1);
    if (wake == Wake::kOutputClosed || wake == Wake::kTimeout) return {};
    if (wake == Wake::kSignal && ending) return {};  // a second signal: end now
    bool end_now = wake == Wake::kSignal;
    if (end_now) {
      signalfd_siginfo info;
      // Consumed, so that the next signal is noticed.
      (void)!read(signal_fd, &info, sizeof(info));
    } else {
      Result<std::string> datagram = client->Receive();
      if (!datagram) return datagram.error();
      if (datagram->empty()) {
        if (ending) return {};
        return MakeError(Errc::kIo, "cygnetd closed the connection");
      }
      const auto outcome = writer->Write(*datagram);
      SecureWipe(datagram->data(), datagram->size());  // it may hold keys
      if (!outcome) return outcome.error();
      if (*outcome == CaptureWriter::Outcome::kClosed) return {};
      end_now = *outcome == CaptureWriter::Outcome::kLimit && !ending;
    }
    if (end_now) {
      ending = true;
      // Fails if the daemon is gone; the next read reports that.
      (void)shutdown(client->fd(), SHUT_WR);
    }
  }
}

}  // namespace

Result<CaptureWriter::Outcome> CaptureWriter::WriteAll(std::string_view bytes) const {
  while (!bytes.empty()) {
    const ssize_t n = write(fd_, bytes.data(), bytes.size());
    if (n < 0 && errno == EPIPE) return Outcome::kClosed;
    if (n < 0 && errno != EINTR) return ErrnoError("cannot write");
    if (n > 0) bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return Outcome::kMore;
}

bool CaptureWriter::Take(uint32_t type, std::string_view block) {
  if (type == kEnhancedPacket) {
    if (limit_ && packets_ >= *limit_) return false;
    ++packets_;
  }
  if (type == kInterfaceStatistics && block.size() >= kStatisticsOptions) TakeStatistics(block);
  return true;
}

void CaptureWriter::TakeStatistics(std::string_view block) {
  std::size_t at = kStatisticsOptions;
  while (at + 4 <= block.size()) {
    const auto code = Load<uint16_t>(block, at);
    const auto length = Load<uint16_t>(block, at + 2);
    if (code == 0) break;
    if (code == kIsbIfDrop && length == 8 && at + 12 <= block.size()) {
      missed_[Load<uint32_t>(block, kStatisticsInterface)] = Load<uint64_t>(block, at + 4);
    }
    at += 4 + (std::size_t{length} + 3) / 4 * 4;
  }
}

uint64_t CaptureWriter::missed() const {
  uint64_t sum = 0;
  for (const auto& [interface, missed] : missed_) sum += missed;
  return sum;
}

Result<CaptureWriter::Outcome> CaptureWriter::TakeKeys(std::string_view datagram) {
  const Json json = Json::parse(datagram, nullptr, /*allow_exceptions=*/false);
  if (keys_ == nullptr || !json.is_object() || !json.contains("sa")) {
    return MakeError(Errc::kIo, "cygnetd sent something other than pcapng");
  }
  CYGNET_RETURN_IF_ERROR(keys_->Add(json["sa"]));
  return Outcome::kMore;
}

Result<CaptureWriter::Outcome> CaptureWriter::Write(std::string_view datagram) {
  if (datagram.starts_with('{')) return TakeKeys(datagram);
  std::string kept;
  const uint64_t before = packets_;
  while (!datagram.empty()) {
    const uint32_t length =
        datagram.size() < kSmallestBlock ? 0 : Load<uint32_t>(datagram, sizeof(uint32_t));
    if (length < kSmallestBlock || length % 4 != 0 || length > datagram.size()) {
      return MakeError(Errc::kIo, "cygnetd sent invalid pcapng");
    }
    const std::string_view block = datagram.substr(0, length);
    if (Take(Load<uint32_t>(block, 0), block)) kept += block;
    datagram.remove_prefix(length);
  }
  auto outcome = WriteAll(kept);
  if (!outcome) packets_ = before;
  if (outcome && *outcome == Outcome::kMore && limit_ && packets_ >= *limit_) {
    return Outcome::kLimit;
  }
  return outcome;
}

Status RunCapture(const Arguments& arguments, const OperatorConnector& connect) {
  auto client = connect();
  if (!client) return client.error();
  const auto signals = TakeSignals();
  if (!signals) return signals.error();
  // The stream comes first: a refused request must not truncate an existing file.
  CYGNET_RETURN_IF_ERROR(client->StartStream(arguments.request));
  const auto output = OpenOutput(arguments.WriteFile());
  if (!output) return output.error();
  std::optional<KeyFolder> keys;
  if (arguments.request.contains("with_keys")) {
    auto folder = KeyFolder::Create(arguments.WriteFile() + ".keys");
    if (!folder) return folder.error();
    keys = *std::move(folder);
  }
  std::optional<uint64_t> limit;
  if (arguments.HasLocal("count")) limit = arguments.local["count"].get<uint64_t>();
  CaptureWriter writer(output->get(), limit, keys ? &*keys : nullptr);
  Status copied = Copy(&*client, signals->get(), output->get(), &writer);
  // Wireshark shows what an extcap program prints as an error.
  if (arguments.object == Object::kExtcap) return copied;
  PrintSummary(writer, keys ? &*keys : nullptr, arguments.WriteFile(), !copied);
  return copied;
}

}  // namespace cygnet
