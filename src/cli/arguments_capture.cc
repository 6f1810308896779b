// The command line of capture, and of extcap, whose options are Wireshark's (extcap(4)).
#include "cli/arguments_parts.h"

namespace cygnet {
namespace {

constexpr uint32_t kMaxSnapLength = 262'144;  // the daemon's limit
constexpr std::string_view kExtcapPrefix = "cygnet-";

void SetSide(Json* request, const std::string& side) {
  if (side != "host" && side != "wire" && side != "guard") {
    throw UsageError{
        fmt::format("side: must be \"host\", \"wire\" or \"guard\", not \"{}\"", side)};
  }
  SetOnce(request, "side", side);
}

void SetSnapLength(Json* request, const std::string& text) {
  SetOnce(request, "snaplen", ParseNumber("snaplen", text, 1, kMaxSnapLength));
}

// An option of Wireshark: "--name VALUE" or "--name=VALUE".
struct Option {
  std::string_view name;
  std::optional<std::string_view> value;
};

Option TakeOption(Words* words) {
  const std::string_view word = words->Take();
  const std::size_t equals = word.find('=');
  if (equals == std::string_view::npos) return {word, std::nullopt};
  return {word.substr(0, equals), word.substr(equals + 1)};
}

std::string ValueOf(const Option& option, Words* words) {
  return option.value ? std::string(*option.value) : words->TakeValue(option.name);
}

// False: not an action.
bool SetAction(std::string_view name, Arguments* out) {
  constexpr std::pair<std::string_view, ExtcapAction> kActions[] = {
      {"--extcap-interfaces", ExtcapAction::kInterfaces},
      {"--extcap-dlts", ExtcapAction::kDlts},
      {"--extcap-config", ExtcapAction::kConfig},
      {"--capture", ExtcapAction::kCapture}};
  for (const auto& [known, action] : kActions) {
    if (known != name) continue;
    out->extcap = action;
    return true;
  }
  return false;
}

void SetExtcapOption(const Option& option, const std::string& value, Arguments* out) {
  if (option.name == "--extcap-interface") {
    if (!value.starts_with(kExtcapPrefix)) {
      throw UsageError{fmt::format("extcap: \"{}\" is not one of Cygnet's interfaces", value)};
    }
    SetOnce(&out->request, "device", value.substr(kExtcapPrefix.size()));
  } else if (option.name == "--fifo") {
    out->write_file = value;
  } else if (option.name == "--side") {
    if (value != "both") SetSide(&out->request, value);
  } else if (option.name == "--snaplen") {
    SetSnapLength(&out->request, value);
  } else if (option.name != "--extcap-version" && option.name != "--extcap-capture-filter" &&
             option.name != "--extcap-reload-option") {
    FailUnknown("extcap", option.name);
  }
}

}  // namespace

void ParseCapture(Words* words, Arguments* out) {
  if (out->json) throw UsageError{"capture writes pcapng; it has no JSON form"};
  Json& request = out->request = {{"command", "capture"}};
  while (!words->done()) {
    const std::string_view word = words->Take();
    if (word == "dev") {
      SetOnce(&request, "device", words->TakeValue(word));
    } else if (word == "side") {
      SetSide(&request, words->TakeValue(word));
    } else if (word == "snaplen") {
      SetSnapLength(&request, words->TakeValue(word));
    } else if (word == "--with-keys") {
      request["with_keys"] = true;
    } else if (word == "write") {
      out->write_file = words->TakeValue(word);
    } else if (word == "count") {
      out->count = ParseNumber(word, words->TakeValue(word), 1, ~uint64_t{0});
    } else {
      FailUnknown("capture", word);
    }
  }
  if (!request.contains("device")) throw UsageError{"capture: \"dev NAME\" is missing"};
  if (request.contains("with_keys") && out->write_file == "-") {
    throw UsageError{"capture: --with-keys needs \"write FILE\": the keys go to FILE.keys"};
  }
}

void ParseExtcap(Words* words, Arguments* out) {
  if (out->json) throw UsageError{"extcap answers Wireshark; it has no JSON form"};
  out->request = {{"command", "capture"}};
  while (!words->done()) {
    const Option option = TakeOption(words);
    if (!SetAction(option.name, out)) SetExtcapOption(option, ValueOf(option, words), out);
  }
  if (out->extcap == ExtcapAction::kInterfaces) {
    out->request = {{"command", "dev"}};
  } else if (!out->request.contains("device")) {
    throw UsageError{"extcap: --extcap-interface is missing"};
  }
  if (out->extcap == ExtcapAction::kCapture && out->write_file == "-") {
    throw UsageError{"extcap: --capture needs --fifo"};
  }
}

}  // namespace cygnet
