#include "cli/conformance.h"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstring>
#include <string>

namespace cygnet {
namespace {

// The installed program, relative to this one's folder; in a build tree the one that was built.
std::string FindProgram() {
  std::array<char, PATH_MAX> own{};
  const ssize_t length = readlink("/proc/self/exe", own.data(), own.size() - 1);
  const std::string path(own.data(), length > 0 ? static_cast<std::size_t>(length) : 0);
  const std::string folder = path.substr(0, path.rfind('/') + 1);
  for (const char* place : {"../libexec/cygnet/", "../conformance/"}) {
    const std::string found = folder + place + "cygnet-conformance";
    if (access(found.c_str(), X_OK) == 0) return found;
  }
  return {};
}

}  // namespace

int RunConformance(char** argv) {
  constexpr int kCannot = 2;
  const std::string program = FindProgram();
  if (program.empty()) {
    std::fputs("cygnet conformance: cygnet-conformance is not installed\n", stderr);
    return kCannot;
  }
  execv(program.c_str(), argv);
  std::fprintf(stderr, "cygnet conformance: %s: %s\n", program.c_str(), std::strerror(errno));
  return kCannot;
}

}  // namespace cygnet
