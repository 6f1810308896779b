#include "daemon/system/kernel_settings.h"

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/errno_error.h"

namespace cygnet {
namespace {

constexpr const char* kFolder = "/proc/sys/net/core";

}  // namespace

uint32_t ReadSetting(const std::string& path, uint32_t fallback) {
  std::FILE* file = std::fopen(path.c_str(), "re");
  if (file == nullptr) return fallback;
  unsigned value = 0;
  const bool read = std::fscanf(file, "%u", &value) == 1;
  std::fclose(file);
  return read ? value : fallback;
}

uint32_t ReadAcquireExpires() {
  constexpr uint32_t kKernelDefault = 30;
  return ReadSetting(std::string(kFolder) + "/xfrm_acq_expires", kKernelDefault);
}

Result<bool> ReadKernelFips(const std::string& path) {
  std::FILE* file = std::fopen(path.c_str(), "re");
  if (file == nullptr) {
    if (errno == ENOENT) return false;
    return ErrnoError(path);
  }
  unsigned value = 0;
  const bool read = std::fscanf(file, "%u", &value) == 1;
  std::fclose(file);
  if (!read) return MakeError(Errc::kIo, path + ": does not contain a number");
  return value != 0;
}

XfrmSettings ReadXfrmSettings() { return ReadXfrmSettingsIn(kFolder); }

XfrmSettings ReadXfrmSettingsIn(const std::string& folder) {
  const XfrmSettings defaults;
  return {.aevent_rseqth = ReadSetting(folder + "/xfrm_aevent_rseqth", defaults.aevent_rseqth),
          .aevent_etime = ReadSetting(folder + "/xfrm_aevent_etime", defaults.aevent_etime),
          .larval_drop = ReadSetting(folder + "/xfrm_larval_drop", defaults.larval_drop) != 0};
}

}  // namespace cygnet
