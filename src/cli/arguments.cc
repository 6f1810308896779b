#include "cli/arguments.h"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "cli/arguments_parts.h"

namespace cygnet {
namespace {

// A shortened name means the first object that it begins.
constexpr std::array<std::pair<std::string_view, Object>, 22> kObjects = {{
    {"sa", Object::kSa},
    {"policy", Object::kPolicy},
    {"dev", Object::kDevice},
    {"stat", Object::kStat},
    {"capture", Object::kCapture},
    {"exec", Object::kExec},
    {"engine", Object::kEngine},
    {"mtu", Object::kMtu},
    {"fips", Object::kFips},
    {"doctor", Object::kDoctor},
    {"ledger", Object::kLedger},
    {"offload", Object::kOffload},
    {"placement", Object::kPlacement},
    {"metrics", Object::kMetrics},
    {"sim", Object::kSim},
    {"reload", Object::kReload},
    {"stored", Object::kStored},
    {"cluster", Object::kCluster},
    {"extcap", Object::kExtcap},
    {"tunnel", Object::kTunnel},
    {"version", Object::kVersion},
    {"help", Object::kHelp},
}};

void ParseSaFilter(Words* words, Arguments* out) {
  while (!words->done()) {
    const std::string_view word = words->Take();
    if (word == "--show-keys" && out->object == Object::kSa) {
      out->request["show_keys"] = true;
    } else if (word == "spi") {
      SetOnce(&out->request, "spi", ParseNumber(word, words->TakeValue(word), 0, kMaxNumber));
    } else if (word == "reqid") {
      SetOnce(&out->request, "reqid", ParseNumber(word, words->TakeValue(word), 0, kMaxNumber));
    } else if (word == "dst") {
      SetOnce(&out->request, "dst", ParseIpAddress(word, words->TakeValue(word)));
    } else if (word == "src") {
      SetOnce(&out->request, "src", ParseIpAddress(word, words->TakeValue(word)));
    } else {
      FailUnknown("sa", word);
    }
  }
}

void ParseSa(Words* words, Arguments* out) {
  out->request = {{"command", "sa"}};
  SkipListCommand(words);
  ParseSaFilter(words, out);
}

void ParsePolicy(Words* words, Arguments* out) {
  out->request = {{"command", "policy"}};
  SkipListCommand(words);
  if (!words->done()) FailUnknown("policy", words->Take());
}

void ParseDevice(Words* words, Arguments* out) {
  out->request = {{"command", "dev"}};
  SkipListCommand(words);
  while (!words->done()) {
    const std::string_view word = words->Take();
    if (word == "-s" || word == "--statistics") {
      out->all = true;
      continue;
    }
    if (word.starts_with("-")) FailUnknown("dev", word);
    // As in ip-link(8), the keyword may be omitted.
    SetOnce(&out->request, "name", word == "dev" ? words->TakeValue(word) : word);
  }
}

void ParseStat(Words* words, Arguments* out) {
  if (words->Peek() == "sa") {
    words->Take();
    out->object = Object::kStatSa;
    out->request = {{"command", "sa"}};
    ParseSaFilter(words, out);
    return;
  }
  out->request = {{"command", "stat"}};
  SkipListCommand(words);
  while (!words->done()) {
    const std::string_view word = words->Take();
    if (word != "-a" && word != "--all") FailUnknown("stat", word);
    out->all = true;
  }
}

void ParseEngine(Words* words, Arguments* out) {
  out->request = {{"command", "engine"}};
  SkipListCommand(words);
  if (!words->done()) FailUnknown("engine", words->Take());
}

void ParseTunnel(Words* words, Arguments* out) {
  out->request = {{"command", "tunnel"}};
  SkipListCommand(words);
  if (!words->done()) FailUnknown("tunnel", words->Take());
}

uint64_t ParseProtocol(const std::string& text) {
  constexpr std::pair<std::string_view, uint8_t> kNames[] = {
      {"icmp", 1}, {"tcp", 6}, {"udp", 17}, {"gre", 47}, {"icmpv6", 58}, {"sctp", 132}};
  for (const auto& [name, number] : kNames) {
    if (name == text) return number;
  }
  return ParseNumber("proto", text, 0, 255);
}

void ParseMtu(Words* words, Arguments* out) {
  Json& request = out->request = {{"command", "mtu"}};
  if (!words->TakeIf("explain")) throw UsageError{"mtu: usage: cygnet mtu explain ADDRESS ..."};
  if (words->done()) throw UsageError{"mtu explain: ADDRESS is missing"};
  request["dst"] = ParseIpAddress("mtu explain", std::string(words->Take()));
  while (!words->done()) {
    const std::string_view word = words->Take();
    if (word == "src") {
      SetOnce(&request, "src", ParseIpAddress(word, words->TakeValue(word)));
    } else if (word == "proto") {
      SetOnce(&request, "proto", ParseProtocol(words->TakeValue(word)));
    } else if (word == "dport") {
      SetOnce(&request, "dport", ParseNumber(word, words->TakeValue(word), 0, 65'535));
    } else {
      FailUnknown("mtu explain", word);
    }
  }
}

void ParseFips(Words* words, Arguments* out) {
  Json& request = out->request = {{"command", "fips"}};
  if (words->TakeIf("reload")) {
    request["action"] = "reload";
  } else if (words->TakeIf("mode")) {
    const std::string mode = words->TakeValue("fips mode");
    if (mode != "auto" && mode != "on" && mode != "off") {
      throw UsageError{
          fmt::format("fips mode: must be \"auto\", \"on\" or \"off\", not \"{}\"", mode)};
    }
    request["action"] = "mode";
    request["mode"] = mode;
  } else {
    SkipListCommand(words);
  }
  if (!words->done()) FailUnknown("fips", words->Take());
}

void ParseStored(Words* words, Arguments* out) {
  out->request = {{"command", "stored"}};
  if (words->TakeIf("accept")) {
    out->request["action"] = "accept";
  } else {
    SkipListCommand(words);
  }
  if (!words->done()) FailUnknown("stored", words->Take());
}

void ParseCluster(Words* words, Arguments* out) {
  Json& request = out->request = {{"command", "cluster"}};
  if (!words->TakeIf("move")) {
    SkipListCommand(words);
    if (!words->done()) FailUnknown("cluster", words->Take());
    return;
  }
  constexpr std::string_view kUsage = "usage: cygnet cluster move group NAME to NODE";
  request["action"] = "move";
  while (!words->done()) {
    const std::string_view word = words->Take();
    if (word == "group") {
      SetOnce(&request, "group", words->TakeValue(word));
    } else if (word == "to") {
      SetOnce(&request, "node", words->TakeValue(word));
    } else {
      FailUnknown("cluster move", word);
    }
  }
  if (!request.contains("group") || !request.contains("node")) {
    throw UsageError{fmt::format("cluster move: {}", kUsage)};
  }
}

void ParseDoctor(Words* words, Arguments* out) {
  out->request = {{"command", "doctor"}};
  if (words->Peek() == "--fips") {
    words->Take();
    out->object = Object::kDoctorFips;
    out->request = {{"command", "fips"}};
  }
  if (!words->done()) FailUnknown("doctor", words->Take());
}

void ParseReload(Words* words, Arguments* out) {
  out->request = {{"command", "reload"}};
  if (!words->done()) FailUnknown("reload", words->Take());
}

void ParseExec(Words* words, Arguments* out) {
  if (words->Peek() == "--") words->Take();
  if (words->done()) throw UsageError{"exec: no command given; usage: cygnet exec -- COMMAND ..."};
  out->command_at = words->at();
}

Object FindObject(std::string_view word) {
  for (const auto& [name, object] : kObjects) {
    if (name.starts_with(word)) return object;
  }
  throw UsageError{fmt::format("unknown object \"{}\"; try \"cygnet help\"", word)};
}

std::string_view NameOf(Object object) {
  for (const auto& [name, known] : kObjects) {
    if (known == object) return name;
  }
  return {};
}

// True: the option is the whole request.
bool ParseOptions(Words* words, Arguments* out) {
  while (words->Peek().starts_with('-')) {
    const std::string_view option = words->Take();
    if (option == "-j" || option == "--json") {
      out->json = true;
    } else if (option == "-h" || option == "--help") {
      out->object = Object::kHelp;
      return true;
    } else if (option == "-V" || option == "--version") {
      out->object = Object::kVersion;
      return true;
    } else {
      throw UsageError{fmt::format("unknown option \"{}\"; try \"cygnet help\"", option)};
    }
  }
  return false;
}

void ParseMetrics(Words* words, Arguments* out) {
  if (out->json) throw UsageError{"metrics writes Prometheus' text; it has no JSON form"};
  if (!words->done()) FailUnknown("metrics", words->Take());
}

using Parser = void (*)(Words* words, Arguments* out);

// The parser of the words after the object's name; nullptr: they are ignored.
Parser ParserOf(Object object) {
  switch (object) {
    case Object::kSa:
      return ParseSa;
    case Object::kPolicy:
      return ParsePolicy;
    case Object::kDevice:
      return ParseDevice;
    case Object::kStat:
    case Object::kStatSa:
      return ParseStat;
    case Object::kEngine:
      return ParseEngine;
    case Object::kTunnel:
      return ParseTunnel;
    case Object::kMtu:
      return ParseMtu;
    case Object::kFips:
      return ParseFips;
    case Object::kDoctor:
    case Object::kDoctorFips:
      return ParseDoctor;
    case Object::kLedger:
      return ParseLedger;
    case Object::kOffload:
    case Object::kExplain:
      return ParseOffload;
    case Object::kPlacement:
      return ParsePlacement;
    case Object::kStored:
      return ParseStored;
    case Object::kCluster:
      return ParseCluster;
    case Object::kSim:
      return ParseSim;
    case Object::kReload:
      return ParseReload;
    case Object::kMetrics:
      return ParseMetrics;
    case Object::kCapture:
      return ParseCapture;
    case Object::kExtcap:
      return ParseExtcap;
    case Object::kExec:
      return ParseExec;
    case Object::kVersion:
    case Object::kHelp:
      return nullptr;
  }
  return nullptr;
}

Arguments Parse(Words words) {
  Arguments out;
  if (ParseOptions(&words, &out)) return out;
  if (words.Peek().empty()) throw UsageError{"no object given; try \"cygnet help\""};
  out.object = FindObject(words.Take());
  if (words.Peek() == "help" || words.Peek() == "--help") {
    // The command of exec may have this name.
    if (out.object != Object::kExec) {
      out.help_for = NameOf(out.object);
      out.object = Object::kHelp;
    }
  }
  if (const auto parse = ParserOf(out.object)) parse(&words, &out);
  return out;
}

}  // namespace

Result<Arguments> ParseArguments(std::span<const char* const> words) {
  try {
    return Parse(Words(words));
  } catch (const UsageError& error) {
    return MakeError(Errc::kInvalid, error.text);
  }
}

}  // namespace cygnet
