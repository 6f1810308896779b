// Numbers and times in a few columns.
#pragma once

#include <cstdint>
#include <string>

namespace cygnet::top {

// At most five columns: "0", "0.5", "12.3", "999", "1.2k", "12.3k", "123k", "4.5M".
std::string Short(double value);
// At most five columns: "45s", "12m", "3h05", "2d04h", "120d".
std::string Span(double seconds);

}  // namespace cygnet::top
