// Keys of SAs in the form that Wireshark reads: a configuration folder with its table of ESP SAs.
// pcapng has no block for keys of ESP (its Decryption Secrets Block knows TLS, SSH, WireGuard …).
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "base/result.h"
#include "base/unique_fd.h"

namespace cygnet {

// One line of Wireshark's table esp_sa. `sa`: KeysOf (daemon/operator/report_json.h). A comment if
// Wireshark does not know the cipher.
std::string EspSaLine(const nlohmann::ordered_json& sa);

class KeyFolder {
 public:
  // Makes the folder (0700) with an empty table (0600), or empties the table of an existing folder.
  // Fails if `path` exists and is not a folder of this user's.
  static Result<KeyFolder> Create(const std::string& path);

  Status Add(const nlohmann::ordered_json& sa);
  // Removes the keys, and the folder if Create made it.
  void Discard();
  const std::string& path() const { return path_; }
  uint64_t sas() const { return sas_; }

 private:
  KeyFolder(std::string path, UniqueFd table, bool made)
      : path_(std::move(path)), table_(std::move(table)), made_(made) {}

  std::string path_;
  UniqueFd table_;
  bool made_ = false;  // the folder did not exist before
  uint64_t sas_ = 0;
};

}  // namespace cygnet
