// Samples: metrics in the text format of Prometheus (version 0.0.4), collected by name.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <utility>

namespace cygnet {

// The format requires the samples of one name together, after its HELP and TYPE.
class Samples {
 public:
  using Labels = std::initializer_list<std::pair<std::string_view, std::string>>;

  void Counter(const std::string& name, std::string_view help, const Labels& labels,
               uint64_t value) {
    Add(name, "counter", help, labels, fmt::format("{}", value));
  }
  void Gauge(const std::string& name, std::string_view help, const Labels& labels, uint64_t value) {
    Add(name, "gauge", help, labels, fmt::format("{}", value));
  }
  void Ratio(const std::string& name, std::string_view help, const Labels& labels, double value) {
    Add(name, "gauge", help, labels, fmt::format("{:.6g}", value));
  }
  std::string Text() const {
    std::string text;
    for (const auto& [name, lines] : families_) text += lines;
    return text;
  }

 private:
  static std::string Escaped(std::string_view value) {
    std::string text;
    for (const char c : value) {
      if (c == '\n') {
        text += "\\n";
        continue;
      }
      if (c == '"' || c == '\\') text += '\\';
      text += c;
    }
    return text;
  }

  void Add(const std::string& name, std::string_view type, std::string_view help,
           const Labels& labels, const std::string& value) {
    std::string& lines = families_[name];
    if (lines.empty()) {
      lines = fmt::format("# HELP {0} {1}\n# TYPE {0} {2}\n", name, help, type);
    }
    std::string list;
    for (const auto& [label, text] : labels) {
      list += fmt::format("{}{}=\"{}\"", list.empty() ? "" : ",", label, Escaped(text));
    }
    lines += list.empty() ? fmt::format("{} {}\n", name, value)
                          : fmt::format("{}{{{}}} {}\n", name, list, value);
  }

  std::map<std::string, std::string> families_;
};

}  // namespace cygnet
