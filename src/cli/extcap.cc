#include "cli/extcap.h"

#include <fmt/format.h>

#include "client/json_fields.h"

namespace cygnet {
namespace {

constexpr std::string_view kDlts = "dlt {number=1}{name=EN10MB}{display=Ethernet}\n";

constexpr std::string_view kConfig =
    R"(arg {number=0}{call=--side}{display=Side}{type=selector}{tooltip=Which frames to capture}
value {arg=0}{value=both}{display=Host-side interface and wire, with the links between them}{default=true}
value {arg=0}{value=host}{display=Between cygnetd and the device}{default=false}
value {arg=0}{value=wire}{display=Wire}{default=false}
value {arg=0}{value=guard}{display=Stopped by the seal guard}{default=false}
arg {number=1}{call=--snaplen}{display=Bytes of each packet}{type=unsigned}{range=1,262144}{default=262144}
)";

void PrintInterfaces(const Arguments& arguments, const OperatorConnector& connect, FILE* out) {
  fmt::print(out, "extcap {{version={}}}{{display=Cygnet}}\n", CYGNET_VERSION);
  auto client = connect();
  if (!client) return;
  // An error ends the list.
  (void)client->ForEachItem(arguments.request, [out](const Json& device) {
    const std::string name = Text(device, "name");
    fmt::print(out, "interface {{value=cygnet-{0}}}{{display=Cygnet device {0}}}\n", name);
  });
}

}  // namespace

Status RunExtcap(const Arguments& arguments, const OperatorConnector& connect, FILE* out) {
  if (arguments.HasLocal("interfaces")) PrintInterfaces(arguments, connect, out);
  if (arguments.HasLocal("dlts")) fmt::print(out, "{}", kDlts);
  if (arguments.HasLocal("config")) fmt::print(out, "{}", kConfig);
  return {};
}

}  // namespace cygnet
