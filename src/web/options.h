// The command line of cygnet-web, checked: what may listen where.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace cygnet::web {

struct Options {
  std::string address = "127.0.0.1";  // an IP address
  int port = 9470;
  std::vector<std::string> hosts{};  // names by which browsers may call this server
  std::string token_file{};
  std::string certificate_file{};
  std::string key_file{};
  std::string history_file{};  // empty: no history
  std::size_t per_sa = 100;
  std::string user = "cygnet-web";  // that root becomes

  bool tls() const { return !certificate_file.empty(); }
};

bool IsLoopback(const std::string& address);

// Whoever can reach the server may read it: beyond loopback that needs a token, and TLS, so that
// nobody on the way reads the token. The error says what to do.
Status CheckOptions(const Options& options);

// The token in `path`: its first line, at least 32 characters. Nobody but the owner may read the
// file.
Result<std::string> ReadToken(const std::string& path);

}  // namespace cygnet::web
