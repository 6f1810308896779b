#include "daemon/xfrm_server/dump.h"

#include <iterator>
#include <utility>

#include "base/check.h"
#include "netlink/ack.h"
#include "xfrm/policy_message.h"

namespace cygnet {
namespace {

class SaDump final : public XfrmDump {
 public:
  SaDump(const XfrmControl* control, xfrm::SaDumpFilter filter, Client client,
         netlink::ExtendedAck ack)
      : XfrmDump(client, std::move(ack)),
        control_(control),
        filter_(filter),
        sas_(control->ListSas()) {}

 private:
  bool AddEntry(netlink::Buffer* part) override {
    while (next_ < sas_.size()) {
      const ConstSaPtr sa = std::move(sas_[next_++]);
      const SaView view = control_->Inspect(*sa);
      if (view.state == SaState::kDead || !filter_.Matches(*view.spec)) continue;
      *part = xfrm::EncodeSa(view, client().to, xfrm::DumpPart::kYes, std::move(*part));
      return true;
    }
    return false;
  }

  const XfrmControl* const control_;
  const xfrm::SaDumpFilter filter_;
  std::vector<ConstSaPtr> sas_;
  std::size_t next_ = 0;
};

class PolicyDump final : public XfrmDump {
 public:
  PolicyDump(const XfrmControl& control, Client client)
      : XfrmDump(client, {}),
        of_sockets_(control.ListSocketPolicies()),
        policies_(control.PoliciesInForce()) {}

 private:
  bool AddEntry(netlink::Buffer* part) override {
    if (next_ < of_sockets_.size()) {
      const PolicyView& policy = of_sockets_[next_++];
      Add(policy.spec, policy.usage, part);
      return true;
    }
    const std::size_t in_spd = next_ - of_sockets_.size();
    if (in_spd == policies_.size()) return false;
    ++next_;
    const std::shared_ptr<const Policy> policy = std::move(policies_[in_spd]);
    Add(policy->spec, UsageOf(*policy), part);
    return true;
  }
  void Add(const PolicySpec& spec, const LifetimeUsage& usage, netlink::Buffer* part) const {
    *part = xfrm::EncodePolicy(spec, usage, client().to, xfrm::DumpPart::kYes, std::move(*part));
  }

  const std::vector<PolicyView> of_sockets_;
  std::vector<std::shared_ptr<const Policy>> policies_;
  std::size_t next_ = 0;  // of both lists, one behind the other
};

}  // namespace

netlink::Buffer XfrmDump::Next(std::size_t room) {
  CYGNET_CHECK(!finished_);
  netlink::Buffer part = std::move(held_);
  held_ = {};
  // Reallocation would copy keys. An entry that does not fit makes the part longer for a moment.
  constexpr std::size_t kLongEntry = 1024;
  part.reserve(room + kLongEntry);
  while (part.size() < room) {
    const std::size_t before = part.size();
    if (!AddEntry(&part)) break;
    if (before == 0 || part.size() <= room) continue;
    held_.assign(part.begin() + static_cast<std::ptrdiff_t>(before), part.end());
    part.resize(before);
    break;
  }
  if (!part.empty()) {
    ack_ =
        {};  // a warning about the request would belong to the first part, which has no room for it
    return part;
  }
  finished_ = true;
  return netlink::BuildDone(client_.to.seq, 0, ack_, client_.options, client_.to.pid);
}

std::unique_ptr<XfrmDump> MakeSaDump(const XfrmControl* control, xfrm::SaDumpFilter filter,
                                     XfrmDump::Client client, netlink::ExtendedAck ack) {
  return std::make_unique<SaDump>(control, filter, client, std::move(ack));
}

std::unique_ptr<XfrmDump> MakePolicyDump(const XfrmControl& control, XfrmDump::Client client) {
  return std::make_unique<PolicyDump>(control, client);
}

}  // namespace cygnet
