#include "cli/doctor_host.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/timex.h>

#include <algorithm>
#include <fstream>
#include <memory>

namespace cygnet {
namespace {

std::optional<std::string> FirstLine(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line)) return std::nullopt;
  return line;
}

std::optional<int> NumberIn(const std::string& path) {
  const auto line = FirstLine(path);
  if (!line || line->empty() || line->find_first_not_of("0123456789") != std::string::npos ||
      line->size() > 6) {
    return std::nullopt;
  }
  return std::stoi(*line);
}

std::optional<bool> IsOn(const std::string& path) {
  const auto number = NumberIn(path);
  if (!number) return std::nullopt;
  return *number != 0;
}

// The status is of the machine, and any user may read it. A container may be denied the call.
std::optional<bool> IsClockSynchronized() {
  timex status{};
  const int state = adjtimex(&status);
  if (state < 0) return std::nullopt;
  return state != TIME_ERROR && (status.status & STA_UNSYNC) == 0;
}

// Empty unless it is an IP address. The zone of a link-local one is left out, as SAs have none.
std::string AddressText(const sockaddr& address) {
  if (address.sa_family != AF_INET && address.sa_family != AF_INET6) return {};
  const socklen_t length =
      address.sa_family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
  char text[NI_MAXHOST] = "";
  if (getnameinfo(&address, length, text, sizeof text, nullptr, 0, NI_NUMERICHOST) != 0) return {};
  const std::string whole = text;
  return whole.substr(0, whole.find('%'));
}

void ReadInterfaces(const std::vector<std::string>& devices, HostFacts* facts) {
  ifaddrs* first = nullptr;
  if (getifaddrs(&first) != 0) return;
  const std::unique_ptr<ifaddrs, decltype(&freeifaddrs)> all(first, freeifaddrs);
  facts->addresses.emplace();
  for (const ifaddrs* row = first; row != nullptr; row = row->ifa_next) {
    if (std::find(devices.begin(), devices.end(), row->ifa_name) != devices.end()) {
      facts->interface_up[row->ifa_name] = (row->ifa_flags & IFF_UP) != 0;
    }
    if (row->ifa_addr == nullptr) continue;
    if (const std::string text = AddressText(*row->ifa_addr); !text.empty()) {
      facts->addresses->insert(text);
    }
  }
}

}  // namespace

std::string ChosenWord(const std::string& text) {
  const std::size_t begin = text.find('[');
  const std::size_t end = text.find(']');
  if (begin == std::string::npos || end == std::string::npos || end < begin) return {};
  return text.substr(begin + 1, end - begin - 1);
}

HostFacts ReadHost(const std::vector<std::string>& devices) {
  const std::string net = "/proc/sys/net/";
  HostFacts facts;
  facts.clock_synchronized = IsClockSynchronized();
  facts.forwards_v4 = IsOn(net + "ipv4/ip_forward");
  facts.forwards_v6 = IsOn(net + "ipv6/conf/all/forwarding");
  const auto of_all = NumberIn(net + "ipv4/conf/all/rp_filter");
  for (const std::string& device : devices) {
    const auto own = NumberIn(net + "ipv4/conf/" + device + "/rp_filter");
    if (own && of_all) facts.reverse_path[device] = std::max(*own, *of_all);
  }
  ReadInterfaces(devices, &facts);
  if (const auto line = FirstLine("/sys/kernel/mm/transparent_hugepage/enabled")) {
    facts.huge_pages = ChosenWord(*line);
  }
  facts.kernel_fips = IsOn("/proc/sys/crypto/fips_enabled");
  return facts;
}

}  // namespace cygnet
