#include "datapath/shadow/shadow_desk.h"

#include <cstring>

#include "net/esp_view.h"

namespace cygnet {

std::span<uint8_t> ShadowDesk::CopyTo(uint8_t* to, std::span<const uint8_t> bytes) {
  if (bytes.size() > kBytes) return {};
  std::memcpy(to, bytes.data(), bytes.size());
  return {to, bytes.size()};
}

CryptoStatus ShadowDesk::Run(esp::JobParams params, const EngineSession& with, uint32_t esn_high,
                             std::span<uint8_t> esp) {
  if (!esp::HasRoomForJob(params.layout, esp.size())) return CryptoStatus::kError;
  CryptoQueue* queue = queues_[with.engine];
  if (queue == nullptr) return CryptoStatus::kError;
  params.session = with.session.get();
  params.direction = CryptoDirection::kOpen;  // the nonce comes from the IV that is there
  CryptoJob job;
  esp::BuildJob(params, esp, esn_high, &job);
  (void)queue->Submit({&job, 1});  // a CPU engine accepts all jobs and finishes them at once
  return job.status;
}

bool ReadText(const EspLayout& layout, std::span<const uint8_t> esp, ShadowText* text) {
  const std::size_t front = kEspHeader + layout.iv;
  if (esp.size() < front + 2u + layout.icv) return false;
  const std::span<const uint8_t> all = esp.subspan(front, esp.size() - front - layout.icv);
  const std::size_t pad = all[all.size() - 2];
  if (pad + 2 > all.size()) return false;
  text->next_header = all.back();
  text->payload = all.first(all.size() - pad - 2);
  text->padding = all.subspan(all.size() - pad - 2, pad);
  return true;
}

std::vector<uint8_t> CopyOf(std::span<const uint8_t> bytes) { return {bytes.begin(), bytes.end()}; }

}  // namespace cygnet
