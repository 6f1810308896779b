#include "cli/arguments.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <array>
#include <charconv>
#include <utility>

namespace cygnet {
namespace {

constexpr uint32_t kMaxNumber = ~uint32_t{0};
constexpr uint32_t kMaxSnapLength = 262'144;  // the daemon's limit

// Thrown and caught within this file.
struct UsageError {
  std::string text;
};

// In the order in which a shortened name finds them.
constexpr std::array<std::pair<std::string_view, Object>, 12> kObjects = {{
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
    {"version", Object::kVersion},
    {"help", Object::kHelp},
}};

class Words {
 public:
  explicit Words(std::span<const char* const> words) : words_(words) {}

  bool done() const { return at_ == words_.size(); }
  std::size_t at() const { return at_; }
  std::string_view Peek() const { return done() ? std::string_view() : words_[at_]; }
  std::string_view Take() { return words_[at_++]; }

  // The value behind a keyword.
  std::string TakeValue(std::string_view keyword) {
    if (done()) throw UsageError{fmt::format("\"{}\" needs a value", keyword)};
    return std::string(Take());
  }

  // Steps over `word` or its beginning.
  bool TakeIf(std::string_view word) {
    if (Peek().empty() || !word.starts_with(Peek())) return false;
    ++at_;
    return true;
  }

 private:
  std::span<const char* const> words_;
  std::size_t at_ = 0;
};

uint64_t ParseNumber(std::string_view keyword, std::string_view text, uint64_t min, uint64_t max) {
  std::string_view digits = text;
  const bool hex = text.starts_with("0x") || text.starts_with("0X");
  if (hex) digits.remove_prefix(2);
  uint64_t value = 0;
  const char* end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, value, hex ? 16 : 10);
  if (error != std::errc() || stop != end || value < min || value > max) {
    throw UsageError{
        fmt::format("{}: \"{}\" is no number between {} and {}", keyword, text, min, max)};
  }
  return value;
}

std::string ParseIpAddress(std::string_view keyword, const std::string& text) {
  std::array<uint8_t, 16> bytes;
  if (inet_pton(AF_INET, text.c_str(), bytes.data()) != 1 &&
      inet_pton(AF_INET6, text.c_str(), bytes.data()) != 1) {
    throw UsageError{fmt::format("{}: \"{}\" is no IP address", keyword, text)};
  }
  return text;
}

void SetOnce(Json* request, const char* field, Json value) {
  if (request->contains(field)) throw UsageError{fmt::format("\"{}\" is given twice", field)};
  (*request)[field] = std::move(value);
}

[[noreturn]] void FailUnknown(std::string_view object, std::string_view word) {
  throw UsageError{
      fmt::format("{}: \"{}\" is no command or keyword; try \"cygnet help\"", object, word)};
}

// "list" and "show" mean the same, and are meant when nothing is said.
void SkipListCommand(Words* words) {
  if (!words->TakeIf("list")) words->TakeIf("show");
}

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
    if (word != "dev") FailUnknown("dev", word);
    SetOnce(&out->request, "name", words->TakeValue(word));
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

// By name or number.
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
  if (words->done()) throw UsageError{"mtu explain: the destination's address is missing"};
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
          fmt::format("fips mode: must be \"auto\", \"on\" or \"off\", is \"{}\"", mode)};
    }
    request["action"] = "mode";
    request["mode"] = mode;
  } else {
    SkipListCommand(words);
  }
  if (!words->done()) FailUnknown("fips", words->Take());
}

void ParseDoctor(Words* words, Arguments* out) {
  out->request = {{"command", "fips"}};
  if (words->Peek() != "--fips") throw UsageError{"doctor: usage: cygnet doctor --fips"};
  words->Take();
  if (!words->done()) FailUnknown("doctor", words->Take());
}

void ParseCapture(Words* words, Arguments* out) {
  if (out->json) throw UsageError{"capture writes pcapng; it has no JSON form"};
  Json& request = out->request = {{"command", "capture"}};
  while (!words->done()) {
    const std::string_view word = words->Take();
    if (word == "dev") {
      SetOnce(&request, "device", words->TakeValue(word));
    } else if (word == "side") {
      const std::string side = words->TakeValue(word);
      if (side != "host" && side != "wire" && side != "guard") {
        throw UsageError{
            fmt::format("side: must be \"host\", \"wire\" or \"guard\", is \"{}\"", side)};
      }
      SetOnce(&request, "side", side);
    } else if (word == "snaplen") {
      SetOnce(&request, "snaplen", ParseNumber(word, words->TakeValue(word), 1, kMaxSnapLength));
    } else if (word == "write") {
      out->write_file = words->TakeValue(word);
    } else if (word == "count") {
      out->count = ParseNumber(word, words->TakeValue(word), 1, ~uint64_t{0});
    } else {
      FailUnknown("capture", word);
    }
  }
  if (!request.contains("device")) throw UsageError{"capture: \"dev NAME\" is missing"};
  if (!request.contains("side"))
    throw UsageError{"capture: \"side host\", \"side wire\" or \"side guard\" is missing"};
}

void ParseExec(Words* words, Arguments* out) {
  if (words->Peek() == "--") words->Take();
  if (words->done()) throw UsageError{"exec: no command; usage: cygnet exec -- COMMAND ..."};
  out->command_at = words->at();
}

Object FindObject(std::string_view word) {
  for (const auto& [name, object] : kObjects) {
    if (name.starts_with(word)) return object;
  }
  throw UsageError{fmt::format("\"{}\" is no object; try \"cygnet help\"", word)};
}

// True: what the option asks for is all there is to do.
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
      throw UsageError{fmt::format("\"{}\" is no option; try \"cygnet help\"", option)};
    }
  }
  return false;
}

Arguments Parse(Words words) {
  Arguments out;
  if (ParseOptions(&words, &out)) return out;
  if (words.Peek().empty()) throw UsageError{"no object; try \"cygnet help\""};
  out.object = FindObject(words.Take());
  if (words.Peek() == "help" || words.Peek() == "--help") {
    // exec's command may be called so.
    if (out.object != Object::kExec) out.object = Object::kHelp;
  }
  switch (out.object) {
    case Object::kSa:
      ParseSa(&words, &out);
      break;
    case Object::kPolicy:
      ParsePolicy(&words, &out);
      break;
    case Object::kDevice:
      ParseDevice(&words, &out);
      break;
    case Object::kStat:
    case Object::kStatSa:
      ParseStat(&words, &out);
      break;
    case Object::kEngine:
      ParseEngine(&words, &out);
      break;
    case Object::kMtu:
      ParseMtu(&words, &out);
      break;
    case Object::kFips:
      ParseFips(&words, &out);
      break;
    case Object::kDoctor:
      ParseDoctor(&words, &out);
      break;
    case Object::kCapture:
      ParseCapture(&words, &out);
      break;
    case Object::kExec:
      ParseExec(&words, &out);
      break;
    case Object::kVersion:
    case Object::kHelp:
      break;
  }
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

std::string_view HelpText() {
  return R"(Usage: cygnet [-j | --json] OBJECT [COMMAND] [KEYWORD VALUE ...]

  sa [list] [spi SPI] [dst ADDRESS] [src ADDRESS] [reqid NUMBER] [--show-keys]
        the SAs, and where and why their cryptography runs there
  policy [list]
        the policies
  dev [list] [dev NAME]
        the devices: what they can do, what keys they hold, what passed them
  stat [-a]
        what went wrong, by the kernel's names (XfrmIn…, XfrmOut…) and by finer ones; -a zeros too
  stat sa [spi SPI] [dst ADDRESS] [src ADDRESS] [reqid NUMBER]
        what went wrong with each SA
  engine [list]
        the crypto engines: what they can do, in which order they are asked, what they did
  mtu explain ADDRESS [src ADDRESS] [proto NAME|NUMBER] [dport PORT]
        how large a packet to there may be, and what the policy and the SAs take of the wire's MTU
  fips [show]
        FIPS mode and each decision it makes: devices, engines, algorithms
  fips mode auto|on|off
        changes the mode until the daemon ends; SAs move at once
  fips reload
        reads the boundary list again; SAs move at once
  doctor --fips
        as fips show; exit status 3 when FIPS mode is in force and denies a device or engine
  capture dev NAME side host|wire|guard [write FILE|-] [snaplen BYTES] [count PACKETS]
        the frames at one side of a device, as pcapng (default: to standard output);
        guard: the last ones that were stopped at the wire unsealed, then those to come
  exec -- COMMAND [ARGUMENT ...]
        runs an XFRM client so that it talks to cygnetd in place of the kernel
  version
  help

OBJECT and COMMAND may be shortened. -j prints JSON.
Exit status: 0 done, 1 wrong usage, 2 it did not work, 3 doctor found something; of exec: the
command's, or 125 to 127.
)";
}

}  // namespace cygnet
