#include "plugin/plugin_library.h"

#include <dlfcn.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <set>

#include "base/errno_error.h"
#include "base/plain_text.h"
#include "plugin/trial.h"

namespace cygnet {
namespace {

std::string LoaderError() {
  const char* text = dlerror();
  return text != nullptr ? PlainText(text) : "unknown error of the loader";
}

Result<std::string> Resolve(const std::string& path) {
  std::array<char, PATH_MAX> resolved;
  if (realpath(path.c_str(), resolved.data()) == nullptr) return ErrnoError("plug-in " + path);
  return std::string(resolved.data());
}

}  // namespace

std::string WhoElseMayWrite(const std::string& path) {
  for (std::string part = path; !part.empty();) {
    struct stat info {};
    if (stat(part.c_str(), &info) != 0) return part + " cannot be examined";
    if (info.st_uid != 0 && info.st_uid != geteuid()) {
      return part + " belongs to another user than root";
    }
    const bool of_group = (info.st_mode & S_IWGRP) != 0 && info.st_gid != 0;
    if (of_group || (info.st_mode & S_IWOTH) != 0) return part + " can be written by others";
    if (part == "/") break;
    part.resize(part.find_last_of('/'));
    if (part.empty()) part = "/";
  }
  return {};
}

Result<std::string> Sha256OfFile(const std::string& path) {
  const std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path.c_str(), "re"), std::fclose);
  const std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> digest(EVP_MD_CTX_new(),
                                                                  EVP_MD_CTX_free);
  if (file == nullptr) return ErrnoError("plug-in " + path);
  bool good = digest != nullptr && EVP_DigestInit_ex(digest.get(), EVP_sha256(), nullptr) == 1;
  std::array<uint8_t, 65536> block;
  for (std::size_t n = 1; good && n > 0;) {
    n = std::fread(block.data(), 1, block.size(), file.get());
    good = EVP_DigestUpdate(digest.get(), block.data(), n) == 1;
  }
  std::array<uint8_t, 32> sum{};
  good = good && std::ferror(file.get()) == 0 &&
         EVP_DigestFinal_ex(digest.get(), sum.data(), nullptr) == 1;
  if (!good) return MakeError(Errc::kIo, "plug-in " + path + " cannot be read");
  std::string text;
  for (const uint8_t byte : sum) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

Result<PluginFile> CheckPluginFile(const std::string& path, PluginTrust trust) {
  auto resolved = Resolve(path);
  if (!resolved) return resolved.error();
  if (trust == PluginTrust::kNobodyElse) {
    const std::string wrong = WhoElseMayWrite(*resolved);
    if (!wrong.empty()) {
      return MakeError(Errc::kPermission, "plug-in " + path + " is refused: " + wrong +
                                              "; nobody but root may be able to change it");
    }
  }
  struct stat info {};
  if (stat(resolved->c_str(), &info) != 0) return ErrnoError("plug-in " + path);
  if (!S_ISREG(info.st_mode))
    return MakeError(Errc::kInvalid, "plug-in " + path + " is not a file");
  auto sum = Sha256OfFile(*resolved);
  if (!sum) return sum.error();
  return PluginFile{*std::move(resolved), *std::move(sum)};
}

Status TryToLoad(const std::string& path, PluginTrust trust, const std::function<Status()>& load) {
  if (trust == PluginTrust::kAnyOwner) return {};
  static std::set<std::string> tried;  // path and sum; control thread
  const auto file = CheckPluginFile(path, trust);
  if (!file) return file.error();
  const std::string name = file->path + " " + file->sha256;
  if (tried.contains(name)) return {};
  CYGNET_RETURN_IF_ERROR(Try(path, load));
  tried.insert(name);
  return {};
}

Result<PluginLibrary> PluginLibrary::Load(const std::string& path, PluginTrust trust) {
  auto file = CheckPluginFile(path, trust);
  if (!file) return file.error();
  NoteStep("dlopen");
  void* handle = dlopen(file->path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    return MakeError(Errc::kInvalid, "plug-in " + path + " cannot be loaded: " + LoaderError());
  }
  return PluginLibrary(handle, *std::move(file));
}

void* PluginLibrary::Find(const char* symbol) const { return dlsym(handle_, symbol); }

std::string_view MissingMember(const void* table, std::span<const RequiredMember> required) {
  for (const RequiredMember& member : required) {
    void* pointer = nullptr;  // pointers to functions have the size of others on Linux
    std::memcpy(&pointer, static_cast<const uint8_t*>(table) + member.offset, sizeof(pointer));
    if (pointer == nullptr) return member.name;
  }
  return {};
}

}  // namespace cygnet
