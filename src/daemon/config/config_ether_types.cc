#include "daemon/config/config_ether_types.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

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

Error Invalid(std::string text) { return MakeError(Errc::kInvalid, std::move(text)); }

Result<uint16_t> ReadOne(const TomlValue& element) {
  if (element.As<std::string>() != nullptr) {
    uint16_t type = 0;
    const Status read = OneOf(std::span<const NamedValue<uint16_t>>(kNames)).read(element, &type);
    return read ? Result<uint16_t>(type) : read.error();
  }
  const auto* number = element.As<int64_t>();
  if (number == nullptr) {
    return Invalid(fmt::format("must hold names or numbers, holds {}", element.TypeName()));
  }
  if (*number < kFirstEtherType || *number > 0xffff) {
    return Invalid(fmt::format("0x{:x} is not an ether type (0x600 to 0xffff)", *number));
  }
  const auto type = static_cast<uint16_t>(*number);
  if (type == kEtherTypeArp) return Invalid("well-formed ARP always passes");
  if (CarriesIp(type)) {
    return Invalid(fmt::format("0x{:04x} carries IP that policies would not see", type));
  }
  return type;
}

Status ReadAll(const TomlValue& value, std::vector<uint16_t>* out) {
  const auto* array = value.As<TomlValue::Array>();
  if (array == nullptr) return WrongType("an array", value);
  out->clear();
  for (const TomlValue& element : *array) {
    const auto type = ReadOne(element);
    if (!type) return type.error();
    if (std::find(out->begin(), out->end(), *type) != out->end()) {
      return Invalid(fmt::format("0x{:04x} is given twice", *type));
    }
    out->push_back(*type);
  }
  if (out->size() <= EtherTypes::kMax) return {};
  return Invalid(
      fmt::format("has {} entries, at most {} are allowed", out->size(), EtherTypes::kMax));
}

std::optional<TomlValue> ShowAll(const std::vector<uint16_t>& types) {
  TomlValue::Array array;
  for (const uint16_t type : types) {
    const std::string_view name = NameIn(std::span<const NamedValue<uint16_t>>(kNames), type);
    array.push_back(name != "?" ? TomlValue(std::string(name))
                                : TomlValue(int64_t{type}, NumberBase::kHexadecimal));
  }
  return TomlValue(std::move(array));
}

}  // namespace

Codec<std::vector<uint16_t>> EtherTypeList() {
  return {"an array of names and numbers", ReadAll, ShowAll};
}

}  // namespace cygnet
