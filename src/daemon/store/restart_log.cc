#include "daemon/store/restart_log.h"

#include <sys/random.h>

#include <algorithm>
#include <numeric>
#include <string_view>
#include <utility>
#include <variant>

#include "base/log.h"
#include "daemon/store/restart_replay.h"
#include "policy/lets_pass.h"
#include "xfrm/event_message.h"
#include "xfrm/info_message.h"
#include "xfrm/policy_message.h"
#include "xfrm/sa_message.h"

namespace cygnet {
namespace {

using restart_record::kDamaged;
using restart_record::kFormat;
using restart_record::kFormatName;
using restart_record::kMessage;
using restart_record::kNamed;
using restart_record::kSerial;
using restart_record::kSettled;

constexpr std::size_t kRewriteBytes = std::size_t{1} << 20;

netlink::Buffer BytesOf(std::string_view text) { return {text.begin(), text.end()}; }

constexpr std::array<PolicyAction, kPolicyDirections> kAllBlock = {
    PolicyAction::kBlock, PolicyAction::kBlock, PolicyAction::kBlock};

std::array<std::optional<PolicyAction>, kPolicyDirections> AllOf(
    const std::array<PolicyAction, kPolicyDirections>& actions) {
  return {actions[0], actions[1], actions[2]};
}

}  // namespace

// A record of the file. An empty message: nothing to remember.
struct RestartLog::Entry {
  Entry(netlink::Buffer message) : payload(std::move(message)) {}  // NOLINT: what a change says
  Entry(uint32_t of, netlink::Buffer what) : type(of), payload(std::move(what)) {}
  bool empty() const { return payload.empty(); }

  uint32_t type = kMessage;
  netlink::Buffer payload;
};

// Encodes a change.
struct RestartLog::Encoder {
  const XfrmControl& control;
  const RestartInterfaces& interfaces;

  netlink::Buffer Lost(const Sa& sa) const {
    return xfrm::EncodeSaExpired(control.Inspect(sa), false);
  }
  netlink::Buffer Gone(const Sa& sa) const { return xfrm::EncodeSaGone(*control.Inspect(sa).spec); }
  // As a client would write it: a request to offload a policy names no direction.
  Entry Policy(const PolicyView& policy) const {
    auto written = interfaces.Write(policy.spec);
    if (written.spec.offload.has_value()) written.spec.offload->inbound = false;
    return Named(written.names, xfrm::EncodePolicyUpdated({written.spec, policy.usage}, {}));
  }
  Entry PolicyGone(const PolicyView& policy) const {
    const auto written = interfaces.Write(policy.spec);
    return Named(written.names,
                 xfrm::EncodePolicyDeleted({written.spec, policy.usage}, IdOf(written.spec), {}));
  }
  static Entry Named(const NamesByNumber& names, netlink::Buffer message) {
    if (names.empty()) return message;
    return {kNamed, WithNames(names, message)};
  }

  Entry operator()(const SaAdded& e) const { return Lost(*e.sa); }
  Entry operator()(const SaUpdated& e) const { return Lost(*e.sa); }
  Entry operator()(const SaDeleted& e) const { return Gone(*e.sa); }
  Entry operator()(const SaExpired& e) const { return e.hard ? Gone(*e.sa) : netlink::Buffer(); }
  Entry operator()(const SaFlushed& e) const { return xfrm::EncodeSaFlushed(e.proto, {}); }
  Entry operator()(const PolicyAdded& e) const { return Policy(e.policy); }
  Entry operator()(const PolicyUpdated& e) const { return Policy(e.policy); }
  Entry operator()(const PolicyDeleted& e) const { return PolicyGone(e.policy); }
  Entry operator()(const PolicyExpired& e) const {
    return e.hard ? PolicyGone(e.policy) : Entry(netlink::Buffer());
  }
  Entry operator()(const PolicyFlushed& e) const { return xfrm::EncodePolicyFlushed(e.type, {}); }
  Entry operator()(const DefaultsChanged& e) const { return xfrm::EncodeDefaults(e.actions, {}); }
  template <typename Other>
  Entry operator()(const Other&) const {
    return netlink::Buffer();
  }
};

// --- Start ---

Status RestartLog::Open(XfrmControl* control, MissingFile missing) {
  CYGNET_RETURN_IF_ERROR(lock_.Take(path_));
  control_ = control;
  RecordScan scan;
  Read(missing, &scan);
  if (scan.whole) CYGNET_RETURN_IF_ERROR(file_.Open(path_, scan));
  if (!damage_.empty()) Restrict();
  open_ = true;
  records_ = scan.points.size();
  behind_ = interfaces_.found_unnamed();
  if (SaysNoMoreThanNeeded(lost_.size())) {
    anchor_.Reached(file_.point());
    rewrite_at_ = std::max(kRewriteBytes, 4 * file_.size());
  } else if (const Status fresh = Rewrite(); !fresh) {
    // Continue with the old file if it is whole. A damaged one would block the next daemon, too.
    if (!scan.whole && damage_.empty()) return fresh;
    Log(LogLevel::kError, "restart file: " + fresh.error().message);
  }
  SayWhatCameBack();
  return {};
}

std::vector<LostSa> RestartLog::ListLost() const {
  std::vector<LostSa> lost;
  lost.reserve(lost_.size());
  for (const auto& [key, sa] : lost_) lost.push_back(sa);
  return lost;
}

// As Rewrite leaves it. Then a start or an end does without writing all of it again.
bool RestartLog::SaysNoMoreThanNeeded(std::size_t sas) const {
  constexpr std::size_t kFirst = 3;  // format, serial, defaults
  const auto by_direction = control_->GetSpdInfo().count;
  const auto policies = std::accumulate(by_direction.begin(), by_direction.end(), std::size_t{0});
  return file_.is_open() && damage_.empty() && !behind_ && records_ == kFirst + policies + sas;
}

// Nothing passes in clear until a client or the operator settles the state. The unreadable part may
// have deleted a policy that allows clear traffic, or have added one in front of it that blocks.
void RestartLog::Restrict() {
  std::size_t left_out = 0;
  for (const PolicyView& policy : control_->ListPolicies()) {
    if (!cut_ || !LetsPassInClear(policy.spec)) continue;
    ++left_out;
    (void)control_->DeletePolicy(IdOf(policy.spec), {});  // it exists, so this cannot fail
  }
  (void)control_->SetDefaults(AllOf(kAllBlock), {});
  Log(LogLevel::kError,
      "restart file: " + damage_ +
          ". It is incomplete: traffic that no policy protects is BLOCKED " +
          "in all directions, and " + std::to_string(left_out) +
          " policies that allow clear traffic are left out, until a client flushes the policies or "
          "sets all defaults, or the operator runs \"cygnet stored accept\"");
}

// A client may have deleted a policy while no daemon ran. Restoring one that protects or blocks is
// safe; restoring one that allows clear traffic is not, so the log counts these.
void RestartLog::SayWhatCameBack() const {
  const auto policies = control_->ListPolicies();
  const auto in_clear = std::count_if(policies.begin(), policies.end(), [](const PolicyView& p) {
    return p.spec.action == PolicyAction::kAllow && p.spec.templates.empty();
  });
  Log(LogLevel::kInfo, "restart file: " + std::to_string(policies.size()) + " policies restored, " +
                           std::to_string(in_clear) + " of them let traffic pass in clear; " +
                           std::to_string(lost_.size()) + " SAs were in use");
}

// --- Writing ---

// Larval states end with the process.
template <typename Fn>
void RestartLog::ForEachSaToKeep(Fn fn) const {
  for (const auto& sa : control_->ListSas()) {
    const SaView view = control_->Inspect(*sa);
    if (view.state != SaState::kLarval) fn(view);
  }
}

// Writes the current state. REQUIRES: no change is in progress. Lost SAs stay in the file, because
// the daemon may end again before any client is notified of them.
Status RestartLog::Rewrite() {
  CYGNET_RETURN_IF_ERROR(lock_.Keep(&mishaps_));  // else this could replace another daemon's file
  RecordFile::Image image;
  image.Reserve(file_.size() + kRewriteBytes);
  const Encoder encoder{*control_, interfaces_};
  const auto add = [&](const Entry& entry) { image.Add(entry.type, entry.payload); };
  image.Add(kFormat, BytesOf(kFormatName));
  // Otherwise an older file could begin like this one and pass for one that got further.
  netlink::Buffer serial(16);
  if (getrandom(serial.data(), serial.size(), 0) != static_cast<ssize_t>(serial.size())) {
    return MakeError(Errc::kIo, "cannot get random numbers");
  }
  image.Add(kSerial, serial);
  if (!damage_.empty()) image.Add(kDamaged, BytesOf(damage_));
  // First, so that a truncated file has them.
  if (damage_.empty()) add(xfrm::EncodeDefaults(control_->GetDefaults(), {}));
  if (!damage_.empty() && remembered_) add(xfrm::EncodeDefaults(*remembered_, {}));
  auto policies = control_->ListPolicies();
  std::reverse(policies.begin(), policies.end());
  // Among equal priorities the order counts, and the policies are restored in this order.
  std::stable_sort(policies.begin(), policies.end(),
                   [](const PolicyView& a, const PolicyView& b) { return a.place < b.place; });
  for (const PolicyView& policy : policies) add(encoder.Policy(policy));
  for (const auto& [key, sa] : lost_) add(sa.expiry);
  ForEachSaToKeep([&](const SaView& view) { add(xfrm::EncodeSaExpired(view, false)); });
  const std::size_t records = image.records();
  const Status replaced = Replace(std::move(image));
  error_ = replaced ? std::string() : replaced.error().message;
  if (!replaced) return replaced;
  records_ = records;
  lock_.ReleaseData();
  behind_ = false;
  rewrite_at_ = std::max(kRewriteBytes, 4 * file_.size());
  return {};
}

Status RestartLog::Replace(RecordFile::Image image) {
  const RecordPoint next = image.point();
  CYGNET_RETURN_IF_ERROR(anchor_.Announce(file_.is_open() ? file_.point() : next, next));
  Status replaced = file_.Replace(path_, std::move(image));
  if (file_.is_open()) anchor_.Reached(file_.point());
  return replaced;
}

// Makes sure that we write the file which the next daemon reads, and that nobody else writes it.
Status RestartLog::Guard() {
  Status kept = lock_.Keep(&mishaps_);
  if (kept && anchor_.Keep()) mishaps_.Add(path_ + ".lock was written by somebody else");
  const std::string what = kept ? file_.Tampering() : std::string();
  if (!what.empty()) kept = Rewrite();
  if (!kept) {
    const std::string fault = (what.empty() ? "" : what + ": ") + kept.error().message;
    if (fault != tampering_)
      Log(LogLevel::kError, "restart file: " + fault + "; changes are refused");
    tampering_ = fault;
    return kept;
  }
  tampering_.clear();
  if (!what.empty()) mishaps_.Add(what);
  return {};
}

Status RestartLog::Append(const Entry& entry) {
  const Status added = file_.Append(entry.type, entry.payload);
  if (added) anchor_.Reached(file_.point());
  records_ += added ? 1 : 0;
  if (!added && error_ != added.error().message) {
    Log(LogLevel::kError,
        "restart file: " + added.error().message + "; changes are refused until it can be written");
  }
  error_ = added ? std::string() : added.error().message;
  return added;
}

// While the file is damaged, "block" is in force for defaults that no client has set; the file
// keeps the defaults that it had.
ControlEvent RestartLog::Recorded(const ControlEvent& change) const {
  const auto* defaults = std::get_if<DefaultsChanged>(&change);
  if (damage_.empty() || defaults == nullptr) return change;
  DefaultsChanged recorded = *defaults;
  for (std::size_t d = 0; d < recorded.named.size(); ++d) {
    if (!recorded.named[d]) recorded.actions[d] = remembered_.value_or(kAllBlock)[d];
  }
  return recorded;
}

Status RestartLog::Prepare(const ControlEvent& change) {
  if (!open_) return {};  // the change comes from the file
  Status kept = Guard();
  if (kept && !file_.is_open()) kept = Rewrite();
  const Entry entry = std::visit(Encoder{*control_, interfaces_}, Recorded(change));
  if (kept && !entry.empty()) kept = Append(entry);
  if (!kept) {
    return MakeError(
        kept.error().code == Errc::kNoEntry ? Errc::kIo : kept.error().code,
        "not done, because the restart file cannot be written: " + kept.error().message);
  }
  LearnFrom(change);
  return {};
}

// The file has the SAs that were in use.
Status RestartLog::PrepareRestored(const ConstSaPtr& sa) {
  const SaSpec& spec = sa->spec();
  const LostSaKey key =
      KeyOf({.daddr = spec.daddr, .spi = spec.spi, .proto = spec.proto, .family = spec.family});
  if (file_.is_open() && lost_.erase(key) != 0) return {};
  return Prepare(SaAdded{sa});
}

// An SA that stays in the file too long does no harm: key management ignores an unknown SA. A
// policy that stays may allow what must not pass, so the file is made incomplete, which blocks.
void RestartLog::Note(const ControlEvent& change) {
  if (!open_) return;
  LearnFrom(change);
  if (!file_.is_open()) return;
  const Entry entry = std::visit(Encoder{*control_, interfaces_}, change);
  if (entry.empty() || Append(entry)) return;
  behind_ = true;
  if (std::holds_alternative<PolicyExpired>(change)) file_.Spoil();
}

void RestartLog::LearnFrom(const ControlEvent& change) {
  if (const auto* flushed = std::get_if<SaFlushed>(&change)) {
    ForgetProtocol(flushed->proto, &lost_);
  } else if (const auto* added = std::get_if<SaAdded>(&change)) {
    if (lost_.empty()) return;  // while the file is damaged, an SA settles nothing
    const SaSpec& spec = *control_->Inspect(*added->sa).spec;
    lost_.erase(
        KeyOf({.daddr = spec.daddr, .spi = spec.spi, .proto = spec.proto, .family = spec.family}));
  }
  if (damage_.empty()) return;
  if (const auto* defaults = std::get_if<DefaultsChanged>(&change)) {
    remembered_ = std::get<DefaultsChanged>(Recorded(change)).actions;
    for (std::size_t d = 0; d < spoken_.size(); ++d) spoken_[d] |= defaults->named[d];
    if (spoken_ == std::array{true, true, true}) Settle();
  } else if (const auto* flush = std::get_if<PolicyFlushed>(&change)) {
    if (flush->type != PolicyType::kMain || !remembered_) return;
    Settle();
    (void)control_->SetDefaults(AllOf(*remembered_), {});  // a flush leaves them at "block"
  }
}

// A client or the operator has set the state.
void RestartLog::Settle() {
  Log(LogLevel::kWarning,
      "restart file: it was incomplete and is settled now; nothing is blocked because of it any "
      "more");
  damage_.clear();
  if (!Append({kSettled, {}})) behind_ = true;  // until it is written, the next daemon blocks
}

Status RestartLog::Accept() {
  if (damage_.empty()) {
    return MakeError(Errc::kNoEntry, "nothing to accept: the restart file was complete");
  }
  return control_->SetDefaults(AllOf(remembered_.value_or(Actions{})), {});
}

void RestartLog::ForgetLost() {
  if (lost_.empty() || !open_) return;
  lost_.clear();
  if (!Rewrite()) behind_ = true;
}

void RestartLog::Tick() {
  if (!open_ || !Guard()) return;
  const bool wanted = behind_ || !file_.is_open() || file_.size() > rewrite_at_;
  if (!wanted) return;
  const bool failed_before = !error_.empty();
  const Status status = Rewrite();
  if (status && failed_before) Log(LogLevel::kInfo, "restart file: it can be written again");
  if (!status && file_.is_open()) rewrite_at_ = file_.size() + kRewriteBytes;
}

void RestartLog::Stop(Next next) {
  if (!open_) return;
  // After an error nobody knows what the file's end says.
  std::size_t sas = 0;
  ForEachSaToKeep([&](const SaView&) { ++sas; });
  const bool is_as_needed = lost_.empty() && error_.empty() && SaysNoMoreThanNeeded(sas);
  lost_.clear();
  Status last = is_as_needed ? Guard() : Rewrite();
  // What the disk did not take in one place, it may take in another.
  if (last && is_as_needed && next == Next::kNobody && !file_.Sync()) last = Rewrite();
  if (!last) Log(LogLevel::kWarning, "restart file: " + last.error().message);
  open_ = false;
}

}  // namespace cygnet
