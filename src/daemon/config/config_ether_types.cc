#include "daemon/config/config_ether_types.h"

#include "net/ether_types.h"

namespace cygnet {
namespace {

constexpr std::array<NamedValue<uint16_t>, 6> kNames = {{
    {"lldp", 0x88cc},
    {"eapol", 0x888e},
    {"slow", 0x8809},  // LACP among them
    {"ptp", 0x88f7},
    {"cfm", 0x8902},
    {"profinet", 0x8892},
}};

std::vector<std::string_view> Names() {
  std::vector<std::string_view> names;
  for (const auto& [name, type] : kNames) names.push_back(name);
  return names;
}

uint16_t ReadOne(const TableReader& reader, std::string_view key, const toml::node& element) {
  if (const auto name = element.value_exact<std::string>()) {
    reader.CheckIsOneOf(key, *name, Names());
    for (const auto& [known, type] : kNames) {
      if (known == *name) return type;
    }
  }
  const auto number = element.value_exact<int64_t>();
  if (!number) {
    reader.Fail(key, fmt::format("must hold names or numbers, holds {}", TypeName(element)));
  }
  if (*number < kFirstEtherType || *number > 0xffff) {
    reader.Fail(key, fmt::format("0x{:x} is not an ether type (0x600 to 0xffff)", *number));
  }
  const auto type = static_cast<uint16_t>(*number);
  if (type == kEtherTypeArp) reader.Fail(key, "ARP passes always, where it is well-formed");
  if (CarriesIp(type)) {
    reader.Fail(key, fmt::format("0x{:04x} carries IP, which policy would not see there", type));
  }
  return type;
}

}  // namespace

void ReadEtherTypes(const TableReader& reader, std::string_view key, std::vector<uint16_t>* out) {
  const toml::node* node = reader.Find(key);
  if (node == nullptr) return;
  if (!node->is_array()) reader.Fail(key, fmt::format("must be an array, is {}", TypeName(*node)));
  out->clear();
  for (const toml::node& element : *node->as_array()) {
    const uint16_t type = ReadOne(reader, key, element);
    if (std::find(out->begin(), out->end(), type) != out->end()) {
      reader.Fail(key, fmt::format("0x{:04x} is named twice", type));
    }
    out->push_back(type);
  }
  if (out->size() > EtherTypes::kMax) {
    reader.Fail(key, fmt::format("holds {}, there is room for {}", out->size(), EtherTypes::kMax));
  }
}

std::string DescribeEtherTypes(std::span<const uint16_t> types) {
  std::string text;
  for (const uint16_t type : types) {
    std::string word = fmt::format("0x{:04x}", type);
    for (const auto& [name, known] : kNames) {
      if (known == type) word = fmt::format("\"{}\"", name);
    }
    text += (text.empty() ? "" : ", ") + word;
  }
  return "[" + text + "]";
}

}  // namespace cygnet
