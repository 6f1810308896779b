#include "cli/esp_keys.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>

#include "base/errno_error.h"
#include "base/key_material.h"
#include "client/json_fields.h"

namespace cygnet {
namespace {

struct Known {
  std::string_view name;  // XFRM's
  uint64_t icv_bits;      // 0: any
  std::string_view wireshark;
};

// Wireshark 4.0, packet-ipsec.c.
constexpr Known kCiphers[] = {
    {"rfc4106(gcm(aes))", 64, "AES-GCM with 8 octet ICV [RFC4106]"},
    {"rfc4106(gcm(aes))", 96, "AES-GCM with 12 octet ICV [RFC4106]"},
    {"rfc4106(gcm(aes))", 128, "AES-GCM with 16 octet ICV [RFC4106]"},
    {"cbc(aes)", 0, "AES-CBC [RFC3602]"},
    {"rfc3686(ctr(aes))", 0, "AES-CTR [RFC3686]"},
    {"cbc(des3_ede)", 0, "TripleDES-CBC [RFC2451]"},
    {"ecb(cipher_null)", 0, "NULL"},
};
constexpr Known kAuthentications[] = {
    {"hmac(sha1)", 96, "HMAC-SHA-1-96 [RFC2404]"},
    {"hmac(sha256)", 96, "HMAC-SHA-256-96 [draft-ietf-ipsec-ciph-sha-256-00]"},
    {"hmac(sha256)", 128, "HMAC-SHA-256-128 [RFC4868]"},
    {"hmac(sha384)", 192, "HMAC-SHA-384-192 [RFC4868]"},
    {"hmac(sha512)", 256, "HMAC-SHA-512-256 [RFC4868]"},
};
// It needs the length of the ICV even if it cannot check it.
constexpr Known kUnchecked[] = {
    {"", 64, "ANY 64 bit authentication [no checking]"},
    {"", 96, "ANY 96 bit authentication [no checking]"},
    {"", 128, "ANY 128 bit authentication [no checking]"},
    {"", 192, "ANY 192 bit authentication [no checking]"},
    {"", 256, "ANY 256 bit authentication [no checking]"},
};

template <std::size_t n>
std::string_view Find(const Known (&rows)[n], std::string_view name, uint64_t icv_bits) {
  for (const Known& row : rows) {
    if (row.name == name && (row.icv_bits == 0 || row.icv_bits == icv_bits)) return row.wireshark;
  }
  return {};
}

std::string_view AuthenticationOf(const std::string& name, uint64_t icv_bits) {
  if (name.empty()) return "NULL";  // the cipher has its own
  const std::string_view checked = Find(kAuthentications, name, icv_bits);
  return checked.empty() ? Find(kUnchecked, "", icv_bits) : checked;
}

// An SA for any address has the address 0.
std::string AddressOf(const Json& sa, const char* field) {
  const std::string text = Text(sa, field);
  return text == "0.0.0.0" || text == "::" ? "*" : text;
}

Status WriteAll(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = write(fd, text.data(), text.size());
    if (n < 0 && errno != EINTR) return ErrnoError("cannot write the keys");
    if (n > 0) text.remove_prefix(static_cast<std::size_t>(n));
  }
  return {};
}

// An existing file may be readable by others, or be a link to elsewhere.
Result<UniqueFd> OpenAlone(const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd.valid() || fchmod(fd.get(), 0600) != 0) return ErrnoError(path);
  return fd;
}

// True: it did not exist before.
Result<bool> MakeFolder(const std::string& path) {
  if (mkdir(path.c_str(), 0700) == 0) return true;
  if (errno != EEXIST) return ErrnoError(path);
  const UniqueFd folder(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  struct stat facts {};
  if (!folder.valid() || fstat(folder.get(), &facts) != 0) return ErrnoError(path);
  if (facts.st_uid != geteuid()) {
    return MakeError(Errc::kPermission, path + " belongs to another user; remove it");
  }
  if (fchmod(folder.get(), 0700) != 0) return ErrnoError(path);
  return false;
}

}  // namespace

std::string EspSaLine(const Json& sa) {
  const Json& aead = Child(sa, "aead");
  const Json& cipher = aead.empty() ? Child(sa, "cipher") : aead;
  const Json& auth = Child(sa, "auth");
  const Json& icv = aead.empty() ? auth : aead;
  const uint64_t icv_bits = icv.value("icv_bits", uint64_t{0});
  const std::string_view encryption = Find(kCiphers, Text(cipher, "name"), icv_bits);
  const std::string_view authentication = AuthenticationOf(Text(auth, "name"), icv_bits);
  if (encryption.empty() || authentication.empty()) {
    return fmt::format("# SPI {}: Wireshark cannot decrypt {} {}\n", Text(sa, "spi"),
                       Text(cipher, "name"), Text(auth, "name"));
  }
  const bool ipv6 = sa.value("family", 4) == 6;
  return fmt::format("\"{}\",\"{}\",\"{}\",\"{}\",\"{}\",\"{}\",\"{}\",\"{}\"\n",
                     ipv6 ? "IPv6" : "IPv4", AddressOf(sa, "src"), AddressOf(sa, "dst"),
                     Text(sa, "spi"), encryption, Text(cipher, "key"), authentication,
                     Text(auth, "key"));
}

Result<KeyFolder> KeyFolder::Create(const std::string& path) {
  const auto made = MakeFolder(path);
  if (!made) return made.error();
  const auto preferences = OpenAlone(path + "/preferences");
  if (!preferences) return preferences.error();
  CYGNET_RETURN_IF_ERROR(WriteAll(preferences->get(), "esp.enable_encryption_decode: TRUE\n"));
  auto table = OpenAlone(path + "/esp_sa");
  if (!table) return table.error();
  return KeyFolder(path, *std::move(table), *made);
}

void KeyFolder::Discard() {
  sas_ = 0;
  (void)!ftruncate(table_.get(), 0);
  if (!made_) return;
  unlink((path_ + "/preferences").c_str());
  unlink((path_ + "/esp_sa").c_str());
  rmdir(path_.c_str());
}

Status KeyFolder::Add(const Json& sa) {
  std::string line = EspSaLine(sa);
  const Status written = WriteAll(table_.get(), line);
  SecureWipe(line.data(), line.size());
  if (written) ++sas_;
  return written;
}

}  // namespace cygnet
