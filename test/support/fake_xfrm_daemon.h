// A daemon for the shim's tests. It implements netlink/unix_transport.h with canned replies, and
// the type of a request determines what it does, so that the client under test directs its own
// scenario.
#pragma once

#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "netlink/doorstep.h"

namespace cygnet::shim {

// Request types that exist only here. A payload, if named, is a uint32_t.
namespace fake {
inline constexpr uint16_t kAnswer = 0x40;      // acknowledged
inline constexpr uint16_t kSlowAnswer = 0x41;  // acknowledged after payload microseconds
inline constexpr uint16_t kEvent = 0x42;       // an event to group `payload`, acknowledged
inline constexpr uint16_t kOverrun = 0x43;     // the mark of lost events, then an acknowledgement
inline constexpr uint16_t kReport = 0x44;      // answered by a Report
inline constexpr uint16_t kRestart = 0x45;     // acknowledged; then no daemon for payload ms
inline constexpr uint16_t kDieUnread = 0x46;   // the first is never read; the next acknowledged
inline constexpr uint16_t kHalfDump = 0x47;    // one part of a dump, then the connection closes
inline constexpr uint16_t kStayAway = 0x48;    // never read; then no daemon for payload ms
inline constexpr uint16_t kRefusePolicies = 0x49;  // for sockets, with errno `payload`
inline constexpr uint16_t kPolicyReport = 0x4a;    // answered by a PolicyReport
inline constexpr uint16_t kStatistics = 0x4b;      // so many for an operator, from now on
inline constexpr uint32_t kThenError = 1U << 31;   // … and an error instead of the end
inline constexpr uint16_t kEventMessage = 0x50;

struct Report {
  uint32_t port_id;
  uint32_t groups;
  uint32_t options;   // one bit per SOL_NETLINK option that is on
  uint32_t controls;  // control messages on this connection so far
};

// Content of the last message about a socket's policy.
struct PolicyReport {
  uint64_t cookie;
  uint16_t port;
  uint16_t flags;
  uint32_t value_bytes;
  uint32_t times;  // since the last report
  uint32_t zero;
};
}  // namespace fake

class FakeDaemon {
 public:
  FakeDaemon();
  ~FakeDaemon();
  FakeDaemon(const FakeDaemon&) = delete;
  FakeDaemon& operator=(const FakeDaemon&) = delete;

 private:
  struct Client {
    int fd;
    uint32_t port_id = 0;
    uint32_t groups = 0;
    uint32_t options = 0;
    uint32_t controls = 0;
  };
  struct Request;
  enum class Verdict { kConsume, kHangUpUnread, kConsumeAndHangUp, kRestart };

  void Run();
  bool StandAtTheDoor();
  void CloseAll();
  // False if the client is gone.
  bool Serve(Client& client);
  void AnswerOperator(int fd) const;
  Verdict Execute(Client& client, const Request& request);
  void TakePolicy(const Client& client, const Request& request);
  Verdict ExecuteNative(Client& client, const Request& request);
  void TakeControl(Client& client, const Request& request);
  void Multicast(uint32_t group, const Request& request);
  void AnswerDump(const Client& client, const Request& request) const;

  std::unique_ptr<Doorstep> doorstep_;
  int wake_[2] = {-1, -1};
  int pause_ms_ = -1;  // ≥ 0: a restart was requested
  bool died_unread_ = false;
  int policy_refusal_ = 0;
  uint32_t operator_lines_ = 0;
  bool operator_error_ = false;
  fake::PolicyReport policy_told_{};
  std::vector<Client> clients_;
  std::thread thread_;
};

}  // namespace cygnet::shim
