// EvidenceFile: packets that prove that a device is wrong, as pcapng: one file for each device in a
// folder of the daemon. Contains packets in clear, never keys; only root may read it.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "control/evidence.h"

namespace cygnet {

class EvidenceFiles final : public EvidenceStore {
 public:
  // A file that is larger gets nothing more: the first packets say what is wrong.
  static constexpr uint64_t kMaxBytes = 1u << 20;

  // `folder` empty: nothing can be kept.
  explicit EvidenceFiles(std::string folder) : folder_(std::move(folder)) {}

  // Appends a section to FOLDER/evidence-DEVICE.pcapng.
  Result<std::string> Keep(const std::string& device,
                           std::span<const ShadowEvidence> evidence) override;
  Result<std::string> Keep(const std::string& device,
                           std::span<const WithdrawnCapability> withdrawn) override;

 private:
  Result<std::string> Append(const std::string& device, const std::string& section) const;

  const std::string folder_;
};

// One section of pcapng: for each wrong packet the ESP packet, what the device made of it, and what
// the CPU opened, as far as they are known.
std::string EvidenceSection(const std::string& device, std::span<const ShadowEvidence> evidence);
// For each withdrawn capability the packet that the self-test gave to the device, what the device
// made of it (nothing: it dropped it), and what it should have made of it (nothing: drop it).
std::string EvidenceSection(const std::string& device,
                            std::span<const WithdrawnCapability> withdrawn);

}  // namespace cygnet
