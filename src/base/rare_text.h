// RareText: a text that few objects have. It takes eight bytes, and no more while empty.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "base/boxed.h"

namespace cygnet {

class RareText {
 public:
  RareText() = default;
  RareText(std::string text) {  // NOLINT: as a string
    if (!text.empty()) text_ = std::move(text);
  }
  RareText(const char* text) : RareText(std::string(text)) {}  // NOLINT: as a string

  bool empty() const { return !text_.has_value(); }
  const std::string& str() const {
    static const std::string nothing;
    return text_.has_value() ? *text_ : nothing;
  }
  operator const std::string&() const { return str(); }  // NOLINT: as a string

  friend bool operator==(const RareText& a, const RareText& b) { return a.str() == b.str(); }
  friend std::string operator+(std::string_view a, const RareText& b) {
    return std::string(a) + b.str();
  }

 private:
  Boxed<std::string> text_;
};

}  // namespace cygnet
