// Parsers of "ledger", "offload", "placement" and "sim".
#include <algorithm>
#include <cctype>

#include "cli/arguments_parts.h"

namespace cygnet {
namespace {

bool IsNumber(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return std::isdigit(static_cast<unsigned char>(c)) != 0;
  });
}

std::string TakeOneOf(Words* words, std::string_view keyword,
                      std::initializer_list<std::string_view> allowed) {
  const std::string value = words->TakeValue(keyword);
  std::string list;
  for (const std::string_view word : allowed) {
    if (value == word) return value;
    list += fmt::format("{}\"{}\"", list.empty() ? "" : ", ", word);
  }
  throw UsageError{fmt::format("{}: must be one of {}, not \"{}\"", keyword, list, value)};
}

std::string TakeOffloadMode(Words* words, std::string_view keyword) {
  return TakeOneOf(words, keyword, {"no", "crypto", "packet", "auto", "required"});
}

// False: `word` does not select SAs.
bool ParseSaChoice(std::string_view word, Words* words, Json* request) {
  if (word == "spi" || word == "reqid") {
    SetOnce(request, word == "spi" ? "spi" : "reqid",
            ParseNumber(word, words->TakeValue(word), 0, kMaxNumber));
  } else if (word == "dst") {
    SetOnce(request, "dst", ParseIpAddress(word, words->TakeValue(word)));
  } else {
    return false;
  }
  return true;
}

// NAME [KEYBITS [ICVBITS]], like NAME KEY ICV of `ip xfrm`.
void ParseAlgorithm(std::string_view kind, Words* words, Json* request) {
  const bool auth = kind == "auth";
  SetOnce(request, auth ? "auth" : kind == "enc" ? "cipher" : "aead", words->TakeValue(kind));
  if (!auth && IsNumber(words->Peek())) {
    SetOnce(request, "key_bits", ParseNumber(kind, words->Take(), 1, 4096));
  }
  if (kind != "enc" && IsNumber(words->Peek())) {
    SetOnce(request, "icv_bits", ParseNumber(kind, words->Take(), 1, 4096));
  }
}

// Properties of an SA other than its algorithms. False: `word` is not one of them.
bool ParseSaProperty(std::string_view word, Words* words, Json* request) {
  if (word == "mode") {
    SetOnce(request, "mode", TakeOneOf(words, word, {"transport", "tunnel", "beet"}));
  } else if (word == "encap") {
    TakeOneOf(words, word, {"espinudp"});
    SetOnce(request, "encap", true);
  } else if (word == "replay-window") {
    SetOnce(request, "replay_window", ParseNumber(word, words->TakeValue(word), 0, kMaxNumber));
  } else if (word == "flag") {
    TakeOneOf(words, word, {"esn"});
    SetOnce(request, "esn", true);
  } else if (word == "esn" || word == "tfc") {
    SetOnce(request, word == "esn" ? "esn" : "tfc", true);
  } else if (word == "family") {
    SetOnce(request, "ipv6", TakeOneOf(words, word, {"inet", "inet6"}) == "inet6");
  } else if (word == "dir") {
    SetOnce(request, "direction", TakeOneOf(words, word, {"in", "out"}));
  } else {
    return false;
  }
  return true;
}

void ParseExplain(Words* words, Arguments* out) {
  out->object = Object::kExplain;
  Json& request = out->request = {{"command", "explain"}};
  while (!words->done()) {
    const std::string_view word = words->Take();
    if (word == "aead" || word == "enc" || word == "auth") {
      ParseAlgorithm(word, words, &request);
    } else if (word == "offload") {
      SetOnce(&request, "offload", TakeOffloadMode(words, word));
    } else if (word == "dev") {
      SetOnce(&request, "device", words->TakeValue(word));
    } else if (!ParseSaProperty(word, words, &request)) {
      FailUnknown("offload explain", word);
    }
  }
  if (!request.contains("device")) throw UsageError{"offload explain: \"dev NAME\" is missing"};
  const bool pair = request.contains("cipher") || request.contains("auth");
  if (request.contains("aead") == pair) {
    throw UsageError{"offload explain: give either \"aead NAME\", or \"enc NAME auth NAME\""};
  }
}

void ParseSwitch(std::string_view action, Words* words, Json* request) {
  while (!words->done()) {
    const std::string_view word = words->Take();
    if (word != "dev") FailUnknown(fmt::format("offload {}", action), word);
    SetOnce(request, "device", words->TakeValue(word));
  }
  if (!request->contains("device")) {
    throw UsageError{fmt::format("offload {}: \"dev NAME\" is missing", action)};
  }
}

void ParseOverride(std::string_view action, Words* words, Json* request) {
  const bool set = action == "set";
  while (!words->done()) {
    const std::string_view word = words->Take();
    if (set && word == "mode") {
      SetOnce(request, "mode", TakeOffloadMode(words, word));
    } else if (set && word == "dev") {
      SetOnce(request, "device", words->TakeValue(word));
    } else if (set && word == "pin") {
      SetOnce(request, "pin", true);
    } else if (!ParseSaChoice(word, words, request)) {
      FailUnknown(fmt::format("placement {}", action), word);
    }
  }
  if (!request->contains("spi") && !request->contains("dst") && !request->contains("reqid")) {
    throw UsageError{
        fmt::format("placement {}: select SAs with \"spi\", \"dst\" or \"reqid\"", action)};
  }
  if (set && !request->contains("mode")) {
    throw UsageError{"placement set: \"mode no|crypto|packet|auto|required\" is missing"};
  }
}

}  // namespace

void ParseLedger(Words* words, Arguments* out) {
  Json& request = out->request = {{"command", "ledger"}};
  SkipListCommand(words);
  while (!words->done()) {
    const std::string_view word = words->Take();
    if (word == "dev" || word == "holder") {
      SetOnce(&request, "holder", words->TakeValue(word));
    } else if (word == "current") {
      SetOnce(&request, "current", true);
    } else if (word == "reqid" || !ParseSaChoice(word, words, &request)) {
      FailUnknown("ledger", word);
    }
  }
}

void ParseOffload(Words* words, Arguments* out) {
  out->request = {{"command", "offload"}};
  // "e" means "explain", not "enable".
  if (words->TakeIf("explain")) return ParseExplain(words, out);
  for (const char* action : {"enable", "disable"}) {
    if (!words->TakeIf(action)) continue;
    out->request["action"] = action;
    return ParseSwitch(action, words, &out->request);
  }
  throw UsageError{"offload: usage: cygnet offload explain|enable|disable dev NAME ..."};
}

void ParsePlacement(Words* words, Arguments* out) {
  out->request = {{"command", "placement"}};
  for (const char* action : {"set", "unset"}) {
    if (!words->TakeIf(action)) continue;
    out->request["action"] = action;
    return ParseOverride(action, words, &out->request);
  }
  throw UsageError{"placement: usage: cygnet placement set|unset ..."};
}

void ParseSim(Words* words, Arguments* out) {
  Json& request = out->request = {{"command", "fault"}};
  if (words->Peek() != "dev") throw UsageError{"sim: usage: cygnet sim dev NAME FAULT ..."};
  words->Take();
  request["device"] = words->TakeValue("dev");
  std::string fault;
  while (!words->done()) fault += fmt::format("{}{}", fault.empty() ? "" : " ", words->Take());
  if (fault.empty())
    throw UsageError{"sim: the fault is missing; usage: cygnet sim dev NAME FAULT ..."};
  request["fault"] = fault;
}

}  // namespace cygnet
