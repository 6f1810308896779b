// cygnetd knows the statistics: a connection for operators asks for them
// (daemon/operator/operator_server.h). Each call asks anew and keeps nothing, so that threads need
// no lock. A caller may meet another list than in its call before: what is written depends on the
// room that the caller states.
#include "shim/statistics.h"

#include <linux/ethtool.h>
#include <net/if.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cinttypes>
#include <cstddef>
#include <cstdio>
#include <cstring>

#include "netlink/rendezvous.h"
#include "netlink/rendezvous_calls.h"
#include "shim/port_mark.h"
#include "shim/real_calls.h"
#include "shim/set_size.h"

// Included after net/if.h, whose declarations it repeats.
#include <linux/sockios.h>

namespace cygnet::shim {
namespace {

constexpr int kPatienceMs = 2000;
constexpr uint32_t kMaxStatistics = 128;
constexpr uint64_t kStatisticsSet = 1ULL << ETH_SS_STATS;

struct Statistic {
  char name[ETH_GSTRING_LEN];
  uint64_t value;
};

struct StatisticList {
  uint32_t count = 0;
  Statistic rows[kMaxStatistics] = {};
};

// --- cygnetd ---

enum class Line { kStatistic, kDone, kOther };

Line Parse(const char* text, Statistic* statistic) {
  constexpr char kForm[] = R"({"item":{"name":"%31[^"\\]","value":%)" SCNu64 "}}%n";
  int end = 0;
  if (strcmp(text, R"({"done":true})") == 0) {
    return Line::kDone;
  }
  const int fields = sscanf(text, kForm, statistic->name, &statistic->value, &end);
  return fields == 2 && end > 0 && text[end] == '\0' ? Line::kStatistic : Line::kOther;
}

// False: the list is not complete.
bool Receive(int fd, int64_t deadline, StatisticList* list) {
  while (rendezvous::WaitReadable(fd, deadline)) {
    char text[512];
    const ssize_t size = real::recv(fd, text, sizeof text - 1, MSG_DONTWAIT | MSG_TRUNC);
    if (size <= 0 || static_cast<size_t>(size) >= sizeof text) {
      return false;
    }
    text[size] = '\0';
    Statistic row{};
    const Line line = Parse(text, &row);
    if (line != Line::kStatistic || list->count == kMaxStatistics) {
      return line == Line::kDone;
    }
    list->rows[list->count++] = row;
  }
  return false;
}

// Empty if there is no daemon, or this process must not ask it.
StatisticList Ask(int ifindex) {
  StatisticList list;
  const int64_t deadline = rendezvous::NowMs() + kPatienceMs;
  const rendezvous::Meeting meeting = rendezvous::Meet(rendezvous::Service::kOperator, kPatienceMs);
  if (meeting.outcome != rendezvous::Outcome::kMet) {
    return list;
  }
  const rendezvous::Fd fd(meeting.fd);
  char request[64];
  const int length =
      snprintf(request, sizeof request, R"({"command":"statistics","ifindex":%d})", ifindex);
  const bool sent =
      real::send(fd.get(), request, static_cast<size_t>(length), MSG_NOSIGNAL) == ssize_t{length};
  if (!sent || !Receive(fd.get(), deadline, &list)) {
    list.count = 0;
  }
  return list;
}

// --- Questions of a program ---

struct Question {
  int fd;
  ifreq interface;

  char* data() const { return interface.ifr_data; }
  uint32_t Word(size_t offset) const {
    uint32_t word = 0;
    memcpy(&word, data() + offset, sizeof word);
    return word;
  }
  void SetWord(size_t offset, uint32_t word) const { memcpy(data() + offset, &word, sizeof word); }
  int AskKernel() const {
    ifreq request = interface;
    return real::ioctl(fd, size_t{SIOCETHTOOL}, &request);
  }
};

// How many statistics the interface has itself.
uint32_t CountOfKernel(const Question& question) {
  SetSize size(ETH_SS_STATS);
  Question own = question;
  own.interface.ifr_data = reinterpret_cast<char*>(&size);
  return own.AskKernel() == 0 && size.sets == kStatisticsSet ? size.count : 0;
}

// The caller's buffer has a number for each set that it asks for. The answer has those of the sets
// that exist, in the order of their bits.
void AnswerCount(const Question& question, uint32_t count) {
  constexpr size_t kMask = offsetof(ethtool_sset_info, sset_mask);
  if (question.AskKernel() != 0) {
    const uint64_t none = 0;
    memcpy(question.data() + kMask, &none, sizeof none);
  }
  uint64_t known = 0;
  memcpy(&known, question.data() + kMask, sizeof known);
  const auto before = static_cast<size_t>(std::popcount(known & (kStatisticsSet - 1)));
  const size_t at = sizeof(ethtool_sset_info) + before * sizeof(uint32_t);
  if ((known & kStatisticsSet) != 0) {
    question.SetWord(at, question.Word(at) + count);
    return;
  }
  const auto behind = static_cast<size_t>(std::popcount(known)) - before;
  memmove(question.data() + at + sizeof(uint32_t), question.data() + at, behind * sizeof(uint32_t));
  question.SetWord(at, count);
  known |= kStatisticsSet;
  memcpy(question.data() + kMask, &known, sizeof known);
}

// Names or values behind those of the kernel: as many as the caller has room for. `room_at`: where
// the caller states its room, in elements, and reads how many there are. New kernels refuse a room
// that is not their own count.
template <typename Write>
int Append(const Question& question, const StatisticList& list, size_t room_at, Write write) {
  const uint32_t room = question.Word(room_at);
  const uint32_t own = CountOfKernel(question);
  if (own > 0) {
    question.SetWord(room_at, std::min(room, own));
    if (const int result = question.AskKernel(); result != 0 || room <= own) {
      return result;
    }
  }
  const uint32_t appended = std::min(room - own, list.count);
  for (uint32_t i = 0; i < appended; ++i) {
    write(own + i, list.rows[i]);
  }
  question.SetWord(room_at, own + appended);
  return 0;
}

int AnswerNames(const Question& question, const StatisticList& list) {
  char* names = question.data() + sizeof(ethtool_gstrings);
  return Append(question, list, offsetof(ethtool_gstrings, len),
                [names](uint32_t at, const Statistic& row) {
                  memcpy(names + size_t{at} * ETH_GSTRING_LEN, row.name, ETH_GSTRING_LEN);
                });
}

int AnswerValues(const Question& question, const StatisticList& list) {
  char* values = question.data() + sizeof(ethtool_stats);
  return Append(question, list, offsetof(ethtool_stats, n_stats),
                [values](uint32_t at, const Statistic& row) {
                  memcpy(values + size_t{at} * sizeof row.value, &row.value, sizeof row.value);
                });
}

bool IsAboutStatistics(const Question& question) {
  switch (question.Word(0)) {
    case ETHTOOL_GSSET_INFO: {
      uint64_t sets = 0;
      memcpy(&sets, question.data() + offsetof(ethtool_sset_info, sset_mask), sizeof sets);
      return (sets & kStatisticsSet) != 0;
    }
    case ETHTOOL_GSTRINGS:
      return question.Word(offsetof(ethtool_gstrings, string_set)) == ETH_SS_STATS;
    case ETHTOOL_GSTATS:
      return true;
    default:
      return false;
  }
}

}  // namespace

uint32_t CountStatistics(int ifindex) { return ifindex != 0 ? Ask(ifindex).count : 0; }

bool AnswerStatistics(int fd, void* request, int* result) {
  Question question{.fd = fd, .interface = {}};
  memcpy(&question.interface, request, sizeof question.interface);
  if (question.data() == nullptr || !IsAboutStatistics(question)) {
    return false;
  }
  const ErrnoKeeper keeper;
  const int ifindex = MarkOfPort(question.interface.ifr_name).ifindex;
  const StatisticList list = ifindex != 0 ? Ask(ifindex) : StatisticList{};
  keeper.Restore();
  if (list.count == 0) {
    return false;
  }
  *result = 0;
  const uint32_t command = question.Word(0);
  if (command == ETHTOOL_GSSET_INFO) {
    AnswerCount(question, list.count);
  } else {
    *result =
        command == ETHTOOL_GSTRINGS ? AnswerNames(question, list) : AnswerValues(question, list);
  }
  if (*result == 0) {
    keeper.Restore();
  }
  return true;
}

}  // namespace cygnet::shim
