// Test vectors as text: "name = value" lines, blank lines between records, # comments. An attribute
// that no test reads is a failure, because an unchecked vector proves nothing.
#pragma once

#include <fstream>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/hex.h"

namespace cygnet::test {

class VectorRecord {
 public:
  int line = 0;
  std::map<std::string, std::string> fields;

  bool Has(const std::string& name) const { return fields.contains(name); }
  const std::string& Text(const std::string& name) const {
    used_.insert(name);
    const auto it = fields.find(name);
    if (it == fields.end()) {
      throw std::runtime_error("line " + std::to_string(line) + ": missing attribute " + name);
    }
    return it->second;
  }
  std::vector<uint8_t> Bytes(const std::string& name) const { return FromHex(Text(name)); }
  std::vector<std::string> Unused() const {
    std::vector<std::string> out;
    for (const auto& [name, value] : fields) {
      if (!used_.contains(name)) out.push_back(name);
    }
    return out;
  }

 private:
  mutable std::set<std::string> used_;
};

inline std::vector<VectorRecord> ReadVectorFile(const std::string& path) {
  std::ifstream in(path);
  if (!in) throw std::runtime_error("cannot open " + path);
  std::vector<VectorRecord> records;
  VectorRecord current;
  std::string line;
  int number = 0;
  const auto flush = [&] {
    if (!current.fields.empty()) records.push_back(current);
    current = VectorRecord();
  };
  while (std::getline(in, line)) {
    ++number;
    if (line.empty()) {
      flush();
      continue;
    }
    if (line[0] == '#') continue;
    const std::size_t eq = line.find('=');
    if (eq == std::string::npos) throw std::runtime_error(path + ": bad line: " + line);
    std::string name = line.substr(0, line.find_last_not_of(' ', eq - 1) + 1);
    const std::size_t begin = line.find_first_not_of(' ', eq + 1);
    if (current.fields.empty()) current.line = number;
    current.fields[name] = begin == std::string::npos ? "" : line.substr(begin);
  }
  flush();
  return records;
}

}  // namespace cygnet::test
