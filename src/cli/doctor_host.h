// Settings of this host that `cygnet doctor` looks at.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace cygnet {

// nullopt: it cannot be read here.
struct HostFacts {
  std::optional<bool> clock_synchronized{};
  std::optional<bool> forwards_v4{};
  std::optional<bool> forwards_v6{};
  // Strictness of the reverse path filter for each device, as the kernel applies it: 0, 1, 2.
  std::map<std::string, int> reverse_path{};
  // Whether the host's side of each device is up (IFF_UP).
  std::map<std::string, bool> interface_up{};
  std::optional<std::set<std::string>> addresses{};  // of every interface
  std::optional<std::string> huge_pages{};           // "always", "madvise", "never"
  std::optional<bool> kernel_fips{};
};

// `devices`: names of interfaces. Changes nothing.
HostFacts ReadHost(const std::vector<std::string>& devices);

// The word in brackets: "always [madvise] never" has "madvise". Empty: none.
std::string ChosenWord(const std::string& text);

}  // namespace cygnet
