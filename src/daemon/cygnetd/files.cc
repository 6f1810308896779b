// What the daemon keeps: ledger, number store, restart file, audit trail. It watches the files
// while it serves, so that it repairs at once what somebody does to one. It also checks them once a
// second, with a watch or without.
#include <fcntl.h>
#include <fmt/format.h>

#include <type_traits>
#include <utility>

#include "base/log.h"
#include "daemon/cygnetd/check.h"
#include "daemon/cygnetd/runtime.h"

namespace cygnet {

Status Runtime::OpenLedger(const LedgerConfig& config) {
  ledger_ = std::make_shared<Ledger>(&clock_);
  const std::string path = LedgerPath(config);
  if (path.empty()) {
    Log(LogLevel::kInfo, "ledger: kept in memory only (ledger.file is empty)");
    return {};
  }
  auto file = LedgerFile::Open({.path = path,
                                .max_bytes = uint64_t{config.max_mib} << 20,
                                .keep = config.keep,
                                .sync = config.sync},
                               ledger_.get(), &clock_);
  if (!file) return In("ledger.file", file.error());
  ledger_file_ = *std::move(file);
  return {};
}

Status Runtime::OpenNumbers(const NumbersConfig& config) {
  const std::string path = NumbersPath(config);
  if (path.empty()) {
    OpenMemoryNumbers();
    return {};
  }
  auto file = NumberFile::Open({.path = path});
  if (!file) return In("numbers.file", file.error());
  number_file_ = *std::move(file);
  if (!number_file_->loss().empty()) {
    audit_->Protection("the number store began anew: " + number_file_->loss());
  }
  return {};
}

std::vector<std::unique_ptr<AuditSink>> Runtime::AuditSinks(const AuditConfig& config) {
  std::vector<std::unique_ptr<AuditSink>> sinks;
  if (config.journal) sinks.push_back(MakeJournalSink());
  if (config.linux_audit) {
    auto sink = MakeLinuxAuditSink();
    if (sink) {
      sinks.push_back(*std::move(sink));
    } else {
      Log(LogLevel::kInfo, "audit: no Linux audit records: " + sink.error().message);
    }
  }
  return sinks;
}

void Runtime::StartAudit(const AuditConfig& config) {
  audit_ = std::make_unique<Audit>(AuditSinks(config), &clock_);
  ledger_->AddSink(audit_.get());
  ledger_->AddSink(&events_);
  audit_->SetWatcher([this](const AuditRecord& record) { events_.OnRecord(record); },
                     [this] { return events_.has_watchers(); });
  if (ledger_file_ != nullptr) {
    if (!ledger_file_->found().empty()) {
      audit_->Protection("the ledger: " + ledger_file_->found());
    }
    ledger_file_->SetHeadListener([this](const WrittenHead& written) {
      audit_->LedgerHead(StampOfThisHost().host, written.head.number, HexText(written.head.hash),
                         written.key);
    });
  }
  fence_->SetNotifier([this](const std::string& device, const std::string& what,
                             const std::string& text) { audit_->Device(device, what, text); });
}

// --- State in memory that outlives the process ---

// What an earlier process left, or new memory that the service manager keeps from now on. What
// cannot be used is wiped. `lost`: what it means then.
template <typename Memory>
Result<std::unique_ptr<Memory>> Runtime::AdoptOrMake(const char* name, const char* lost) {
  if (UniqueFd fd = hooks_.kept->Take(name); fd.valid()) {
    const UniqueFd again(fcntl(fd.get(), F_DUPFD_CLOEXEC, 0));
    auto memory = Memory::Adopt(std::move(fd));
    if (memory) return memory;
    WipeMemory(again.get());
    Log(LogLevel::kError, memory.error().message + lost);
  }
  if constexpr (std::is_same_v<Memory, StateMemory>) ForgetNumbers();
  auto memory = Memory::Create();
  if (memory) hooks_.kept->Keep(name, (*memory)->fd());
  return memory;
}

void Runtime::OpenMemoryNumbers() {
  if (Keeper() == nullptr || !config_.cluster.name.empty()) return;
  auto numbers =
      AdoptOrMake<MemoryNumbers>("cygnet-numbers", "; keys that come back get other IV masks");
  if (numbers) {
    memory_numbers_ = *std::move(numbers);
    return;
  }
  Log(LogLevel::kWarning, "keys that come back get other IV masks: " + numbers.error().message);
}

// What a lost SA has accepted is unknown.
void Runtime::ForgetNumbers() {
  if (memory_numbers_ == nullptr) return;
  if (const Status anew = memory_numbers_->BeginAnew(); !anew) {
    Log(LogLevel::kError, "the memory of numbers: " + anew.error().message);
  }
}

// SAs and queues of packets come back only with their policies, or traffic would leave in clear.
// nullptr: nothing is kept.
DescriptorKeeper* Runtime::Keeper() const {
  return hooks_.kept->works() && !RestartPath(config_).empty() ? hooks_.kept : nullptr;
}

void Runtime::OpenState() {
  if (!hooks_.kept->works()) return;
  if (Keeper() == nullptr) {
    Log(LogLevel::kInfo, "SAs end with this process: daemon.restart_file is not set");
    return;
  }
  auto memory = AdoptOrMake<StateMemory>("cygnet-state", "; all SAs of the daemon before are lost");
  if (!memory) {
    Log(LogLevel::kWarning, "SAs end with this process: " + memory.error().message);
    return;
  }
  if (!(*memory)->unlocked().empty()) Log(LogLevel::kWarning, (*memory)->unlocked());
  kept_sas_ = std::make_unique<KeptSas>(*std::move(memory),
                                        number_file_ != nullptr || cluster_store_ != nullptr
                                            ? KeptSas::Store::kFile
                                            : KeptSas::Store::kNone);
}

void Runtime::RestoreSas() {
  if (kept_sas_ == nullptr) return;
  const uint64_t begin = clock_.MonotonicNs();
  const KeptSas::Outcome outcome = kept_sas_->Restore(control_.get());
  Log(LogLevel::kInfo,
      fmt::format("{} SAs and {} reserved SPIs go on, {} could not be restored; it took {} ms",
                  outcome.restored, outcome.larval, outcome.lost,
                  (clock_.MonotonicNs() - begin) / 1'000'000));
  if (outcome.lost != 0) ForgetNumbers();
  if (outcome.left_store == 0) return;
  Log(LogLevel::kWarning,
      fmt::format("the number store is off, and {} SAs that it had go on without it: it does not "
                  "learn which numbers they use. Replace their keys before you set numbers.store "
                  "again",
                  outcome.left_store));
}

// Closes what nobody took of what an earlier process left. Afterwards the service manager has all
// that is kept.
void Runtime::ForgetKept() {
  if (!hooks_.kept->works()) return;
  hooks_.kept->DiscardRest();
  if (const Status settled = hooks_.kept->Settle(); !settled) {
    Log(LogLevel::kWarning, "a restart may lose SAs: " + settled.error().message);
  }
}

// Restores the policies of the previous run before the first packet arrives.
Status Runtime::OpenRestartLog(MissingFile missing) {
  if (restart_log_ == nullptr) return {};
  const Status opened = restart_log_->Open(control_.get(), missing);
  if (!opened) return In("daemon.restart_file", opened.error());
  if (!restart_log_->damage().empty()) {
    audit_->Protection("the restart file is incomplete, traffic is blocked: " +
                       restart_log_->damage());
  }
  RestoreSas();
  std::vector<LostSa> lost = restart_log_->ListLost();
  std::erase_if(lost, [this](const LostSa& sa) { return control_->GetSa(sa.id).has_value(); });
  xfrm_->NotifyLost(
      std::move(lost),
      [this](const IpAddress& address, IpFamily family) {
        return path_->host_addresses().Contains(address, family);
      },
      [this] { restart_log_->ForgetLost(); });
  return {};
}

void Runtime::WatchFiles() {
  const Status watched = StartFileWatch();
  if (!watched) {
    Log(LogLevel::kWarning,
        "cannot watch the restart file and the ledger; changes to them are noticed within a "
        "second, not at once: " +
            watched.error().message);
  }
  LookAtFiles();  // for changes made before the watch existed
}

Status Runtime::StartFileWatch() {
  if (restart_log_ == nullptr && ledger_file_ == nullptr) return {};
  auto watch = FileWatch::Create();
  if (!watch) return watch.error();
  file_watch_ = *std::move(watch);
  CYGNET_RETURN_IF_ERROR(
      poller_->Add(file_watch_->event_fd(), EPOLLIN, [this](uint32_t) { file_watch_->Drain(); }));
  if (restart_log_ != nullptr) {
    CYGNET_RETURN_IF_ERROR(
        file_watch_->Add(restart_log_->path(), [this] { restart_log_->Tick(); }));
  }
  if (ledger_file_ != nullptr) {
    CYGNET_RETURN_IF_ERROR(
        file_watch_->Add(ledger_file_->path(), [this] { ledger_file_->Sync(); }));
  }
  return {};
}

void Runtime::LookAtFiles() {
  if (file_watch_ != nullptr) file_watch_->Renew();
  if (restart_log_ != nullptr) restart_log_->Tick();
  if (ledger_file_ != nullptr) ledger_file_->Sync();
}

}  // namespace cygnet
