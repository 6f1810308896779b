// Audit: records in the system's own logs what happened to keys and where SAs run: events with
// fields in systemd's journal, and records of type AUDIT_CRYPTO_IPSEC_SA in the Linux audit system.
// Never key material. A record that the journal's queue has no room for waits here, in order, while
// there is room. Lost records are counted and reported, in the log and in the trail itself.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "control/control_plane.h"
#include "control/ledger.h"
#include "control/placement/report.h"
#include "daemon/audit/xfrm_audit.h"

namespace cygnet {

enum class AuditKind : uint8_t {
  kPlacement,
  kKey,
  kDevice,
  kFips,
  kGuard,
  kCommand,
  kPolicy,
  kProtection,
  kKeysShown,
  kCluster,
  kLedger,
  kCount
};
std::string_view Name(AuditKind kind);

struct AuditRecord {
  AuditKind kind = AuditKind::kPlacement;
  bool warning = false;  // else a notice
  bool success = true;   // what was requested is what happened
  std::string message;   // for people
  // Field names of the journal: "CYGNET_REASON". The Linux audit record has "reason".
  std::vector<std::pair<std::string, std::string>> fields;
};

class AuditSink {
 public:
  virtual ~AuditSink() = default;
  virtual std::string_view name() const = 0;
  // Errc::kInvalid: the sink will never accept this record. Any other error: it may later.
  virtual Status Write(const AuditRecord& record) = 0;
};

// The journal's native protocol: one datagram a record. audit_sinks.cc
std::unique_ptr<AuditSink> MakeJournalSink(std::string socket = "/run/systemd/journal/socket");
// Placements, keys, devices, FIPS decisions and guard hits as AUDIT_CRYPTO_IPSEC_SA. Needs
// CAP_AUDIT_WRITE and a kernel with audit; kNotSupported: built without libaudit.
Result<std::unique_ptr<AuditSink>> MakeLinuxAuditSink();
// The record's text: 'op=cygnet-placement direction=out spi=… …'. Values that are not plain are in
// hex, as the audit system's tools expect.
std::string LinuxAuditText(const AuditRecord& record);
// The record as a datagram of the journal's native protocol.
std::string JournalDatagram(const AuditRecord& record);

// What happened, in a sentence: "outbound SA to 192.0.2.2 spi 0x00001000: crypto nic0 (…)".
std::string Describe(const PlacementEntry& entry);
std::string Describe(const KeyEntry& entry);

struct AuditLimits {
  double per_second = 50;  // of each kind
  double burst = 200;
  double policies_per_second = 500;  // an IKE daemon sets up many tunnels at once
  double policies_burst = 5000;
  std::size_t waiting = 8192;  // records, of each sink
};

// Control thread only. Gets placements and keys as a sink of the ledger.
class Audit final : public LedgerSink, public DeviceAudit {
 public:
  // REQUIRES: `clock` outlives the audit.
  Audit(std::vector<std::unique_ptr<AuditSink>> sinks, const Clock* clock, AuditLimits limits = {});
  ~Audit() override;

  void Placement(const PlacementEntry& entry);
  void Key(const KeyEntry& entry);
  void OnPlacement(const PlacementEntry& entry) override { Placement(entry); }
  Status OnKeyGiven(uint64_t, const KeyEntry& entry) override {
    Key(entry);
    return {};
  }
  void OnKeyEnded(uint64_t, const KeyEntry& entry) override { Key(entry); }
  void Device(const std::string& name, const std::string& state,
              const std::string& explanation) override;
  void Fips(const FipsRow& row) override;
  void GuardHit(const std::string& device, const std::string& reason, uint64_t count) override;
  void WrongPackets(const std::string& device, Half half, uint64_t count, const std::string& what,
                    const std::string& evidence) override;
  // An operator's command, and who sent it.
  void Command(const std::string& text, uint32_t uid, int32_t pid);
  // `watcher` gets every record but placements and keys, before the limits. `listens`: whether it
  // has a use for one now. Many records a second are not made for nobody.
  void SetWatcher(std::function<void(const AuditRecord&)> watcher, std::function<bool()> listens) {
    watcher_ = std::move(watcher);
    listens_ = std::move(listens);
  }
  // Replaces the sinks, for a reload.
  void SetSinks(std::vector<std::unique_ptr<AuditSink>> sinks);
  // What a client of the XFRM socket did, and who it was.
  void Client(const ClientRecord& record, const PeerId& peer);
  // What the daemon itself found: an incomplete restart file.
  void Protection(const std::string& text);
  // Which node has a group, and what the cluster's store refused.
  void Cluster(const std::string& group, const std::string& event, const std::string& text);
  // The head of the ledger's chain: the hash of all its records up to `number`. `key`: the public
  // key that signed it; empty: none.
  void LedgerHead(const std::string& host, uint64_t number, const std::string& hash,
                  const std::string& key);
  // Writes the waiting records. Call it often.
  void Flush();
  // Reports how many records the limit has suppressed. Call it about once a second.
  void Tick();

  uint64_t waiting() const;
  uint64_t lost() const;
  uint64_t suppressed() const { return suppressed_; }

 private:
  struct Bucket {
    double tokens = 0;
    uint64_t filled_ns = 0;
    uint64_t suppressed = 0;
  };
  struct Sink {
    std::unique_ptr<AuditSink> sink;
    std::deque<AuditRecord> waiting{};
    uint64_t lost = 0;    // since the start
    uint64_t untold = 0;  // of these, not reported in the trail yet
    bool failed = false;  // its failure was reported; cleared when it works again
    bool worked = false;  // it has accepted a record, so one that it refuses counts as lost
  };

  bool TakeToken(AuditKind kind);
  void Submit(AuditRecord record);
  // Asked before a record is made, if there can be many: making one takes longer than adding an SA.
  // False: it counts as suppressed.
  bool Admits(AuditKind kind);
  void Write(AuditRecord record);
  void NotifySuppressed(AuditKind kind);
  void WriteAll(const AuditRecord& record);
  void Send(Sink* row);
  void MakeRoom(Sink* row);
  bool Owes() const;
  static AuditRecord LossRecord(const Sink& row);

  std::vector<Sink> sinks_;
  std::function<void(const AuditRecord&)> watcher_;  // may be empty
  std::function<bool()> listens_;                    // empty if watcher_ is
  const Clock* const clock_;
  const AuditLimits limits_;
  std::array<Bucket, static_cast<std::size_t>(AuditKind::kCount)> buckets_{};
  uint64_t suppressed_ = 0;
};

}  // namespace cygnet
