#include "daemon/operator/evidence_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/clock.h"
#include "base/endian.h"
#include "base/unique_fd.h"
#include "daemon/operator/pcapng.h"
#include "net/ethernet.h"

namespace cygnet {
namespace {

// The interfaces of every section, so that readers that number them by file find the same.
struct Place {
  const char* suffix;
  const char* description;
};
constexpr std::array<Place, 4> kPlaces = {{
    {"-esp", "the ESP packet: as it came, or as the device would have sent it"},
    {"-device", "what the device made of it"},
    {"-cpu",
     "what the CPU made of it: opened, or ESP with its text in clear; self-test: what the "
     "device should have made of it"},
    {"-given", "self-test: what the device was given"},
}};

// A packet as it is at each of the places; an empty frame: not at this one.
struct Exhibit {
  std::string comment;
  uint64_t time_ns = 0;
  std::array<CaptureDirection, kPlaces.size()> directions{};
  std::array<std::vector<uint8_t>, kPlaces.size()> frames;
};

std::string SectionOf(const std::string& device, std::span<const Exhibit> exhibits) {
  std::string out;
  pcapng::AppendSectionHeader("cygnetd " CYGNET_VERSION, &out);
  for (const Place& place : kPlaces) {
    pcapng::AppendInterface(device + place.suffix, place.description, 0, &out);
  }
  uint64_t id = 0;
  for (const Exhibit& exhibit : exhibits) {
    ++id;
    for (uint32_t i = 0; i < kPlaces.size(); ++i) {
      CapturedFrame frame;
      frame.bytes = exhibit.frames[i];
      if (frame.bytes.empty()) continue;
      frame.time_ns = exhibit.time_ns;
      frame.interface = i;
      frame.original_length = static_cast<uint32_t>(frame.bytes.size());
      frame.facts.direction = exhibit.directions[i];
      pcapng::AppendPacket(frame, {.comments = {exhibit.comment}, .packet_id = id}, &out);
    }
  }
  return out;
}

// Proofs of the self-test begin with the IP header.
std::vector<uint8_t> WithEthernetHeader(const std::vector<uint8_t>& ip) {
  if (ip.empty()) return {};
  std::vector<uint8_t> frame(kEthernetHeader);
  StoreBe16(frame.data() + kEthernetHeader - 2, ip[0] >> 4 == 6 ? kEtherTypeIpv6 : kEtherTypeIpv4);
  frame.insert(frame.end(), ip.begin(), ip.end());
  return frame;
}

std::string Comment(const std::string& device, const ShadowEvidence& evidence) {
  const bool known = evidence.id.family != IpFamily::kUnspec;
  return fmt::format(
      "shadow verification of {}, {}, {} offload: {}; SA {}, sequence number {}", device,
      IsInbound(evidence.half) ? "inbound" : "outbound",
      evidence.mode == OffloadMode::kPacket ? "packet" : "crypto", evidence.what,
      known ? fmt::format("dst {} spi 0x{:08x}", ToString(evidence.id.daddr, evidence.id.family),
                          evidence.id.spi.value)
            : "unknown",
      evidence.seq != 0 ? std::to_string(evidence.seq) : "unknown");
}

Error Failed(const char* what, const std::string& path) {
  return MakeError(Errc::kIo, fmt::format("cannot {} {}: {}", what, path, strerror(errno)));
}

}  // namespace

std::string EvidenceSection(const std::string& device, std::span<const ShadowEvidence> evidence) {
  std::vector<Exhibit> exhibits;
  for (const ShadowEvidence& wrong : evidence) {
    Exhibit exhibit{.comment = Comment(device, wrong), .time_ns = wrong.time_ns, .frames = {}};
    exhibit.directions.fill(IsInbound(wrong.half) ? CaptureDirection::kInbound
                                                  : CaptureDirection::kOutbound);
    exhibit.frames = {wrong.esp, wrong.by_device, wrong.by_cpu, {}};
    exhibits.push_back(std::move(exhibit));
  }
  return SectionOf(device, exhibits);
}

std::string EvidenceSection(const std::string& device,
                            std::span<const WithdrawnCapability> withdrawn) {
  const uint64_t now = SystemClock().WallMs() * 1'000'000;
  std::vector<Exhibit> exhibits;
  for (const WithdrawnCapability& capability : withdrawn) {
    const SelfTestProof& proof = capability.proof;
    Exhibit exhibit{.comment = fmt::format("self-test of {}: withdrawn:{}: {}", device,
                                           capability.name, capability.text),
                    .time_ns = now,
                    .frames = {}};
    exhibit.frames = {std::vector<uint8_t>(), WithEthernetHeader(proof.got),
                      WithEthernetHeader(proof.expected), WithEthernetHeader(proof.sent)};
    exhibit.directions.back() = CaptureDirection::kOutbound;  // into the device
    exhibits.push_back(std::move(exhibit));
  }
  return SectionOf(device, exhibits);
}

Result<std::string> EvidenceFiles::Keep(const std::string& device,
                                        std::span<const ShadowEvidence> evidence) {
  return Append(device, EvidenceSection(device, evidence));
}

Result<std::string> EvidenceFiles::Keep(const std::string& device,
                                        std::span<const WithdrawnCapability> withdrawn) {
  return Append(device, EvidenceSection(device, withdrawn));
}

Result<std::string> EvidenceFiles::Append(const std::string& device,
                                          const std::string& section) const {
  if (folder_.empty()) return MakeError(Errc::kNoEntry, "the daemon has no folder for it");
  const std::string path = folder_ + "/evidence-" + device + ".pcapng";
  // Not blocking: opening a pipe would wait for its reader.
  const UniqueFd fd(open(path.c_str(),
                         O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
                         S_IRUSR | S_IWUSR));
  if (!fd.valid()) return Failed("open", path);
  struct stat now {};
  if (fstat(fd.get(), &now) != 0) return Failed("read", path);
  if (!S_ISREG(now.st_mode)) return MakeError(Errc::kInvalid, path + " is not a file");
  // The packets are in clear.
  if (now.st_uid != geteuid() || now.st_nlink != 1 || (now.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
    return MakeError(Errc::kPermission, path + " can be read by others; remove it");
  }
  if (static_cast<uint64_t>(now.st_size) > kMaxBytes) return path;
  const ssize_t written = write(fd.get(), section.data(), section.size());
  if (written == static_cast<ssize_t>(section.size())) return path;
  // A half section would spoil what comes after it.
  const int error = written < 0 ? errno : ENOSPC;
  if (written > 0) (void)!ftruncate(fd.get(), now.st_size);
  errno = error;
  return Failed("write", path);
}

}  // namespace cygnet
