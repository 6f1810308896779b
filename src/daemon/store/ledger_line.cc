#include "daemon/store/ledger_line.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <nlohmann/json.hpp>

#include "base/plain_text.h"
#include "base/text_file.h"
#include "chain/utc_time.h"
#include "net/ip_protocol.h"

namespace cygnet {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::array<std::string_view, 4> kHeadReasons = {"start", "file", "hour", "stop"};

Json Begin(uint64_t time_ms, std::string_view event, const LedgerStamp& stamp) {
  return {
      {"time", UtcMsText(time_ms)}, {"host", stamp.host}, {"boot", stamp.boot}, {"event", event}};
}

// The line with its checksum.
std::string Finish(const Json& json) {
  std::string text = json.dump(-1, ' ', false, Json::error_handler_t::replace);
  text.pop_back();
  return WithChecksum(text);
}

void AddHalf(const SaHalf& half, Json* json) {
  (*json)["src"] = ToString(half.saddr, half.family);
  (*json)["dst"] = ToString(half.daddr, half.family);
  (*json)["spi"] = fmt::format("0x{:08x}", half.spi.value);
  (*json)["proto"] = half.proto;
  (*json)["reqid"] = half.reqid.value;
  (*json)["direction"] = Name(half.half);
}

std::string TextOf(const PlacementEntry& entry, const LedgerStamp& stamp) {
  Json json = Begin(entry.time_ms, "placement", stamp);
  AddHalf(entry.half, &json);
  json["requested"] = entry.requested;
  json["requested_by"] = entry.requested_by;
  json["effective"] = entry.effective;
  json["where"] = entry.where;
  json["reason"] = entry.reason;
  json["explanation"] = entry.explanation;
  if (entry.simulated) json["simulated"] = true;
  if (!entry.really.empty()) json["really"] = entry.really;
  return Finish(json);
}

std::string TextOf(std::string_view event, uint64_t time_ms, const LedgerKeyLine& line,
                   const LedgerStamp& stamp) {
  const KeyEntry& entry = line.entry;
  Json json = Begin(time_ms, event, stamp);
  json["key"] = line.number;
  AddHalf(entry.half, &json);
  json["holder"] = entry.holder;
  json["kind"] = entry.holder_kind;
  json["identity"] = entry.identity;
  json["from"] = UtcMsText(entry.from_ms);
  if (entry.until_ms != 0) {
    json["until"] = UtcMsText(entry.until_ms);
    json["erased"] = entry.erased;
    json["note"] = entry.note;
  }
  return Finish(json);
}

std::string TextOf(const LedgerGroupLine& line, const LedgerStamp& stamp) {
  Json json = Begin(line.time_ms, line.gained ? "group-gained" : "group-lost", stamp);
  json["cluster"] = line.cluster;
  json["group"] = line.group;
  json["node"] = line.node;
  json["incarnation"] = fmt::format("{:016x}", line.incarnation);
  json["epoch"] = line.epoch;
  json["explanation"] = line.explanation;
  return Finish(json);
}

// Reads the fields of a line. For a field that is missing or has the wrong type it returns the
// default, and ok() is false afterwards.
class Fields {
 public:
  explicit Fields(const Json& json) : json_(json) {}
  bool ok() const { return ok_; }

  std::string Text(const char* name) {
    const auto found = json_.find(name);
    if (found != json_.end() && found->is_string()) return found->get<std::string>();
    ok_ = false;
    return {};
  }
  uint64_t Number(const char* name, uint64_t max = ~uint64_t{0}) {
    const auto found = json_.find(name);
    if (found != json_.end() && found->is_number_unsigned()) {
      const auto value = found->get<uint64_t>();
      if (value <= max) return value;
    }
    ok_ = false;
    return 0;
  }
  bool Bool(const char* name) {
    const auto found = json_.find(name);
    if (found != json_.end() && found->is_boolean()) return found->get<bool>();
    ok_ = false;
    return false;
  }
  // UTC, or the seconds of an older line under the name `older`.
  uint64_t Time(const char* name, const char* older) {
    constexpr uint64_t kLastSecond = 253'402'300'799;  // of the year 9999
    if (older != name && !json_.contains(name)) return Number(older, kLastSecond) * 1000;
    const auto found = json_.find(name);
    if (found != json_.end() && found->is_number()) return Number(name, kLastSecond) * 1000;
    const auto time = ParseUtc(Text(name));
    ok_ = ok_ && time.has_value();
    return time.value_or(0);
  }
  bool Has(const char* name) const { return json_.contains(name); }
  uint64_t Hex64(const char* name) {
    const std::string text = Text(name);
    uint64_t value = 0;
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, value, 16);
    ok_ = ok_ && error == std::errc() && stop == end;
    return value;
  }

  SaHalf Half() {
    SaHalf half;
    const auto src = ParseAddress(Text("src"));
    const auto dst = ParseAddress(Text("dst"));
    if (!src || !dst || src->family != dst->family) {
      ok_ = false;
      return half;
    }
    half.saddr = src->address;
    half.daddr = dst->address;
    half.family = dst->family;
    half.spi = Spi(Hex(Text("spi")));
    half.proto = static_cast<uint8_t>(Number("proto", 255));
    half.reqid = Reqid(static_cast<uint32_t>(Number("reqid", ~uint32_t{0})));
    const std::string direction = Text("direction");
    half.half = HalfFor(direction == "in");
    ok_ = ok_ && direction == Name(half.half);
    return half;
  }

 private:
  uint32_t Hex(const std::string& text) {
    uint32_t value = 0;
    const bool prefixed = text.starts_with("0x");
    const char* begin = text.data() + (prefixed ? 2 : 0);
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(begin, end, value, 16);
    ok_ = ok_ && prefixed && error == std::errc() && stop == end;
    return value;
  }

  const Json& json_;
  bool ok_ = true;
};

KeyEntry ReadKey(Fields* fields) {
  KeyEntry entry;
  entry.half = fields->Half();
  entry.holder = fields->Text("holder");
  entry.holder_kind = fields->Text("kind");
  entry.identity = fields->Text("identity");
  entry.from_ms = fields->Time("from", "from");
  if (fields->Has("until")) {
    entry.until_ms = fields->Time("until", "until");
    entry.erased = fields->Bool("erased");
    entry.note = fields->Text("note");
  }
  return entry;
}

PlacementEntry ReadPlacement(Fields* fields) {
  PlacementEntry entry;
  entry.time_ms = fields->Time("time", "t");
  entry.half = fields->Half();
  entry.requested = fields->Text("requested");
  entry.requested_by = fields->Text("requested_by");
  entry.effective = fields->Text("effective");
  entry.where = fields->Text("where");
  entry.reason = fields->Text("reason");
  entry.explanation = fields->Text("explanation");
  if (fields->Has("simulated")) entry.simulated = fields->Bool("simulated");
  if (fields->Has("really")) entry.really = fields->Text("really");
  return entry;
}

LedgerGroupLine ReadGroup(bool gained, Fields* fields) {
  return {.time_ms = fields->Time("time", "time"),
          .gained = gained,
          .cluster = fields->Text("cluster"),
          .group = fields->Text("group"),
          .node = fields->Text("node"),
          .incarnation = fields->Hex64("incarnation"),
          .epoch = fields->Number("epoch"),
          .explanation = fields->Text("explanation")};
}

}  // namespace

LedgerStamp StampOfThisHost() {
  LedgerStamp stamp;
  std::array<char, 256> name{};
  if (gethostname(name.data(), name.size() - 1) == 0) stamp.host = PlainText(name.data());
  std::string boot = ReadTextFile("/proc/sys/kernel/random/boot_id").value_or("");
  while (!boot.empty() && boot.back() == '\n') boot.pop_back();
  stamp.boot = std::move(boot);
  return stamp;
}

std::optional<LedgerLine> ParseLedgerLine(std::string_view line) {
  if (line.size() > kMaxLedgerLine || ChecksumOf(line) == Checksum::kWrong) return std::nullopt;
  const Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return std::nullopt;
  Fields fields(json);
  const std::string event = fields.Text("event");
  LedgerLine out;
  if (event == "placement") {
    out = ReadPlacement(&fields);
  } else if (event == "key-given" || event == "key-ended" || event == "key-held") {
    const uint64_t number = fields.Number("key");
    out = LedgerKeyLine{number, ReadKey(&fields)};
  } else if (event == "group-gained" || event == "group-lost") {
    out = ReadGroup(event == "group-gained", &fields);
  } else if (event == "start" || event == "stop") {
    out = LedgerRunLine{fields.Time("time", "t"), event == "start"};
  } else {
    return std::nullopt;
  }
  return fields.ok() ? std::optional<LedgerLine>(std::move(out)) : std::nullopt;
}

std::string LedgerLineText(const LedgerLine& line, const LedgerStamp& stamp) {
  if (const auto* placement = std::get_if<PlacementEntry>(&line)) return TextOf(*placement, stamp);
  if (const auto* key = std::get_if<LedgerKeyLine>(&line)) {
    const bool given = key->entry.until_ms == 0;
    return TextOf(given ? "key-given" : "key-ended",
                  given ? key->entry.from_ms : key->entry.until_ms, *key, stamp);
  }
  if (const auto* group = std::get_if<LedgerGroupLine>(&line)) return TextOf(*group, stamp);
  const auto& run = std::get<LedgerRunLine>(line);
  return Finish(Begin(run.time_ms, run.start ? "start" : "stop", stamp));
}

std::string HeldKeyText(const LedgerKeyLine& line, uint64_t time_ms, const LedgerStamp& stamp) {
  return TextOf("key-held", time_ms, line, stamp);
}

std::string LostLinesText(uint64_t lines, uint64_t time_ms, const LedgerStamp& stamp) {
  Json json = Begin(time_ms, "lost", stamp);
  json["lines"] = lines;
  return Finish(json);
}

std::string HeadLineText(const ChainHead& head, HeadReason why, const HeadKey* key,
                         uint64_t time_ms, const LedgerStamp& stamp) {
  const std::string_view reason = kHeadReasons[static_cast<std::size_t>(why)];
  const std::string hash = HexText(head.hash);
  const std::string time = UtcMsText(time_ms);
  const std::string of = std::to_string(head.number);
  const auto signature =
      key != nullptr
          ? key->Sign(SignedText(
                {.host = stamp.host, .time = time, .why = reason, .of = of, .hash = hash}))
          : Result<HeadSignature>(MakeError(Errc::kNoEntry, "no key"));
  Json json = Begin(time_ms, "head", stamp);
  json["why"] = reason;
  json["of"] = head.number;
  json["head"] = hash;
  json["key"] = signature ? key->public_text() : "";
  json["signature"] = signature ? HexText(signature->data(), signature->size()) : "";
  return Finish(json);
}

std::string RepairedText(std::string_view torn, uint64_t time_ms, const LedgerStamp& stamp) {
  Json json = Begin(time_ms, "repaired", stamp);
  json["bytes"] = torn.size();
  json["sha256"] = HexText(Sha256(torn));
  return Finish(json);
}

std::string FoundText(std::string_view what, uint64_t time_ms, const LedgerStamp& stamp) {
  Json json = Begin(time_ms, "found", stamp);
  json["text"] = what;
  return Finish(json);
}

bool IsNote(std::string_view line, std::string* found) {
  if (line.size() > kMaxLedgerLine || ChecksumOf(line) != Checksum::kRight) return false;
  const Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return false;
  Fields fields(json);
  const std::string event = fields.Text("event");
  if (event == "found") *found += fields.Text("text") + '\n';
  return event == "lost" || event == "head" || event == "repaired" || event == "found";
}

}  // namespace cygnet
