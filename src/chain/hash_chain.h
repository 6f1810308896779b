// A chain of lines: whoever alters, removes or moves a line later breaks it. Each line is a JSON
// object that ends in its number, a hash of the chain so far and of itself, and a checksum:
//
//   {…,"n":15,"chain":"64 hexadecimal digits","crc":"8 hexadecimal digits"}
//   chain(n) = SHA-256(chain(n - 1) as 32 bytes, the line up to the comma before "chain")
//   crc = CRC-32C of the line up to the comma before "crc"
//
// The first line is number 1, behind 32 zero bytes. Whoever can write the lines can also make a new
// chain; heads that are signed (head_key.h) show that.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace cygnet {

using ChainHash = std::array<uint8_t, 32>;

// The end of a chain.
struct ChainHead {
  uint64_t number = 0;  // of its last line; 0: there is none
  ChainHash hash{};
  bool operator==(const ChainHead&) const = default;
};

inline constexpr uint64_t kMaxChainNumber = uint64_t{1} << 62;
inline constexpr std::size_t kLinkBytes = 100;  // that a link adds to a line, about

// Lower-case hexadecimal digits.
std::string HexText(const uint8_t* bytes, std::size_t size);
inline std::string HexText(const ChainHash& hash) { return HexText(hash.data(), hash.size()); }
// False: not exactly `size` bytes of such digits.
bool ReadHex(std::string_view text, uint8_t* bytes, std::size_t size);

ChainHash Sha256(std::string_view text);
// The hash that a line must have behind `before`. `covered`: the part that its hash covers.
ChainHash HashBehind(const ChainHash& before, std::string_view covered);

// --- Checksum ---

// `open`: a JSON object without its last brace.
std::string WithChecksum(std::string_view open);
enum class Checksum : uint8_t { kNone, kRight, kWrong };
Checksum ChecksumOf(std::string_view line);

// --- Link ---

// `line`: with its checksum. Returns it with a link and a new checksum, and moves the head to it.
std::string Linked(std::string_view line, ChainHead* head);
// The same for lines that each end in a line feed. Empty ones stay as they are.
std::string LinkedLines(std::string_view lines, ChainHead* head);

// The link of a line, as the line says it.
struct LineLink {
  ChainHead head;
  std::string_view covered;
};
// nullopt: the line has none, or not at its end.
std::optional<LineLink> FindLink(std::string_view line);

}  // namespace cygnet
