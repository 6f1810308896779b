// Where audit records go.
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/unique_fd.h"
#include "base/unix_address.h"
#include "daemon/audit/audit.h"

#ifdef CYGNET_LIBAUDIT
#include <libaudit.h>
#endif

namespace cygnet {
namespace {

// `journalctl MESSAGE_ID=…` finds all events of a kind. Never change one.
constexpr std::string_view kMessageIds[] = {
    "fa612ddfea8f4622a7c1dc9ac4f52aed",  // placement
    "180f7b39a9ac4675934c4fcc2bad6b1f",  // key
    "c2c6bf79f56d45a0aed53c0b38e8acc7",  // device
    "e6401307840245398b9e226c95f460c8",  // fips
    "6aaef330adc84bbca130f7c89eede5f9",  // guard
    "56d2474b2bed4eef9fa069f5c357683e",  // command
    "0d3f1d2b7a0c4c0f9f6e3a9b5c21e8d4",  // policy
    "7be0c5f4a3d94b1e8c26d1f0a4e97352",  // protection
    "b94a6d0c2e8f4f57a1d3c7e05f682b19",  // keys-shown
    "97abac553efd4865a076b582e96b0622",  // cluster
    "5d1c8e2b7f7347a58be64d0e3c9a1f62",  // ledger
};
static_assert(std::size(kMessageIds) == static_cast<std::size_t>(AuditKind::kCount));

Error SinkError(int error) {
  const Errc code = error == EMSGSIZE                     ? Errc::kInvalid
                    : error == EAGAIN || error == ENOBUFS ? Errc::kAgain
                                                          : Errc::kIo;
  return MakeError(code, std::strerror(error));
}

// NAME=value; for a value with line ends: NAME, the value's length in 64 bits (little-endian), the
// value.
void AddField(std::string_view name, std::string_view value, std::string* out) {
  out->append(name);
  if (value.find('\n') == std::string_view::npos) {
    out->append("=").append(value);
  } else {
    out->push_back('\n');
    for (int shift = 0; shift < 64; shift += 8) {
      out->push_back(static_cast<char>((uint64_t{value.size()} >> shift) & 0xff));
    }
    out->append(value);
  }
  out->push_back('\n');
}

class JournalSink final : public AuditSink {
 public:
  explicit JournalSink(std::string path)
      : path_(std::move(path)),
        fd_(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {}

  std::string_view name() const override { return "the journal"; }

  // Uses the address for each datagram, because the journal may be restarted.
  Status Write(const AuditRecord& record) override {
    const UnixAddress address(path_.data(), path_.size());
    if (!address.valid()) return SinkError(ENAMETOOLONG);
    const std::string datagram = JournalDatagram(record);
    if (sendto(fd_.get(), datagram.data(), datagram.size(), MSG_NOSIGNAL, address.get(),
               address.length()) < 0) {
      return SinkError(errno);
    }
    return {};
  }

 private:
  const std::string path_;
  const UniqueFd fd_;
};

// Lower case without the prefix: the audit system's fields have short names.
void AddAuditName(std::string_view name, std::string* text) {
  constexpr std::string_view kPrefix = "CYGNET_";
  if (name.starts_with(kPrefix)) name.remove_prefix(kPrefix.size());
  for (const char c : name) {
    const bool is_capital = c >= 'A' && c <= 'Z';
    *text += c == '_' ? '-' : is_capital ? static_cast<char>(c - 'A' + 'a') : c;
  }
}

// Text from another program must not look like fields of ours.
void AddAuditValue(std::string_view value, std::string* text) {
  const bool plain = std::all_of(value.begin(), value.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte > 0x20 && byte < 0x7f && c != '"' && c != '\'' && c != '=';
  });
  if (value.empty()) {
    *text += '?';
  } else if (plain) {
    *text += value;
  } else {
    constexpr std::string_view kDigits = "0123456789ABCDEF";
    std::size_t at = text->size();
    text->resize(at + 2 * value.size());
    for (const char c : value) {
      (*text)[at++] = kDigits[static_cast<unsigned char>(c) >> 4];
      (*text)[at++] = kDigits[static_cast<unsigned char>(c) & 15u];
    }
  }
}

#ifdef CYGNET_LIBAUDIT
class LinuxAuditSink final : public AuditSink {
 public:
  explicit LinuxAuditSink(UniqueFd fd) : fd_(std::move(fd)) {}

  std::string_view name() const override { return "the Linux audit system"; }

  Status Write(const AuditRecord& record) override {
    // Only the journal gets commands: the kernel has another record type for what users order. It
    // has none for clusters.
    if (record.kind == AuditKind::kCommand || record.kind == AuditKind::kCluster) return {};
    const std::string text = LinuxAuditText(record);
    const int result = audit_log_user_message(fd_.get(), AUDIT_CRYPTO_IPSEC_SA, text.c_str(),
                                              nullptr, nullptr, nullptr, record.success ? 1 : 0);
    if (result <= 0) return SinkError(errno);
    return {};
  }

 private:
  const UniqueFd fd_;
};
#endif

}  // namespace

std::string JournalDatagram(const AuditRecord& record) {
  std::string out;
  AddField("MESSAGE", record.message, &out);
  AddField("MESSAGE_ID", kMessageIds[static_cast<std::size_t>(record.kind)], &out);
  AddField("PRIORITY", record.warning ? "4" : "5", &out);
  AddField("SYSLOG_IDENTIFIER", "cygnetd", &out);
  for (const auto& [name, value] : record.fields) AddField(name, value, &out);
  return out;
}

// Each policy that a client adds makes one, and the client waits: fmt would take several times as
// long.
std::string LinuxAuditText(const AuditRecord& record) {
  std::string text;
  text.reserve(512);  // most are shorter
  text += "op=cygnet-";
  text += Name(record.kind);
  for (const auto& [name, value] : record.fields) {
    if (name == "CYGNET_EVENT") continue;
    text += ' ';
    AddAuditName(name, &text);
    text += '=';
    AddAuditValue(value, &text);
  }
  return text;
}

std::unique_ptr<AuditSink> MakeJournalSink(std::string socket) {
  return std::make_unique<JournalSink>(std::move(socket));
}

Result<std::unique_ptr<AuditSink>> MakeLinuxAuditSink() {
#ifdef CYGNET_LIBAUDIT
  UniqueFd fd(audit_open());
  if (!fd.valid()) return SinkError(errno);
  return std::unique_ptr<AuditSink>(std::make_unique<LinuxAuditSink>(std::move(fd)));
#else
  return MakeError(Errc::kNotSupported, "built without libaudit");
#endif
}

}  // namespace cygnet
