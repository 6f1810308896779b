// PluginLibrary: a shared library with a driver or an engine by others (include/cygnet). Its code
// runs in this process with every key that it is given, so a daemon loads only files that nobody
// but root and the daemon's own user can change. A library stays loaded until the process ends:
// threads of its own may still be on their way out.
#pragma once

#include <cstring>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace cygnet {

enum class PluginTrust : uint8_t {
  // The file and all folders above it belong to root or to the user of this process, and nobody
  // else may write there.
  kNobodyElse,
  kAnyOwner,  // whoever runs the program vouches for the file
};

// The file of a plug-in, which passed the checks.
struct PluginFile {
  std::string path;    // resolved
  std::string sha256;  // in hexadecimal
};
// Loads nothing.
Result<PluginFile> CheckPluginFile(const std::string& path, PluginTrust trust);

// Runs `load` in a trial (plugin/trial.h) before this process does it: once for each file, and only
// under kNobodyElse. Whoever loads with kAnyOwner is a trial itself, or a test.
Status TryToLoad(const std::string& path, PluginTrust trust, const std::function<Status()>& load);

class PluginLibrary {
 public:
  static Result<PluginLibrary> Load(const std::string& path, PluginTrust trust);

  // nullptr: the library does not have it.
  void* Find(const char* symbol) const;
  // As it was resolved.
  const std::string& path() const { return file_.path; }
  // Of the file, in hexadecimal.
  const std::string& sha256() const { return file_.sha256; }

 private:
  PluginLibrary(void* handle, PluginFile file) : handle_(handle), file_(std::move(file)) {}
  void* handle_;
  PluginFile file_;
};

// What is wrong with owner and mode of the file or a folder above it, under kNobodyElse; empty:
// nothing. `path` is absolute and has no links.
std::string WhoElseMayWrite(const std::string& path);
Result<std::string> Sha256OfFile(const std::string& path);

// A member of a plug-in's table that must not be NULL.
struct RequiredMember {
  std::size_t offset;
  std::string_view name;
};
#define CYGNET_REQUIRED(type, member) \
  RequiredMember { offsetof(type, member), #member }

// The name of the first member that is NULL; empty: none. `table`: as ReadTable returned it.
std::string_view MissingMember(const void* table, std::span<const RequiredMember> required);

// Copies a table that begins with its size: members that its maker did not know become NULL.
// nullptr: all are.
template <typename T>
T ReadTable(const T* from) {
  T table{};
  if (from == nullptr) return table;
  const std::size_t known = from->size < sizeof(T) ? from->size : sizeof(T);
  std::memcpy(&table, from, known);
  return table;
}

}  // namespace cygnet
