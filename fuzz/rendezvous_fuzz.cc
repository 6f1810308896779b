// The input that client and cygnetd read to find each other: the kernel's list of netlink sockets,
// its table of them, and the greetings. The first byte selects one.

#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "base/check.h"
#include "base/unix_address.h"
#include "netlink/rendezvous.h"
#include "netlink/rendezvous_parse.h"

namespace {

namespace rendezvous = cygnet::rendezvous;
using rendezvous::Message;
using rendezvous::MessageType;
using rendezvous::Ports;

constexpr int kRoom = 4;
using Bytes = std::span<const uint8_t>;
using Found = std::vector<uint32_t>;

bool Holds(Bytes bytes, uint32_t word) {
  std::array<uint8_t, sizeof(word)> wanted;
  std::memcpy(wanted.data(), &word, sizeof(word));
  return std::search(bytes.begin(), bytes.end(), wanted.begin(), wanted.end()) != bytes.end();
}

// The first `count` of `ports`, each of which must occur once.
Found Checked(const std::array<uint32_t, kRoom>& ports, int count) {
  CYGNET_CHECK(count >= 0 && count <= kRoom);
  Found found(ports.begin(), ports.begin() + count);
  Found sorted = found;
  std::sort(sorted.begin(), sorted.end());
  CYGNET_CHECK(std::adjacent_find(sorted.begin(), sorted.end()) == sorted.end());
  return found;
}

// Every port found must be in the list and carry the mark.
void List(Bytes bytes) {
  std::array<uint32_t, kRoom> ports{};
  Ports found(ports.data(), kRoom);
  // Of exact size, so that a sanitizer sees an overrun.
  const std::vector<char> exact(bytes.begin(), bytes.end());
  const int result = rendezvous::ReadMessages(exact.data(), exact.size(), &found);
  CYGNET_CHECK(result >= rendezvous::kMore);
  for (const uint32_t port : Checked(ports, found.count())) {
    CYGNET_CHECK(Holds(bytes, port) && Holds(bytes, rendezvous::kGroups));
  }
}

Found InTable(Bytes bytes, std::size_t step) {
  std::array<uint32_t, kRoom> ports{};
  Ports found(ports.data(), kRoom);
  rendezvous::TableRows rows;
  while (!bytes.empty()) {
    CYGNET_CHECK(rows.room() > 0);
    const std::size_t got = std::min({step, rows.room(), bytes.size()});
    std::memcpy(rows.end(), bytes.data(), got);
    rows.Take(got, &found);
    bytes = bytes.subspan(got);
  }
  return Checked(ports, found.count());
}

// The result does not depend on where read() splits the text. (A line longer than any of the
// kernel's is lost.)
void Table(Bytes bytes) {
  constexpr std::size_t kNoLongLine = 8000;
  const Found whole = InTable(bytes, bytes.size());
  const Found pieces = InTable(bytes, 1 + bytes[0] % 64u);
  CYGNET_CHECK(bytes.size() > kNoLongLine || whole == pieces);
}

// At most one kind matches, with its exact length; its name is an address that is recognized again.
void Greeting(Bytes bytes) {
  Message message{};
  std::memcpy(&message, bytes.data(), std::min(bytes.size(), sizeof(message)));
  int kinds = 0;
  for (const MessageType type :
       {MessageType::kKnock, MessageType::kAnswer, MessageType::kConfirm}) {
    kinds += rendezvous::IsMessage(message, bytes.size(), type) ? 1 : 0;
  }
  CYGNET_CHECK(kinds == 0 || (kinds == 1 && bytes.size() == sizeof(message)));
  const cygnet::UnixAddress name = rendezvous::AddressOf(message.name);
  CYGNET_CHECK(name.valid() && name.length() <= sizeof(sockaddr_un));
  sockaddr_un address{};
  std::memcpy(&address, name.get(), name.length());
  CYGNET_CHECK(address.sun_path[0] == '\0' && name.Is(address, name.length()));
  CYGNET_CHECK(!name.Is(address, name.length() - 1));
  address.sun_path[1 + bytes.size() % rendezvous::kNameBytes] ^= 1;
  CYGNET_CHECK(!name.Is(address, name.length()));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const Bytes rest(data + 1, size - 1);
  if (data[0] % 3 == 0) List(rest);
  if (data[0] % 3 == 1) Table(rest);
  if (data[0] % 3 == 2) Greeting(rest);
  return 0;
}
