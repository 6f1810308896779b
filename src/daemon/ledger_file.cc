#include "daemon/ledger_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/log.h"
#include "net/ip_protocol.h"

namespace cygnet {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kFlushBytes = 64u << 10;

void AddHalf(const SaHalf& half, Json* json) {
  (*json)["src"] = ToString(half.saddr, half.family);
  (*json)["dst"] = ToString(half.daddr, half.family);
  (*json)["spi"] = fmt::format("0x{:08x}", half.spi.value);
  (*json)["proto"] = half.proto;
  (*json)["reqid"] = half.reqid.value;
  (*json)["direction"] = half.inbound ? "in" : "out";
}

std::string LineOf(const PlacementEntry& entry) {
  Json json = {{"t", entry.time}, {"event", "placement"}};
  AddHalf(entry.half, &json);
  json["requested"] = entry.requested;
  json["requested_by"] = entry.requested_by;
  json["effective"] = entry.effective;
  json["where"] = entry.where;
  json["reason"] = entry.reason;
  json["explanation"] = entry.explanation;
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string LineOf(std::string_view event, uint64_t time, uint64_t number, const KeyEntry& entry) {
  Json json = {{"t", time}, {"event", event}, {"key", number}};
  AddHalf(entry.half, &json);
  json["holder"] = entry.holder;
  json["kind"] = entry.holder_kind;
  json["identity"] = entry.identity;
  json["from"] = entry.from;
  if (entry.until != 0) {
    json["until"] = entry.until;
    json["erased"] = entry.erased;
    json["note"] = entry.note;
  }
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// Fields of a line, or nothing: whoever asks for one that is not there or not of its type gets the
// default and `ok` is false after.
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
  bool Has(const char* name) const { return json_.contains(name); }

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
    half.inbound = direction == "in";
    ok_ = ok_ && (half.inbound || direction == "out");
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
  entry.from = fields->Number("from");
  if (fields->Has("until")) {
    entry.until = fields->Number("until");
    entry.erased = fields->Bool("erased");
    entry.note = fields->Text("note");
  }
  return entry;
}

PlacementEntry ReadPlacement(Fields* fields) {
  PlacementEntry entry;
  entry.time = fields->Number("t");
  entry.half = fields->Half();
  entry.requested = fields->Text("requested");
  entry.requested_by = fields->Text("requested_by");
  entry.effective = fields->Text("effective");
  entry.where = fields->Text("where");
  entry.reason = fields->Text("reason");
  entry.explanation = fields->Text("explanation");
  return entry;
}

std::string Numbered(const std::string& path, uint32_t n) {
  return n == 0 ? path : path + "." + std::to_string(n);
}

}  // namespace

std::optional<LedgerLine> ParseLedgerLine(std::string_view line) {
  if (line.size() > kMaxLedgerLine) return std::nullopt;
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
  } else if (event == "start" || event == "stop") {
    out = LedgerRunLine{fields.Number("t"), event == "start"};
  } else {
    return std::nullopt;
  }
  return fields.ok() ? std::optional<LedgerLine>(std::move(out)) : std::nullopt;
}

std::string LedgerLineText(const LedgerLine& line) {
  if (const auto* placement = std::get_if<PlacementEntry>(&line)) return LineOf(*placement);
  if (const auto* key = std::get_if<LedgerKeyLine>(&line)) {
    const bool given = key->entry.until == 0;
    return LineOf(given ? "key-given" : "key-ended", given ? key->entry.from : key->entry.until,
                  key->number, key->entry);
  }
  const auto& run = std::get<LedgerRunLine>(line);
  return Json({{"t", run.time}, {"event", run.start ? "start" : "stop"}}).dump();
}

Result<std::unique_ptr<LedgerFile>> LedgerFile::Open(const LedgerFileOptions& options,
                                                     Ledger* ledger, const Clock* clock) {
  std::unique_ptr<LedgerFile> file(new LedgerFile(options, ledger, clock));
  const std::string lock = options.path + ".lock";
  file->lock_ = UniqueFd(open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!file->lock_.valid()) {
    return MakeError(Errc::kIo, lock + ": " + std::strerror(errno));
  }
  if (flock(file->lock_.get(), LOCK_EX | LOCK_NB) != 0) {
    return MakeError(Errc::kBusy, options.path + ": another cygnetd writes this ledger");
  }
  file->Restore();
  CYGNET_RETURN_IF_ERROR(file->OpenForAppend());
  file->Append(LedgerLineText(LedgerRunLine{clock->WallSeconds(), true}));
  file->Flush();
  if (!file->error_.empty()) return MakeError(Errc::kIo, file->error_);
  ledger->AddSink(file.get());
  ledger->NoteFile(options.path, {});
  return file;
}

LedgerFile::~LedgerFile() {
  if (!fd_.valid()) return;
  Append(LedgerLineText(LedgerRunLine{clock_->WallSeconds(), false}));
  Sync();
}

Status LedgerFile::OpenForAppend() {
  fd_ = UniqueFd(open(options_.path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  struct stat info {};
  if (!fd_.valid() || fstat(fd_.get(), &info) != 0) {
    return MakeError(Errc::kIo, options_.path + ": " + std::strerror(errno));
  }
  size_ = static_cast<uint64_t>(info.st_size);
  // A line that a crash cut short ends here.
  if (size_ > 0) pending_ += '\n';
  return {};
}

void LedgerFile::Restore() {
  std::map<uint64_t, KeyEntry> held;
  for (uint32_t n = options_.keep + 1; n-- > 0;) RestoreFile(Numbered(options_.path, n), &held);
  for (auto& [number, entry] : held) {
    entry.until = clock_->WallSeconds();
    entry.note = "cygnetd ended without a word; what it held in memory went with it";
    ledger_->Restore(entry);
  }
}

void LedgerFile::RestoreFile(const std::string& path, std::map<uint64_t, KeyEntry>* held) {
  std::ifstream file(path, std::ios::binary);
  for (std::string line; std::getline(file, line);) {
    if (line.empty()) continue;
    auto parsed = ParseLedgerLine(line);
    if (!parsed.has_value()) continue;  // cut short, or somebody else's
    if (auto* placement = std::get_if<PlacementEntry>(&*parsed)) {
      ledger_->Restore(std::move(*placement));
    } else if (auto* key = std::get_if<LedgerKeyLine>(&*parsed)) {
      if (key->entry.until == 0) {
        (*held)[key->number] = key->entry;
      } else {
        held->erase(key->number);
        ledger_->Restore(key->entry);
      }
    } else if (const auto* run = std::get_if<LedgerRunLine>(&*parsed); run->start) {
      // Numbers begin anew: what the run before still held ended with it.
      for (auto& [number, entry] : *held) {
        entry.until = run->time;
        entry.note = "cygnetd ended without a word; what it held in memory went with it";
        ledger_->Restore(entry);
      }
      held->clear();
    }
  }
}

void LedgerFile::OnPlacement(const PlacementEntry& entry) { Append(LineOf(entry)); }

void LedgerFile::OnKey(uint64_t number, const KeyEntry& entry) {
  Append(LedgerLineText(LedgerKeyLine{number, entry}));
}

void LedgerFile::Append(std::string line) {
  pending_ += line;
  pending_ += '\n';
  if (pending_.size() >= kFlushBytes) Flush();
}

void LedgerFile::Flush() {
  if (pending_.empty()) return;
  // A file that begins with many held keys may grow to twice that before it is full.
  const uint64_t full = std::max(options_.max_bytes, 2 * base_);
  if (!fd_.valid() || (size_ + pending_.size() > full && size_ > base_)) Rotate();
  while (fd_.valid() && !pending_.empty()) {
    const ssize_t written = write(fd_.get(), pending_.data(), pending_.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      Fail(options_.path + ": " + std::strerror(errno));
      return;
    }
    size_ += static_cast<uint64_t>(written);
    pending_.erase(0, static_cast<std::size_t>(written));
    dirty_ = true;
    error_.clear();
  }
}

// What does not fit is kept for the next try, in bounds; a gap is said in the file.
void LedgerFile::Fail(const std::string& error) {
  if (error != error_) Log(LogLevel::kError, "ledger: " + error + "; it is kept in memory");
  error_ = error;
  if (pending_.size() <= 16 * kFlushBytes) return;
  const auto lost = std::count(pending_.begin(), pending_.end(), '\n');
  pending_ =
      "\n" + Json({{"t", clock_->WallSeconds()}, {"event", "lost"}, {"lines", lost}}).dump() + "\n";
}

// The new file is there before the old ones move, so that a failure costs nothing.
void LedgerFile::Rotate() {
  const std::string fresh = options_.path + ".new";
  UniqueFd fd(open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600));
  if (!fd.valid()) return Fail(fresh + ": " + std::strerror(errno));
  for (uint32_t n = options_.keep; n > 0; --n) {
    (void)std::rename(Numbered(options_.path, n - 1).c_str(), Numbered(options_.path, n).c_str());
  }
  if (std::rename(fresh.c_str(), options_.path.c_str()) != 0) {
    return Fail(options_.path + ": " + std::strerror(errno));
  }
  fd_ = std::move(fd);
  size_ = 0;
  std::string rest = std::exchange(pending_, {});
  const uint64_t now = clock_->WallSeconds();
  for (const auto& [number, entry] : ledger_->HeldKeys()) {
    pending_ += LineOf("key-held", now, number, entry) + '\n';
  }
  base_ = pending_.size();
  pending_ += rest;
}

void LedgerFile::Sync() {
  Flush();
  if (fd_.valid() && std::exchange(dirty_, false)) (void)fdatasync(fd_.get());
  ledger_->NoteFile(options_.path, error_);
}

}  // namespace cygnet
