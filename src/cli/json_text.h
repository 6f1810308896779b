// JSON as it is printed: in one line, or with --pretty in lines of its own.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace cygnet {

using Json = nlohmann::ordered_json;

// Without a line break at its end, whatever bytes the texts have. `depth`: of the array that it is
// in, for --pretty.
std::string JsonText(const Json& json, bool pretty = false, int depth = 0);

// One line for each element, or with --pretty several; with a line break at its end.
std::string JsonArrayText(const std::vector<Json>& items, bool pretty);

}  // namespace cygnet
