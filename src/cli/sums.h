// `cygnet sa --sum`: SAs by their peer, by where they run, or by the reason of it.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

namespace cygnet {

using Json = nlohmann::ordered_json;

class SaSums {
 public:
  // `by`: "peer", "device" or "reason".
  explicit SaSums(std::string by) : by_(std::move(by)) {}

  void Add(const Json& sa);
  // The most SAs come first.
  Json AsJson() const;
  std::string AsText() const;

 private:
  struct Sum {
    uint64_t sas = 0;
    uint64_t packets = 0;
    uint64_t bytes = 0;
    uint64_t drops = 0;
    void Add(const Sum& other);
    Json AsJson() const;
  };
  using Entry = std::pair<std::string, Sum>;

  std::string GroupOf(const Json& sa) const;
  std::vector<Entry> Sorted() const;

  const std::string by_;
  std::map<std::string, Sum> groups_;
  Sum total_;
};

}  // namespace cygnet
