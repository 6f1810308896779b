#include "web/options.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <string_view>

#include "base/text_file.h"
#include "base/unique_fd.h"

namespace cygnet::web {
namespace {

constexpr std::size_t kShortestToken = 32;
constexpr std::size_t kLongestToken = 1024;

Error Wrong(std::string text) { return MakeError(Errc::kInvalid, std::move(text)); }

}  // namespace

bool IsLoopback(const std::string& address) {
  in_addr v4{};
  if (inet_pton(AF_INET, address.c_str(), &v4) == 1) return (ntohl(v4.s_addr) >> 24) == 127;
  in6_addr v6{};
  return inet_pton(AF_INET6, address.c_str(), &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

Status CheckOptions(const Options& options) {
  in6_addr parsed{};
  if (inet_pton(AF_INET, options.address.c_str(), &parsed) != 1 &&
      inet_pton(AF_INET6, options.address.c_str(), &parsed) != 1) {
    return Wrong(fmt::format("--address: \"{}\" is not an IP address", options.address));
  }
  if (options.certificate_file.empty() != options.key_file.empty()) {
    return Wrong("--certificate and --key: give both or none");
  }
  if (IsLoopback(options.address)) return {};
  if (!options.tls()) {
    return Wrong(
        fmt::format("{} is not a loopback address, and others could read what is sent; give "
                    "--certificate FILE and --key FILE (TLS), or listen on 127.0.0.1",
                    options.address));
  }
  if (options.token_file.empty()) {
    return Wrong(
        fmt::format("{} is not a loopback address, and everybody there could look; give "
                    "--token FILE (make one: umask 077; openssl rand -hex 32 > FILE), or listen on "
                    "127.0.0.1",
                    options.address));
  }
  return {};
}

Result<std::string> ReadToken(const std::string& path) {
  const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!file.valid()) return FileError(path);
  struct stat info {};
  if (fstat(file.get(), &info) != 0) return FileError(path);
  CYGNET_RETURN_IF_ERROR(CheckOwner(path, info));
  if ((info.st_mode & 077) != 0) {
    return Wrong(fmt::format("{}: others may read the token; run: chmod 600 {}", path, path));
  }
  std::string text(kLongestToken, '\0');
  const ssize_t got = read(file.get(), text.data(), text.size());
  if (got < 0) return FileError(path);
  text.resize(static_cast<std::size_t>(got));
  text.resize(std::min(text.size(), text.find('\n')));
  while (!text.empty() && (text.back() == '\r' || text.back() == ' ')) text.pop_back();
  if (text.size() < kShortestToken) {
    return Wrong(
        fmt::format("{}: a token has at least {} characters; make one: openssl rand -hex "
                    "32",
                    path, kShortestToken));
  }
  return text;
}

}  // namespace cygnet::web
