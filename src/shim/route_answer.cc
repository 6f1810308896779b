#include "shim/route_answer.h"

#include <linux/if_link.h>

#include <algorithm>
#include <cstring>
#include <string_view>

#include "netlink/tunnel_mark.h"
#include "shim/datagram.h"

namespace cygnet::shim {
namespace {

// In a refusal: flags and the upper half of nlmsg_pid, which the kernel repeats and does not check.
// The lower half is the error number.
constexpr uint16_t kRefusalFlags = NLM_F_REQUEST | 0x6000;
constexpr uint32_t kRefusalPid = 0xc79c0000;
constexpr uint16_t kRefusalAttribute = 0x1c79;
constexpr size_t kRefusalFixed = offsetof(Refusal, text);
static_assert(kRefusalFixed == 52);

constexpr size_t kErrorFixed = sizeof(nlmsghdr) + sizeof(nlmsgerr);

template <typename T>
T Read(const uint8_t* at) {
  T value;
  memcpy(&value, at, sizeof value);
  return value;
}

template <typename T>
void Write(uint8_t* at, const T& value) {
  memcpy(at, &value, sizeof value);
}

// --- Attributes ---

// The part of a message that has attributes.
struct Range {
  uint8_t* begin = nullptr;
  size_t size = 0;
};

// Calls visit(type, payload, whole attribute with its padding) for each.
template <typename Visitor>
void ForEachAttribute(const Range& range, Visitor visit) {
  size_t offset = 0;
  while (offset <= range.size && range.size - offset >= sizeof(nlattr)) {
    uint8_t* const at = range.begin + offset;
    const auto header = Read<nlattr>(at);
    if (header.nla_len < sizeof header || header.nla_len > range.size - offset) {
      return;
    }
    const size_t padded = std::min(Align(header.nla_len), range.size - offset);
    visit(static_cast<uint16_t>(header.nla_type & NLA_TYPE_MASK),
          Range{at + sizeof header, header.nla_len - sizeof header}, Range{at, padded});
    offset += Align(header.nla_len);
  }
}

std::string_view TextOf(const Range& range) {
  const auto* text = reinterpret_cast<const char*>(range.begin);
  return {text, range.size != 0 ? strnlen(text, range.size) : 0};
}

// Writes attributes one after the other. REQUIRES: they fit.
class Writer {
 public:
  explicit Writer(const Range& range) : at_(range.begin), left_(range.size) {}

  // The header of a nest; its attributes follow.
  void Nest(uint16_t type, size_t payload) { Header(type, payload); }
  void Number(uint16_t type, uint32_t value) { Bytes(type, &value, sizeof value); }
  void Bytes(uint16_t type, const void* payload, size_t size) {
    Header(type, size);
    const size_t padded = Align(size);
    memset(at_, 0, padded);
    memcpy(at_, payload, size);
    Skip(padded);
  }
  // Type 0, which every family skips.
  void Padding(size_t whole) {
    if (whole == 0) {
      return;
    }
    Header(0, whole - sizeof(nlattr));
    memset(at_, 0, whole - sizeof(nlattr));
    Skip(whole - sizeof(nlattr));
  }
  size_t left() const { return left_; }

 private:
  void Header(uint16_t type, size_t payload) {
    Write(at_,
          nlattr{.nla_len = static_cast<uint16_t>(sizeof(nlattr) + payload), .nla_type = type});
    Skip(sizeof(nlattr));
  }
  void Skip(size_t bytes) {
    at_ += bytes;
    left_ -= bytes;
  }

  uint8_t* at_;
  size_t left_;
};

// --- Interfaces ---

constexpr char kKind[] = "xfrm";
constexpr size_t kNumber = sizeof(nlattr) + sizeof(uint32_t);
constexpr size_t kKindSize = sizeof(nlattr) + Align(sizeof kKind);
// With IFLA_LINK behind it, which other kinds of tunnels have too.
constexpr size_t kLinkInfoSize = sizeof(nlattr) + kKindSize + sizeof(nlattr) + 2 * kNumber;

// `info`: the whole IFLA_LINKINFO of a TUN interface, which is always longer than what replaces it.
void WriteLinkInfo(const Range& info, const TunnelMark& mark) {
  if (info.size % 4 != 0 || info.size < kLinkInfoSize + kNumber) {
    return;
  }
  const size_t padding = info.size - kLinkInfoSize - kNumber;
  Writer writer(info);
  writer.Nest(IFLA_LINKINFO, kLinkInfoSize + padding - sizeof(nlattr));
  writer.Bytes(IFLA_INFO_KIND, kKind, sizeof kKind);
  writer.Nest(IFLA_INFO_DATA, 2 * kNumber + padding);
  writer.Number(IFLA_XFRM_LINK, mark.link);
  writer.Number(IFLA_XFRM_IF_ID, mark.if_id);
  writer.Padding(padding);
  writer.Number(IFLA_LINK, mark.link);
}

bool IsTun(const Range& info) {
  bool tun = false;
  ForEachAttribute(info, [&tun](uint16_t type, const Range& payload, const Range&) {
    tun = tun || (type == IFLA_INFO_KIND && TextOf(payload) == "tun");
  });
  return tun;
}

// `message`: whole.
void ShowInterface(const Range& message) {
  constexpr size_t kFixed = sizeof(nlmsghdr) + sizeof(ifinfomsg);
  if (message.size < kFixed) {
    return;
  }
  Range info;
  TunnelMark mark;
  bool marked = false;
  ForEachAttribute({message.begin + kFixed, message.size - kFixed},
                   [&](uint16_t type, const Range& payload, const Range& whole) {
                     if (type == IFLA_IFALIAS) {
                       marked = ParseTunnelMark(TextOf(payload), &mark);
                     } else if (type == IFLA_LINKINFO && IsTun(payload)) {
                       info = whole;
                     }
                   });
  if (marked && info.begin != nullptr) {
    WriteLinkInfo(info, mark);
  }
}

// --- Refusals ---

bool IsRefusal(const nlmsghdr& repeated) {
  return repeated.nlmsg_type == RTM_GETLINK && repeated.nlmsg_flags == kRefusalFlags &&
         (repeated.nlmsg_pid & 0xffff0000) == kRefusalPid;
}

// The text of the refusal, and padding, where the kernel repeated the request. False: there is no
// room for both.
bool WriteText(const Range& room, std::string_view text) {
  const size_t needed = sizeof(nlattr) + Align(text.size() + 1);
  if (room.size % 4 != 0 || room.size < needed ||
      (room.size != needed && room.size - needed < sizeof(nlattr))) {
    return false;
  }
  char copy[sizeof(Refusal::text)] = {};
  memcpy(copy, text.data(), text.size());
  Writer writer(room);
  writer.Bytes(NLMSGERR_ATTR_MSG, copy, text.size() + 1);
  writer.Padding(writer.left());
  return true;
}

// `message`: what is there of an NLMSG_ERROR, at least its fixed part. `length`: of the whole.
void ShowRefusal(const Range& message, size_t length, AnswerForm form) {
  auto header = Read<nlmsghdr>(message.begin);
  auto error = Read<nlmsgerr>(message.begin + sizeof header);
  if (!IsRefusal(error.msg)) {
    return;
  }
  error.error = -static_cast<int>(error.msg.nlmsg_pid & 0xffff);
  // As with NETLINK_CAP_ACK, the request is not repeated.
  header.nlmsg_flags = NLM_F_CAPPED;
  nlmsghdr refused{};
  std::string_view text;
  const uint8_t* const repeated = message.begin + kErrorFixed - sizeof(nlmsghdr);
  const size_t there = message.size - kErrorFixed + sizeof(nlmsghdr);
  const bool whole =
      message.size == length && there > kRefusalFixed &&
      Read<nlattr>(repeated + offsetof(Refusal, attribute)).nla_type == kRefusalAttribute;
  char copy[sizeof(Refusal::text)] = {};
  if (whole) {
    refused = Read<nlmsghdr>(repeated + offsetof(Refusal, refused));
    memcpy(copy, repeated + kRefusalFixed, std::min(there - kRefusalFixed, sizeof copy - 1));
    text = copy;
  } else {
    refused = error.msg;
    refused.nlmsg_type = RTM_NEWLINK;
    refused.nlmsg_pid = 0;
  }
  error.msg = refused;
  if (whole && form == AnswerForm::kExtended && !text.empty() &&
      WriteText({message.begin + kErrorFixed, message.size - kErrorFixed}, text)) {
    header.nlmsg_flags |= NLM_F_ACK_TLVS;
  }
  Write(message.begin, header);
  Write(message.begin + sizeof header, error);
}

}  // namespace

Refusal MakeRefusal(const nlmsghdr& refused, int error, const char* text) {
  Refusal refusal{};
  refusal.refused = refused;
  const size_t length = strnlen(text, sizeof refusal.text - 1);
  memcpy(refusal.text, text, length);
  const size_t text_bytes = std::min(Align(length + 1), sizeof refusal.text);
  refusal.attribute = {
      .nla_len = static_cast<uint16_t>(sizeof(nlattr) + sizeof(nlmsghdr) + text_bytes),
      .nla_type = kRefusalAttribute};
  refusal.header = {.nlmsg_len = static_cast<uint32_t>(kRefusalFixed + text_bytes),
                    .nlmsg_type = RTM_GETLINK,
                    .nlmsg_flags = kRefusalFlags,
                    .nlmsg_seq = refused.nlmsg_seq,
                    .nlmsg_pid = kRefusalPid | static_cast<uint32_t>(error & 0xfff)};
  return refusal;
}

void ShowAnswers(uint8_t* bytes, size_t size, AnswerForm form) {
  while (size >= sizeof(nlmsghdr)) {
    const auto header = Read<nlmsghdr>(bytes);
    if (header.nlmsg_len < sizeof header) {
      return;
    }
    const Range there{bytes, std::min(size_t{header.nlmsg_len}, size)};
    const bool whole = there.size == header.nlmsg_len;
    if (header.nlmsg_type == NLMSG_ERROR && there.size >= kErrorFixed) {
      ShowRefusal(there, header.nlmsg_len, form);
    } else if ((header.nlmsg_type == RTM_NEWLINK || header.nlmsg_type == RTM_DELLINK) && whole) {
      ShowInterface(there);
    }
    const size_t next = std::min(Align(header.nlmsg_len), size);
    bytes += next;
    size -= next;
  }
}

}  // namespace cygnet::shim
