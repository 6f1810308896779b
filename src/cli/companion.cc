#include "cli/companion.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstring>
#include <string>

namespace cygnet {
namespace {

struct Companion {
  std::string_view word;
  const char* program;
  std::array<const char*, 2> places;  // from this program's folder: installed, and in a build tree
};

constexpr Companion kCompanions[] = {
    {"conformance", "cygnet-conformance", {"../libexec/cygnet/", "../conformance/"}},
    {"web", "cygnet-web", {"", "../web/"}},
};

const Companion* Find(std::string_view word) {
  const auto* const found = std::find_if(std::begin(kCompanions), std::end(kCompanions),
                                         [word](const auto& row) { return row.word == word; });
  return found == std::end(kCompanions) ? nullptr : found;
}

std::string PathOf(const Companion& companion) {
  std::array<char, PATH_MAX> own{};
  const ssize_t length = readlink("/proc/self/exe", own.data(), own.size() - 1);
  const std::string path(own.data(), length > 0 ? static_cast<std::size_t>(length) : 0);
  const std::string folder = path.substr(0, path.rfind('/') + 1);
  for (const char* place : companion.places) {
    const std::string found = folder + place + companion.program;
    if (access(found.c_str(), X_OK) == 0) return found;
  }
  return {};
}

}  // namespace

bool IsCompanion(std::string_view word) { return Find(word) != nullptr; }

int RunCompanion(char** argv) {
  constexpr int kCannot = 2;
  const Companion& companion = *Find(argv[0]);
  const std::string program = PathOf(companion);
  if (program.empty()) {
    std::fprintf(stderr, "cygnet %s: %s is not installed\n", argv[0], companion.program);
    return kCannot;
  }
  execv(program.c_str(), argv);
  std::fprintf(stderr, "cygnet %s: %s: %s\n", argv[0], program.c_str(), std::strerror(errno));
  return kCannot;
}

}  // namespace cygnet
