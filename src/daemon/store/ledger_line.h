// One line of the ledger's file: a JSON object, with a checksum at its end. No key material.
//
//   {"time": "2026-11-28T17:58:14.123Z", "host": "gw1", "boot": "…", "event": "start" | "stop"}
//   {…, "event": "placement", half…, "requested", "requested_by", "effective", "where", "reason",
//    "explanation", ["simulated": true]}
//   {…, "event": "key-given" | "key-ended" | "key-held", "key": 7, half…, "holder", "kind",
//    "identity", "from", ["until", "erased", "note"]}
//   {…, "event": "group-gained" | "group-lost", "cluster", "group", "node", "incarnation" (hex),
//    "epoch", "explanation"}   from here on this process uses the SAs of the group, or no more
//   {…, "event": "lost", "lines": 7}   7 lines could not be written here
//   {…, "event": "head", "why", "of": 14, "head", "key", "signature"}   the chain up to record 14,
//    signed (chain/head_key.h). "why": "start", "file" (a new one begins), "hour", "stop". "key" is
//    empty if the host has no key
//   {…, "event": "repaired", "bytes", "sha256"}   the line before was cut short by a crash
//   {…, "event": "found", "text"}   what somebody did to the file, as this process found it
//   half: "src", "dst", "family" (4 or 6), "spi" ("0x00001000"), "proto", "reqid",
//    "direction" ("in", "out")
//   Times are UTC. "boot" is the kernel's boot id. The last field is "crc": CRC-32C of the line up
//   to the comma in front of the field, 8 hexadecimal digits. In the file each line is linked to
//   those before it: "n" and "chain" are before "crc" (chain/hash_chain.h). Older lines have no
//   link. Lines of cygnetd 0.1 have "t", in seconds, in place of "time", and neither host nor
//   checksum; they are read, too.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "chain/hash_chain.h"
#include "chain/head_key.h"
#include "control/placement/report.h"

namespace cygnet {

// The content of a line. A key's events have the same number.
struct LedgerKeyLine {
  uint64_t number = 0;
  KeyEntry entry;
};
struct LedgerRunLine {
  uint64_t time_ms = 0;
  bool start = false;
};
// Who used the keys of a group, in which process: the ledgers of all nodes together tell.
struct LedgerGroupLine {
  uint64_t time_ms = 0;
  bool gained = false;
  std::string cluster{};
  std::string group{};
  std::string node{};
  uint64_t incarnation = 0;
  uint64_t epoch = 0;
  std::string explanation{};
  bool operator==(const LedgerGroupLine&) const = default;
};
using LedgerLine = std::variant<LedgerRunLine, PlacementEntry, LedgerKeyLine, LedgerGroupLine>;

// The machine and boot that wrote a line.
struct LedgerStamp {
  std::string host{};
  std::string boot{};
};
LedgerStamp StampOfThisHost();

inline constexpr std::size_t kMaxLedgerLine = 4096 + 128;  // with its link

// Checks every field, because an operator may have damaged the file. nullopt: not a line of ours,
// changed since it was written, or longer than kMaxLedgerLine.
std::optional<LedgerLine> ParseLedgerLine(std::string_view line);
// Without the line end.
std::string LedgerLineText(const LedgerLine& line, const LedgerStamp& stamp);
// A key that is held when a new file begins, at `time_ms`.
std::string HeldKeyText(const LedgerKeyLine& line, uint64_t time_ms, const LedgerStamp& stamp);
std::string LostLinesText(uint64_t lines, uint64_t time_ms, const LedgerStamp& stamp);

// Lines about the file itself. ParseLedgerLine has no content for them, but IsNote is true.
enum class HeadReason : uint8_t { kStart, kFile, kHour, kStop };
// `key`: nullptr or one that cannot sign: the line says so.
std::string HeadLineText(const ChainHead& head, HeadReason why, const HeadKey* key,
                         uint64_t time_ms, const LedgerStamp& stamp);
// `torn`: the line that a crash cut short.
std::string RepairedText(std::string_view torn, uint64_t time_ms, const LedgerStamp& stamp);
std::string FoundText(std::string_view what, uint64_t time_ms, const LedgerStamp& stamp);
// An unchanged line about the file itself. `found`: the text of FoundText is added to it.
bool IsNote(std::string_view line, std::string* found);

}  // namespace cygnet
