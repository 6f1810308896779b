// RestartLog: the state that outlives the daemon: all policies, and the identities of the SAs, as
// XFRM messages in a RecordFile; no keys. A restarted daemon has its policies before the first
// packet passes, so that nothing leaves in clear. The SAs are lost with their keys; key management
// is notified that they are about to expire, and replaces them. The notice is soft, because charon
// answers a hard one by deleting its policies as well, and then nothing is protected until it has
// new ones.
//
// A change that is acknowledged to a client is in the file; one that cannot be written is refused.
// If the file is incomplete, traffic is blocked: all defaults are "block", and only the readable
// policies that protect or block are in force, until a client sets the state (a flush, or all three
// defaults) or the operator accepts it. An older copy counts as incomplete, too (record_anchor.h).
// A file that somebody deletes, replaces or changes while the daemon runs is written again before
// the next change, and at once if it is watched (system/file_watch.h).
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
#include "daemon/store/restart_interfaces.h"
#include "netlink/buffer.h"
#include "requests/control_event.h"
#include "requests/xfrm_control.h"

namespace cygnet {

// An SA of the previous daemon.
struct LostSa {
  SaId id;
  netlink::Buffer expiry;  // EXPIRE, soft
};
using LostSaKey = std::tuple<std::array<uint8_t, 16>, uint32_t, uint8_t, IpFamily>;
using LostSas = std::map<LostSaKey, LostSa>;
LostSaKey KeyOf(const SaId& id);

// The meaning of a missing file.
enum class MissingFile : uint8_t {
  kIsFirstStart,
  kIsDamage,  // an earlier daemon ran: its interfaces still exist
};

class RestartLog final : public ChangeJournal {
 public:
  // Who reads the file after an orderly end. Nobody, for now: it must be on the disk.
  enum class Next : uint8_t { kNobody, kProcess };

  explicit RestartLog(std::string path, InterfaceNames names = {})
      : path_(std::move(path)), interfaces_(std::move(names)) {}

  // Restores the policies of the file into `control`, and rewrites the file if it says more than is
  // needed.
  // REQUIRES: no packet passes yet. Errc::kBusy: another cygnetd writes the file.
  Status Open(XfrmControl* control, MissingFile missing);
  // The SAs of the file that have not come back: all of them, until PrepareRestored names some.
  std::vector<LostSa> ListLost() const;

  // Control thread.
  Status Prepare(const ControlEvent& change) override;
  Status PrepareRestored(const ConstSaPtr& sa) override;
  void Note(const ControlEvent& change) override;
  // Call it when key management has been notified of the SAs that ListLost returned.
  void ForgetLost();
  // Call it about once a second: retries what could not be written.
  void Tick();
  // The operator accepts the readable part of a damaged file as complete. kNoEntry: nothing to
  // accept.
  Status Accept();
  // An orderly end: forgets the SAs of earlier daemons.
  void Stop(Next next = Next::kNobody);

  const std::string& path() const { return path_; }
  // Why the file was incomplete; empty: it was whole, or a client or the operator has settled it.
  const std::string& damage() const { return damage_; }
  // Why it cannot be written; empty: it can.
  const std::string& error() const { return tampering_.empty() ? error_ : tampering_; }
  // What others did to the file or its lock in this run; empty: nothing.
  const std::string& mishaps() const { return mishaps_.text(); }
  std::size_t lost() const { return lost_.size(); }

 private:
  using Actions = std::array<PolicyAction, kPolicyDirections>;
  struct Entry;
  struct Encoder;

  void Read(MissingFile missing, RecordScan* scan);
  bool SaysNoMoreThanNeeded(std::size_t sas) const;
  template <typename Fn>
  void ForEachSaToKeep(Fn fn) const;  // fn(const SaView&)
  void Restrict();
  void SayWhatCameBack() const;
  Status Rewrite();
  Status Guard();
  Status Replace(RecordFile::Image image);
  Status Append(const Entry& entry);
  ControlEvent Recorded(const ControlEvent& change) const;
  void LearnFrom(const ControlEvent& change);
  void Settle();

  const std::string path_;
  RestartInterfaces interfaces_;
  XfrmControl* control_ = nullptr;
  bool open_ = false;  // changes are written
  bool cut_ = false;   // Open could not read all of the file
  WriterLock lock_;
  RecordAnchor anchor_{path_, &lock_};
  Mishaps mishaps_{"restart file"};
  RecordFile file_;
  std::size_t records_ = 0;  // in the file
  std::size_t rewrite_at_ = 0;
  bool behind_ = false;  // a change that could not be refused is missing in the file
  LostSas lost_;
  std::string error_;
  std::string tampering_;  // that could not be repaired yet
  // While damaged: the defaults of the file, and which of them a client has set since.
  std::string damage_;
  std::optional<Actions> remembered_;
  std::array<bool, kPolicyDirections> spoken_{};
};

}  // namespace cygnet
