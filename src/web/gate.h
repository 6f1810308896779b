// Gate: which requests are answered at all. Pure, so that it can be tested request by request.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace cygnet::web {

// What a request says about itself; a header that is absent is empty.
struct Visit {
  std::string_view method{};
  std::string_view path{};
  std::string_view host{};
  std::string_view authorization{};
  std::string_view fetch_site{};  // Sec-Fetch-Site
};

struct Refusal {
  int status = 0;  // 0: let in
  std::string text;
};

class Gate {
 public:
  // `token` empty: none is asked for.
  Gate(std::vector<std::string> hosts, std::string token)
      : hosts_(std::move(hosts)), token_(std::move(token)) {}

  Refusal Check(const Visit& visit) const;
  bool asks_for_token() const { return !token_.empty(); }

 private:
  bool KnowsHost(std::string_view host) const;
  bool HasToken(std::string_view authorization) const;

  const std::vector<std::string> hosts_;
  const std::string token_;
};

// In a time that does not depend on where they differ.
bool SameSecret(std::string_view a, std::string_view b);

}  // namespace cygnet::web
