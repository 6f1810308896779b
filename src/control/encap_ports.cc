#include "control/encap_ports.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "net/esp_view.h"

namespace cygnet {

void EncapPorts::Add(uint16_t port) {
  if (++users_[port] == 1) Publish();
}

void EncapPorts::Remove(uint16_t port) {
  const auto found = users_.find(port);
  if (--found->second != 0) return;
  users_.erase(found);
  Publish();
}

void EncapPorts::Publish() {
  std::vector<uint16_t> ports(kNatTPorts.begin(), kNatTPorts.end());
  for (const auto& [port, count] : users_) ports.push_back(port);
  std::sort(ports.begin(), ports.end());
  path_.SetEncapPorts(std::move(ports));
}

}  // namespace cygnet
