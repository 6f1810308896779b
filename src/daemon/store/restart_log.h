// RestartLog: what outlives the daemon. Every policy, and which SAs there were, as XFRM messages in
// a RecordFile; no keys. A daemon that starts again has its policies before the first packet
// passes, so that nothing leaves in clear; the SAs are gone with their keys, and key management is
// told that they are about to expire: it replaces them. Told that they had expired (hard), charon
// takes its policies away as well, and until it has new ones nothing is protected.
//
// What a client is told is done is in the file: a change that cannot be written is refused. A file
// that is not whole blocks: all defaults are "block" and what could be read of policies that
// protect or block is there, until a client says what holds (a flush, or all three defaults) or the
// operator accepts what is there. An older copy is such a file too (daemon/record_anchor.h). A file
// that somebody deletes, replaces or changes while the daemon runs is written anew before the next
// change, and at once where somebody watches it (daemon/file_watch.h).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "base/result.h"
#include "daemon/store/kept_file.h"
#include "daemon/store/record_anchor.h"
#include "daemon/store/record_file.h"
#include "netlink/buffer.h"
#include "requests/control_event.h"
#include "requests/xfrm_control.h"

namespace cygnet {

// An SA that went with the daemon before.
struct LostSa {
  SaId id;
  netlink::Buffer expiry;  // EXPIRE, soft
};
using LostSaKey = std::tuple<std::array<uint8_t, 16>, uint32_t, uint8_t, IpFamily>;
using LostSas = std::map<LostSaKey, LostSa>;
LostSaKey KeyOf(const SaId& id);

// What it means that there is no file.
enum class MissingFile : uint8_t {
  kIsFirstStart,
  kIsDamage,  // a daemon was here: something of it is still there
};

class RestartLog final : public ChangeJournal {
 public:
  explicit RestartLog(std::string path) : path_(std::move(path)) {}

  // Gives `control` the policies of the file and begins the file anew. Returns the SAs. REQUIRES:
  // no packet passes yet. Errc::kBusy: another cygnetd writes the file.
  Result<std::vector<LostSa>> Open(XfrmControl* control, MissingFile missing);

  // Control thread.
  Status Prepare(const ControlEvent& change) override;
  void Note(const ControlEvent& change) override;
  // Key management was told of the SAs that Open returned.
  void ForgetLost();
  // About once a second: what could not be written is tried again.
  void Tick();
  // The operator takes what could be read for all there was. kNoEntry: nothing to accept.
  Status Accept();
  // An orderly end: SAs of daemons before this one are nobody's any more.
  void Stop();

  const std::string& path() const { return path_; }
  // Why the file was not whole, until somebody spoke; empty: it was, or somebody did.
  const std::string& damage() const { return damage_; }
  // Why it cannot be written; empty: it can.
  const std::string& error() const { return tampering_.empty() ? error_ : tampering_; }
  // What others did to the file or its lock in this life; empty: nothing.
  const std::string& mishaps() const { return mishaps_.text(); }
  std::size_t lost() const { return lost_.size(); }

 private:
  using Actions = std::array<PolicyAction, kPolicyDirections>;
  struct Encoder;

  void Read(MissingFile missing, RecordScan* scan);
  void Restrict();
  void SayWhatCameBack() const;
  Status Rewrite();
  Status Guard();
  Status Replace(RecordFile::Image image);
  Status Append(uint32_t type, const netlink::Buffer& payload);
  ControlEvent Recorded(const ControlEvent& change) const;
  void LearnFrom(const ControlEvent& change);
  void Settle();

  const std::string path_;
  XfrmControl* control_ = nullptr;
  bool open_ = false;  // what happens is written
  bool cut_ = false;   // Open could not read all of the file
  WriterLock lock_;
  RecordAnchor anchor_{path_, &lock_};
  Mishaps mishaps_{"restart file"};
  RecordFile file_;
  std::size_t rewrite_at_ = 0;
  bool behind_ = false;  // something that nobody could refuse is not in it
  LostSas lost_;
  std::string error_;
  std::string tampering_;  // that could not be mended yet
  // While damaged: what the file said of defaults, and which of them a client has said since.
  std::string damage_;
  std::optional<Actions> remembered_;
  std::array<bool, kPolicyDirections> spoken_{};
};

}  // namespace cygnet
