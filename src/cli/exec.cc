// Finds the shim and the daemon, checks the program and runs it.
#include "cli/exec.h"

#include <elf.h>
#include <glob.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string_view>
#include <vector>

#include "client/operator_client.h"
#include "netlink/rendezvous.h"

namespace cygnet {
namespace {

constexpr int kNotReady = 125;
constexpr int kRefused = 126;
constexpr int kNotFound = 127;

int Say(int status, const std::string& text) {
  std::fprintf(stderr, "cygnet exec: %s\n", text.c_str());
  return status;
}

bool IsProgram(const std::string& path) {
  struct stat info {};
  return stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) && access(path.c_str(), X_OK) == 0;
}

std::string OwnPath() {
  std::string path(4096, '\0');
  const ssize_t length = readlink("/proc/self/exe", path.data(), path.size());
  path.resize(length > 0 ? static_cast<size_t>(length) : 0);
  return path;
}

std::optional<std::string> FirstMatch(const std::string& pattern) {
  glob_t matches{};
  std::optional<std::string> first;
  if (glob(pattern.c_str(), 0, nullptr, &matches) == 0 && matches.gl_pathc > 0) {
    char* resolved = realpath(matches.gl_pathv[0], nullptr);
    first = resolved != nullptr ? resolved : matches.gl_pathv[0];
    std::free(resolved);
  }
  globfree(&matches);
  return first;
}

// Empty: a cygnetd runs here and accepts us.
std::string WhyNoDaemon() {
  constexpr int kPatienceMs = 10'000;
  const auto met = rendezvous::Meet(rendezvous::Service::kXfrm, kPatienceMs);
  if (met.outcome != rendezvous::Outcome::kMet) return WhyNotMet(met);
  close(met.fd);
  return {};
}

template <typename T>
bool ReadAt(std::ifstream& file, uint64_t offset, T& out) {
  file.seekg(static_cast<std::streamoff>(offset));
  return static_cast<bool>(file.read(reinterpret_cast<char*>(&out), sizeof out));
}

// The dynamic linker loads the shim. A program without one is static.
bool NamesDynamicLinker(std::ifstream& file, const Elf64_Ehdr& header) {
  for (unsigned i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr segment{};
    if (!ReadAt(file, header.e_phoff + uint64_t{i} * header.e_phentsize, segment)) {
      return false;
    }
    if (segment.p_type == PT_INTERP) {
      return true;
    }
  }
  return false;
}

// The dynamic linker ignores LD_PRELOAD if a program runs with more rights than its caller.
std::optional<std::string> WhyPrivileged(const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) {
    return std::strerror(errno);
  }
  if ((info.st_mode & S_ISUID) != 0 && info.st_uid != getuid()) {
    return "it is setuid";
  }
  // Without group execution the bit means mandatory locking.
  if ((info.st_mode & S_ISGID) != 0 && (info.st_mode & S_IXGRP) != 0 && info.st_gid != getgid()) {
    return "it is setgid";
  }
  // Root gains no rights by them.
  if (getuid() != 0 && getxattr(path.c_str(), "security.capability", nullptr, 0) > 0) {
    return "it has file capabilities";
  }
  return std::nullopt;
}

std::optional<std::string> WhyElfFails(std::ifstream& file) {
  Elf64_Ehdr own{};
  std::ifstream self("/proc/self/exe", std::ios::binary);
  Elf64_Ehdr header{};
  if (!ReadAt(self, 0, own) || !ReadAt(file, 0, header)) {
    return "it is truncated";
  }
  if (header.e_ident[EI_CLASS] != own.e_ident[EI_CLASS] || header.e_machine != own.e_machine) {
    return "it is built for another architecture than the shim";
  }
  if (!NamesDynamicLinker(file, header)) {
    return "it is statically linked";
  }
  return std::nullopt;
}

std::optional<std::string> WhyFails(const std::string& path, int depth);

std::optional<std::string> WhyScriptFails(std::ifstream& file, int depth) {
  std::string line;
  file.seekg(2);
  std::getline(file, line);
  std::istringstream words(line);
  std::string interpreter;
  words >> interpreter;
  if (interpreter.empty()) {
    return "it names no interpreter";
  }
  if (const auto why = WhyFails(interpreter, depth + 1)) {
    return "its interpreter " + interpreter + " cannot load the shim: " + *why;
  }
  return std::nullopt;
}

std::optional<std::string> WhyFails(const std::string& path, int depth) {
  constexpr int kMaxInterpreters = 5;  // as many as the kernel follows
  std::ifstream file(path, std::ios::binary);
  char magic[SELFMAG] = {};
  if (depth > kMaxInterpreters) {
    return "its interpreters form a loop";
  }
  if (!file) {
    return std::string("it cannot be read: ") + std::strerror(errno);
  }
  file.read(magic, sizeof magic);
  file.clear();
  if (std::string_view(magic, 2) == "#!") {
    return WhyScriptFails(file, depth);
  }
  if (std::memcmp(magic, ELFMAG, SELFMAG) != 0) {
    // execvp() runs an unknown format with the shell.
    return WhyFails("/bin/sh", depth + 1);
  }
  if (auto why = WhyElfFails(file)) {
    return why;
  }
  return WhyPrivileged(path);
}

void PrependPreload(const std::string& shim) {
  const char* existing = std::getenv("LD_PRELOAD");
  const bool has_more = existing != nullptr && *existing != '\0';
  const std::string value = has_more ? shim + ":" + existing : shim;
  setenv("LD_PRELOAD", value.c_str(), 1);
}

}  // namespace

std::optional<std::string> FindShim() {
  if (const char* given = std::getenv("CYGNET_SHIM"); given != nullptr && *given != '\0') {
    return FirstMatch(given);
  }
  const std::string own = OwnPath();
  const std::string prefix = own.substr(0, own.rfind('/') + 1) + "../lib*/";
  for (const char* place : {"cygnet/libcygnet_xfrm.so", "*/cygnet/libcygnet_xfrm.so"}) {
    if (auto found = FirstMatch(prefix + place)) {
      return found;
    }
  }
#ifdef CYGNET_SHIM_BUILD_PATH
  return FirstMatch(CYGNET_SHIM_BUILD_PATH);
#else
  return std::nullopt;
#endif
}

std::optional<std::string> FindCommand(const std::string& command) {
  if (command.find('/') != std::string::npos) {
    return IsProgram(command) ? std::optional(command) : std::nullopt;
  }
  const char* path = std::getenv("PATH");
  std::istringstream folders(path != nullptr ? path : "/usr/bin:/bin");
  for (std::string folder; std::getline(folders, folder, ':');) {
    const std::string candidate = (folder.empty() ? "." : folder) + "/" + command;
    if (!command.empty() && IsProgram(candidate)) {
      return candidate;
    }
  }
  return std::nullopt;
}

std::optional<std::string> WhyPreloadFails(const std::string& path) { return WhyFails(path, 0); }

int RunExec(int argc, char** argv) {
  if (argc < 1) {
    return Say(kNotReady, "no command given; usage: cygnet exec -- COMMAND [ARGUMENT ...]");
  }
  const auto shim = FindShim();
  if (!shim) {
    return Say(kNotReady,
               "libcygnet_xfrm.so not found next to this program; set CYGNET_SHIM to its path");
  }
  if (shim->find_first_of(": ") != std::string::npos) {
    return Say(kNotReady,
               "the path of the shim must not contain a blank or colon: \"" + *shim + "\"");
  }
  const auto program = FindCommand(argv[0]);
  if (!program) {
    const bool exists = access(argv[0], F_OK) == 0 && std::strchr(argv[0], '/') != nullptr;
    return exists ? Say(kRefused, std::string(argv[0]) + ": not executable")
                  : Say(kNotFound, std::string(argv[0]) + ": not found");
  }
  if (const auto why = WhyPreloadFails(*program)) {
    return Say(kRefused, *program + ": would talk to the kernel's XFRM, not to cygnetd: " + *why);
  }
  if (const std::string why = WhyNoDaemon(); !why.empty()) return Say(kNotReady, why);
  PrependPreload(*shim);
  std::vector<char*> arguments(argv, argv + argc);
  arguments.push_back(nullptr);
  execvp(program->c_str(), arguments.data());
  return Say(kRefused, *program + ": " + std::strerror(errno));
}

}  // namespace cygnet
