// LinkControl: requests of clients about tunnel interfaces (RTM_NEWLINK and RTM_DELLINK of kind
// xfrm), as values. Only the control thread calls it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace cygnet {

enum class LinkAct : uint8_t { kNew, kDelete };

struct LinkRequest {
  LinkAct act = LinkAct::kNew;
  bool create = false;     // NLM_F_CREATE: make the interface if it does not exist
  bool exclusive = false;  // NLM_F_EXCL: fail if it exists
  int32_t ifindex = 0;     // 0: not named by index
  std::string name{};      // empty: not named
  std::string kind{};      // "xfrm", "vti" …
  std::optional<uint32_t> if_id{};
  uint32_t link = 0;  // the interface whose packets it protects; 0: none named
  bool external = false;
  uint32_t mtu = 0;             // 0: not given
  uint32_t flags = 0;           // of the interface (IFF_UP …)
  uint32_t flags_change = 0;    // which of them to set
  std::vector<uint8_t> rest{};  // attributes that concern any interface, for the kernel
};

class LinkControl {
 public:
  virtual ~LinkControl() = default;
  // `by`: who asks, for people: "ip[4711]". Errors as the kernel's xfrm_interface_core.c has them.
  virtual Status NewLink(const LinkRequest& request, const std::string& by) = 0;
  // kNoDevice: it is not a tunnel interface of Cygnet's.
  virtual Status DeleteLink(const LinkRequest& request) = 0;
};

}  // namespace cygnet
