#include "web/reader.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

namespace cygnet::web {
namespace {

// A frame: the length of what follows its type, and its type.
enum class FrameType : char { kItem = 'i', kEnd = 'e', kError = '!' };
struct FrameHead {
  uint32_t length;
  FrameType type;
};
constexpr std::size_t kHeadBytes = 5;
constexpr uint32_t kMostFrameBytes = 64u << 20;

bool SendAll(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

bool SendFrame(int fd, FrameType type, std::string_view text) {
  if (text.size() > kMostFrameBytes) text = {};
  const auto length = static_cast<uint32_t>(text.size());
  std::array<char, kHeadBytes> head{};
  std::memcpy(head.data(), &length, sizeof length);
  head[4] = static_cast<char>(type);
  return SendAll(fd, {head.data(), head.size()}) && SendAll(fd, text);
}

// False: the other end is gone.
bool Answer(int fd, Reading reading, const OperatorConnector& connect,
            std::optional<OperatorClient>* client) {
  if (!client->has_value()) {
    Result<OperatorClient> connected = connect();
    if (!connected) return SendFrame(fd, FrameType::kError, connected.error().message);
    client->emplace(*std::move(connected));
  }
  bool there = true;
  const Status status = (*client)->ForEachItem(RequestFor(reading), [&](const Json& item) {
    there = there && SendFrame(fd, FrameType::kItem,
                               item.dump(-1, ' ', false, Json::error_handler_t::replace));
  });
  if (!there) return false;
  if (status) return SendFrame(fd, FrameType::kEnd, {});
  client->reset();  // the connection may be in the middle of an answer
  return SendFrame(fd, FrameType::kError, status.error().message);
}

}  // namespace

void ServeReadings(UniqueFd channel, const OperatorConnector& connect) {
  std::optional<OperatorClient> client;
  for (;;) {
    char request = 0;
    const ssize_t got = recv(channel.get(), &request, 1, 0);
    if (got < 0 && errno == EINTR) continue;
    const auto number = static_cast<std::size_t>(static_cast<unsigned char>(request));
    if (got <= 0 || number >= kReadings) return;
    if (!Answer(channel.get(), static_cast<Reading>(number), connect, &client)) return;
  }
}

Status ReaderClient::ReadExactly(char* bytes, std::size_t count) {
  while (count > 0) {
    const ssize_t got = recv(channel_.get(), bytes, count, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return MakeError(Errc::kNoSuchProcess, "the reading process has ended");
    bytes += got;
    count -= static_cast<std::size_t>(got);
  }
  return {};
}

Status ReaderClient::Read(Reading reading, std::vector<Json>* items) {
  items->clear();
  const char request = static_cast<char>(reading);
  if (!SendAll(channel_.get(), {&request, 1})) {
    return MakeError(Errc::kNoSuchProcess, "the reading process has ended");
  }
  bool complete = true;
  for (std::size_t total = 0;;) {
    std::array<char, kHeadBytes> bytes{};
    CYGNET_RETURN_IF_ERROR(ReadExactly(bytes.data(), bytes.size()));
    FrameHead head{.length = 0, .type = static_cast<FrameType>(bytes[4])};
    std::memcpy(&head.length, bytes.data(), sizeof head.length);
    if (head.length > kMostFrameBytes) {
      return MakeError(Errc::kNoSuchProcess, "the reading process sent an invalid frame");
    }
    std::string text(head.length, '\0');
    CYGNET_RETURN_IF_ERROR(ReadExactly(text.data(), text.size()));
    total += text.size();
    if (head.type == FrameType::kError) return MakeError(Errc::kIo, std::move(text));
    if (head.type == FrameType::kEnd) break;
    complete = complete && total <= kMostBytes;
    if (!complete) continue;  // to the end of this answer, without keeping it
    Json item = Json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (item.is_object()) items->push_back(std::move(item));
  }
  if (complete) return {};
  items->clear();
  return MakeError(Errc::kIo, "the report of cygnetd is too long to be shown");
}

}  // namespace cygnet::web
