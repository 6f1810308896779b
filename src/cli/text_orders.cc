// What operators ordered and what is still in force.
#include <fmt/format.h>
#include <pwd.h>

#include <array>
#include <string_view>

#include "cli/text.h"
#include "client/json_fields.h"

namespace cygnet {
namespace {

// The user's name here. The daemon knows numbers.
std::string UserText(const Json& order) {
  if (!order.contains("uid")) return "an unknown user";
  const auto uid = static_cast<uid_t>(Number(order, "uid"));
  passwd entry{};
  passwd* found = nullptr;
  std::array<char, 4096> buffer;
  const bool known =
      getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr;
  return known ? found->pw_name : fmt::format("uid {}", uid);
}

// "spi 0x00001000 dst 192.0.2.2", as the command takes it.
std::string SelectionText(const Json& order) {
  std::string text;
  for (const char* field : {"spi", "dst"}) {
    if (const std::string value = Text(order, field); !value.empty()) {
      text += fmt::format(" {} {}", field, value);
    }
  }
  if (order.contains("reqid")) text += fmt::format(" reqid {}", Number(order, "reqid"));
  return text.empty() ? text : text.substr(1);
}

std::string PlacementOrder(const Json& order) {
  const std::string device = Text(order, "device");
  return fmt::format("placement {}: mode {}{}{}", SelectionText(order), Text(order, "mode"),
                     device.empty() ? "" : " dev " + device,
                     order.value("pinned", false) ? " pin" : "");
}

}  // namespace

std::string OrdersText(const std::vector<Json>& items) {
  std::string text;
  for (const Json& order : items) {
    const bool placement = Text(order, "kind") == "placement";
    const std::string name = Text(order, "name");
    const std::string what = placement ? PlacementOrder(order)
                                       : fmt::format("{} {}: disabled", Text(order, "kind"), name);
    const std::string end = placement ? "cygnet placement unset " + SelectionText(order)
                                      : "cygnet offload enable dev " + name;
    text +=
        fmt::format("{}\n\tsince {} by {} (process {})\n\tuntil \"{}\"{} or the end of cygnetd\n",
                    what, TimeText(Number(order, "since")), UserText(order), Number(order, "pid"),
                    end, order.value("ends_with_sa", false) ? ", the end of the SA" : "");
  }
  return text;
}

}  // namespace cygnet
