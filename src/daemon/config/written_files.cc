#include "daemon/config/written_files.h"

#include <fmt/format.h>

#include <filesystem>
#include <map>
#include <system_error>

namespace cygnet {
namespace {

// Links are resolved as far as the path exists.
std::string Resolved(const std::string& path) {
  std::error_code error;
  const std::filesystem::path whole = std::filesystem::absolute(path, error);
  if (error) return path;
  const std::filesystem::path resolved = std::filesystem::weakly_canonical(whole, error);
  return error ? path : resolved.string();
}

struct Use {
  std::string key;
  std::string beside;
  bool written;
};

std::string WordsOf(const Use& use) {
  return use.beside.empty() ? use.key : fmt::format("{} with \"{}\" appended", use.key, use.beside);
}

}  // namespace

std::string WhatIsTheSameFile(const std::vector<NamedFile>& files) {
  std::map<std::string, Use> uses;
  for (const NamedFile& file : files) {
    if (file.path.empty()) continue;
    std::vector<std::string> names = {""};
    names.insert(names.end(), file.beside.begin(), file.beside.end());
    for (const std::string& beside : names) {
      const Use use{file.key, beside, file.written};
      const auto [other, is_new] = uses.try_emplace(Resolved(file.path + beside), use);
      if (is_new || other->second.key == file.key) continue;
      if (!other->second.written && !file.written) continue;
      return fmt::format("{} and {} are the same file, {}: name different ones",
                         WordsOf(other->second), WordsOf(use), file.path + beside);
    }
  }
  return {};
}

}  // namespace cygnet
