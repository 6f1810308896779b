// What a request says about itself, line by line: method, path, host, authorization, site. The gate
// must not let in what it does not know.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "web/gate.h"

namespace {

constexpr std::string_view kToken = "0123456789abcdef0123456789abcdef";

std::string_view TakeLine(std::string_view* text) {
  const std::size_t end = text->find('\n');
  const std::string_view line = text->substr(0, end);
  text->remove_prefix(end == std::string_view::npos ? text->size() : end + 1);
  return line;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  cygnet::web::Visit visit;
  for (std::string_view* field :
       {&visit.method, &visit.path, &visit.host, &visit.authorization, &visit.fetch_site}) {
    *field = TakeLine(&text);
  }
  const cygnet::web::Gate open({"gateway.example.org"}, "");
  const cygnet::web::Gate closed({"gateway.example.org"}, std::string(kToken));
  const bool let_in = open.Check(visit).status == 0;
  if (let_in) {
    CYGNET_CHECK(visit.method == "GET" || visit.method == "HEAD");
    CYGNET_CHECK(!visit.host.empty());
  }
  if (closed.Check(visit).status == 0) {
    CYGNET_CHECK(let_in);
    CYGNET_CHECK(visit.authorization.find(kToken) != std::string_view::npos ||
                 visit.authorization.starts_with("Basic "));
  }
  return 0;
}
