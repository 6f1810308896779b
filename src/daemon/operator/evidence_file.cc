#include "daemon/operator/evidence_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/unique_fd.h"
#include "daemon/operator/pcapng.h"

namespace cygnet {
namespace {

// The interfaces of a section.
struct Place {
  const char* suffix;
  const char* description;
  std::vector<uint8_t> ShadowEvidence::*frame;
};
constexpr Place kPlaces[] = {
    {"-esp", "the ESP packet: as it came, or as the device would have sent it",
     &ShadowEvidence::esp},
    {"-device", "what the device made of it", &ShadowEvidence::by_device},
    {"-cpu", "what the CPU opened: the inner packet, or ESP with its text in clear",
     &ShadowEvidence::by_cpu},
};

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
  std::string out;
  pcapng::AppendSectionHeader("cygnetd " CYGNET_VERSION, &out);
  for (const Place& place : kPlaces) {
    pcapng::AppendInterface(device + place.suffix, place.description, 0, &out);
  }
  uint64_t id = 0;
  for (const ShadowEvidence& wrong : evidence) {
    ++id;
    for (uint32_t i = 0; i < std::size(kPlaces); ++i) {
      CapturedFrame frame;
      frame.bytes = wrong.*kPlaces[i].frame;
      if (frame.bytes.empty()) continue;
      frame.time_ns = wrong.time_ns;
      frame.interface = i;
      frame.original_length = static_cast<uint32_t>(frame.bytes.size());
      frame.facts.direction =
          IsInbound(wrong.half) ? CaptureDirection::kInbound : CaptureDirection::kOutbound;
      pcapng::AppendPacket(frame, {.comments = {Comment(device, wrong)}, .packet_id = id}, &out);
    }
  }
  return out;
}

Result<std::string> EvidenceFiles::Keep(const std::string& device,
                                        std::span<const ShadowEvidence> evidence) {
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
  const std::string section = EvidenceSection(device, evidence);
  const ssize_t written = write(fd.get(), section.data(), section.size());
  if (written == static_cast<ssize_t>(section.size())) return path;
  // A half section would spoil what comes after it.
  const int error = written < 0 ? errno : ENOSPC;
  if (written > 0) (void)!ftruncate(fd.get(), now.st_size);
  errno = error;
  return Failed("write", path);
}

}  // namespace cygnet
