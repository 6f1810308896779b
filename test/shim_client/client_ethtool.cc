// Scenarios: ethtool's ioctl.
#include <linux/ethtool.h>
#include <net/if.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

// Must follow net/if.h, whose declarations it repeats.
#include <linux/sockios.h>

#include "shim_client/client_support.h"

namespace cygnet::shim {
namespace {

int TryEthtool(int fd, const char* name, void* question) {
  ifreq request{};
  strcpy(request.ifr_name, name);
  request.ifr_data = static_cast<char*>(question);
  return ioctl(fd, SIOCETHTOOL, &request);
}

void AskEthtool(int fd, void* question) { CHECK(TryEthtool(fd, "lo", question) == 0); }

// --- Features ---

struct FeatureNames {
  uint32_t command = ETHTOOL_GSTRINGS;
  uint32_t set = ETH_SS_FEATURES;
  uint32_t count = 0;  // the number of features
  char names[128][ETH_GSTRING_LEN] = {};
};

uint32_t BitOf(const FeatureNames& names, const char* feature) {
  uint32_t bit = 0;
  while (bit < 127 && strcmp(names.names[bit], feature) != 0) {
    ++bit;
  }
  CHECK(bit < 127);
  return bit;
}

bool IsActive(int fd, uint32_t bit) {
  struct {
    uint32_t command = ETHTOOL_GFEATURES;
    uint32_t blocks = 4;
    ethtool_get_features_block block[4] = {};
  } features;
  AskEthtool(fd, &features);
  return (features.block[bit / 32].active >> bit % 32 & 1) != 0;
}

// A port shows a probe the daemon's mark and nothing else.
void OffloadFeature() {
  const int xfrm = OpenXfrm();
  const int udp = socket(AF_INET, SOCK_DGRAM, 0);  // as in ethtool
  FeatureNames names;
  AskEthtool(xfrm, &names);
  const uint32_t esp = BitOf(names, "esp-hw-offload");
  const uint32_t checksum = BitOf(names, "esp-tx-csum-hw-offload");
  const uint32_t segmentation = BitOf(names, "tx-esp-segmentation");
  const auto expect = [&](bool has_esp, bool has_checksum, bool has_segmentation) {
    for (const int fd : {xfrm, udp}) {
      CHECK(IsActive(fd, esp) == has_esp);
      CHECK(IsActive(fd, checksum) == has_checksum);
      CHECK(IsActive(fd, segmentation) == has_segmentation);
    }
  };
  expect(false, false, false);
  CHECK(system("ip link set dev lo alias 'cygnet esp-hw-offload'") == 0);
  expect(true, false, false);
  CHECK(system("ip link set dev lo alias 'cygnet esp-tx-csum-hw-offload'") == 0);
  expect(false, true, false);
  CHECK(system("ip link set dev lo alias 'cygnet esp-hw-offload tx-esp-segmentation'") == 0);
  expect(true, false, true);
  CHECK(system("ip link set dev lo alias 'swan esp-hw-offload'") == 0);
  expect(false, false, false);
}

// --- Statistics ---

int OpenUdp() {
  const int fd = socket(AF_INET, SOCK_DGRAM, 0);
  CHECK(fd >= 0);
  return fd;
}

// The counts of three sets: tests, statistics, features.
struct SetCounts {
  uint32_t command = ETHTOOL_GSSET_INFO;
  uint32_t reserved = 0;
  uint64_t sets = 1U << ETH_SS_TEST | 1U << ETH_SS_STATS | 1U << ETH_SS_FEATURES;
  uint32_t counts[3] = {};
  uint32_t guard = 0x5a5a5a5a;
};

constexpr uint32_t kRoom = 16;
constexpr uint8_t kUntouched = 0xa5;

struct Names {
  uint32_t command = ETHTOOL_GSTRINGS;
  uint32_t set = ETH_SS_STATS;
  uint32_t count;
  char names[kRoom][ETH_GSTRING_LEN];
  explicit Names(uint32_t room) : count(room) { memset(names, kUntouched, sizeof names); }
  bool IsUntouchedFrom(uint32_t at) const {
    for (; at < kRoom; ++at) {
      if (static_cast<uint8_t>(names[at][0]) != kUntouched) return false;
    }
    return true;
  }
};

struct Values {
  uint32_t command = ETHTOOL_GSTATS;
  uint32_t count;
  uint64_t values[kRoom];
  explicit Values(uint32_t room) : count(room) { memset(values, kUntouched, sizeof values); }
  bool IsUntouchedFrom(uint32_t at) const {
    for (; at < kRoom; ++at) {
      if (values[at] != 0xa5a5'a5a5'a5a5'a5a5) return false;
    }
    return true;
  }
};

// A loopback interface has no statistics of its own, as a TAP.
void ExpectKernelsAnswer(int fd) {
  SetCounts sets;
  AskEthtool(fd, &sets);
  CHECK((sets.sets & 1U << ETH_SS_STATS) == 0);
  Names names(kRoom);
  errno = 0;
  CHECK(TryEthtool(fd, "lo", &names) == -1 && errno == EOPNOTSUPP && names.count == kRoom);
  Values values(kRoom);
  CHECK(TryEthtool(fd, "lo", &values) == -1 && errno == EOPNOTSUPP);
  CHECK(names.IsUntouchedFrom(0) && values.IsUntouchedFrom(0));
  ethtool_drvinfo driver{};
  driver.cmd = ETHTOOL_GDRVINFO;
  if (TryEthtool(fd, "lo", &driver) == 0) CHECK(driver.n_stats == 0);
}

void ExpectThree(int fd) {
  SetCounts sets;
  const uint64_t asked = sets.sets;
  AskEthtool(fd, &sets);
  CHECK(sets.sets == (1U << ETH_SS_STATS | 1U << ETH_SS_FEATURES));
  CHECK(sets.sets != asked && sets.counts[0] == 3 && sets.counts[1] > 3);
  CHECK(sets.counts[2] == 0 && sets.guard == 0x5a5a5a5a);
  Names names(3);
  AskEthtool(fd, &names);
  CHECK(names.count == 3 && names.IsUntouchedFrom(3));
  CHECK(strcmp(names.names[0], "ipsec_0") == 0 && strcmp(names.names[2], "ipsec_2") == 0);
  Values values(3);
  AskEthtool(fd, &values);
  CHECK(values.count == 3 && values.IsUntouchedFrom(3));
  CHECK(values.values[0] == 10 && values.values[1] == 11 && values.values[2] == 12);
}

// A caller that states another room than it was told gets no more than that.
void ExpectOnlyTheRoom(int fd) {
  for (const uint32_t room : {0U, 1U, 2U, kRoom}) {
    const uint32_t written = room < 3 ? room : 3;
    Names names(room);
    AskEthtool(fd, &names);
    CHECK(names.count == written && names.IsUntouchedFrom(written));
    Values values(room);
    AskEthtool(fd, &values);
    CHECK(values.count == written && values.IsUntouchedFrom(written));
  }
}

void* AskOften(void*) {
  const int fd = OpenUdp();
  for (int i = 0; i < 20; ++i) ExpectThree(fd);
  close(fd);
  return nullptr;
}

void Statistics() {
  const int xfrm = OpenXfrm();
  const int udp = OpenUdp();
  ExpectKernelsAnswer(udp);
  Exchange(xfrm, fake::kStatistics, 3);
  ExpectKernelsAnswer(udp);  // not a port
  CHECK(system("ip link set dev lo alias 'cygnet esp-hw-offload'") == 0);
  ExpectThree(udp);
  ExpectThree(xfrm);
  ExpectOnlyTheRoom(udp);
  pthread_t callers[2];
  for (pthread_t& caller : callers) CHECK(pthread_create(&caller, nullptr, AskOften, nullptr) == 0);
  for (const pthread_t caller : callers) CHECK(pthread_join(caller, nullptr) == 0);
  // Other questions reach the kernel.
  SetCounts features;
  features.sets = 1U << ETH_SS_FEATURES;
  AskEthtool(udp, &features);
  CHECK(features.counts[0] > 3 && features.counts[1] == 0);
  // A port without a card's statistics, an answer that breaks off, and too long an answer.
  for (const uint32_t lines : {0U, fake::kThenError, 2 | fake::kThenError, 129U}) {
    Exchange(xfrm, fake::kStatistics, lines);
    ExpectKernelsAnswer(udp);
  }
}

// Behind those of the interface itself.
void StatisticsAppended() {
  const int xfrm = OpenXfrm();
  const int udp = OpenUdp();
  CHECK(system("ip link add own0 type veth peer name own1") == 0);
  SetCounts sets;
  sets.sets = 1U << ETH_SS_STATS;
  CHECK(TryEthtool(udp, "own0", &sets) == 0 && sets.sets == 1U << ETH_SS_STATS);
  const uint32_t own = sets.counts[0];
  CHECK(own > 0 && own + 3 <= kRoom);
  Names before(own);
  CHECK(TryEthtool(udp, "own0", &before) == 0 && before.count == own);
  Exchange(xfrm, fake::kStatistics, 3);
  CHECK(system("ip link set dev own0 alias 'cygnet driver=ixgbe'") == 0);
  CHECK(TryEthtool(udp, "own0", &sets) == 0 && sets.counts[0] == own + 3);
  Names names(own + 3);
  CHECK(TryEthtool(udp, "own0", &names) == 0 && names.count == own + 3);
  CHECK(memcmp(names.names, before.names, own * size_t{ETH_GSTRING_LEN}) == 0);
  CHECK(strcmp(names.names[own], "ipsec_0") == 0 && names.IsUntouchedFrom(own + 3));
  Values values(own + 3);
  CHECK(TryEthtool(udp, "own0", &values) == 0 && values.count == own + 3);
  CHECK(values.values[own + 2] == 12 && values.IsUntouchedFrom(own + 3));
  ethtool_drvinfo driver{};
  driver.cmd = ETHTOOL_GDRVINFO;
  CHECK(TryEthtool(udp, "own0", &driver) == 0 && driver.n_stats == own + 3);
  CHECK(strcmp(driver.driver, "ixgbe") == 0);
  // A room for the interface's own statistics only: the kernel's answer.
  Values few(own);
  CHECK(TryEthtool(udp, "own0", &few) == 0 && few.count == own && few.IsUntouchedFrom(own));
}

// A port that has outlived its daemon.
void StatisticsWithoutDaemon() {
  CHECK(system("ip link set dev lo alias 'cygnet esp-hw-offload'") == 0);
  ExpectKernelsAnswer(OpenUdp());
}

}  // namespace

const Scenario kEthtoolScenarios[] = {
    {"offload-feature", OffloadFeature},
    {"statistics", Statistics},
    {"statistics-appended", StatisticsAppended},
    {"statistics-without-daemon", StatisticsWithoutDaemon},
    {nullptr, nullptr},
};

}  // namespace cygnet::shim
