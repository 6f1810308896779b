// RestartLog: what outlives the daemon. Every policy, and which SAs there were, as a stream of XFRM
// notifications in a file; no keys. A daemon that starts again has its policies before the first
// packet passes, so that nothing leaves in clear; the SAs are gone with their keys, and key
// management is told that they are about to expire: it replaces them. Told that they had expired
// (hard), charon takes its policies away as well, and until it has new ones nothing is protected.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "control/control_event.h"
#include "control/xfrm_control.h"
#include "netlink/buffer.h"

namespace cygnet {

// An SA that went with the daemon before.
struct LostSa {
  SaId id;
  netlink::Buffer expiry;  // EXPIRE, soft
};

class RestartLog final : public ControlListener {
 public:
  // Listens in front of `next`, which outlives it.
  RestartLog(ControlListener* next, std::string path) : next_(*next), path_(std::move(path)) {}

  // Gives `control` the policies of the file and begins the file anew. What cannot be understood is
  // left out and logged. Returns the SAs.
  Result<std::vector<LostSa>> Open(XfrmControl& control);

  // Control thread.
  void OnControlEvent(const ControlEvent& event, const RequestOrigin& origin) override;
  bool WantsAcquire() const override { return next_.WantsAcquire(); }
  bool WantsAevents() const override { return next_.WantsAevents(); }

 private:
  struct Recorder;
  void SayWhatCameBack(std::size_t lost) const;
  Status Rewrite(const std::vector<LostSa>& lost);
  void RecordSa(const Sa& sa);
  void ForgetSa(const Sa& sa);
  void Append(const netlink::Buffer& message);

  ControlListener& next_;
  const std::string path_;
  const XfrmControl* control_ = nullptr;  // once open
  UniqueFd file_;
  std::size_t bytes_ = 0;  // of the file
  std::size_t rewrite_at_ = 0;
};

}  // namespace cygnet
