// Tunnel interfaces.
#include <fmt/format.h>

#include "cli/text.h"
#include "client/json_fields.h"

namespace cygnet {

std::string TunnelText(const Json& tunnel) {
  const std::string identity =
      tunnel.contains("if_id")
          ? fmt::format("if_id {}", Number(tunnel, "if_id"))
          : "mark " + Text(tunnel, "mark") +
                (tunnel.contains("mark_in") ? " inbound " + Text(tunnel, "mark_in") : "");
  const std::string device = Text(tunnel, "device");
  std::string text = fmt::format("{}: {} mtu {} carrier {}{}\n", Text(tunnel, "name"), identity,
                                 Number(tunnel, "mtu"), Text(tunnel, "carrier"),
                                 device.empty() ? "" : " device " + device);
  if (const std::string by = Text(tunnel, "made_by"); !by.empty()) {
    text += fmt::format("\tmade by {}\n", by);
  }
  text += fmt::format("\t{} policies, {} SAs\n", Number(tunnel, "policies"), Number(tunnel, "sas"));
  text += fmt::format("\tfrom the host {} packets {} bytes, to the host {} packets {} bytes\n",
                      Number(tunnel, "rx_packets"), Number(tunnel, "rx_bytes"),
                      Number(tunnel, "tx_packets"), Number(tunnel, "tx_bytes"));
  return text + fmt::format("\tnot protected, and so dropped: {} packets\n",
                            Number(tunnel, "unprotected"));
}

}  // namespace cygnet
