#include "daemon/xfrm_server/dump.h"

#include <iterator>
#include <utility>

#include "base/check.h"
#include "netlink/ack.h"
#include "xfrm/policy_message.h"

namespace cygnet {
namespace {

// About the size that a Linux kernel starts with (a page less overhead); charon refuses answers
// longer than 4096 bytes.
constexpr std::size_t kMaxPartBytes = 3584;

class SaDump final : public XfrmDump {
 public:
  SaDump(const XfrmControl* control, xfrm::SaDumpFilter filter, Client client,
         netlink::ExtendedAck ack)
      : XfrmDump(client, std::move(ack)),
        control_(control),
        filter_(filter),
        sas_(control->ListSas()) {}

 private:
  std::optional<netlink::Buffer> NextEntry() override {
    while (next_ < sas_.size()) {
      const std::shared_ptr<const Sa> sa = std::move(sas_[next_++]);
      const SaView view = control_->Inspect(*sa);
      if (view.state == SaState::kDead || !filter_.Matches(*view.spec)) continue;
      return xfrm::EncodeSa(view, client().to, xfrm::DumpPart::kYes);
    }
    return std::nullopt;
  }

  const XfrmControl* const control_;
  const xfrm::SaDumpFilter filter_;
  std::vector<std::shared_ptr<const Sa>> sas_;
  std::size_t next_ = 0;
};

class PolicyDump final : public XfrmDump {
 public:
  PolicyDump(const XfrmControl& control, Client client)
      : XfrmDump(client, {}), policies_(control.ListSocketPolicies()) {
    std::vector<PolicyView> rest = control.ListPolicies();
    policies_.insert(policies_.end(), std::make_move_iterator(rest.begin()),
                     std::make_move_iterator(rest.end()));
  }

 private:
  std::optional<netlink::Buffer> NextEntry() override {
    if (next_ == policies_.size()) return std::nullopt;
    const PolicyView& policy = policies_[next_++];
    return xfrm::EncodePolicy(policy.spec, policy.usage, client().to, xfrm::DumpPart::kYes);
  }

  std::vector<PolicyView> policies_;
  std::size_t next_ = 0;
};

}  // namespace

netlink::Buffer XfrmDump::Next() {
  CYGNET_CHECK(!finished_);
  netlink::Buffer part;
  part.reserve(kMaxPartBytes);
  while (true) {
    if (!held_) held_ = NextEntry();
    if (!held_) break;
    if (!part.empty() && part.size() + held_->size() > kMaxPartBytes) break;
    part.insert(part.end(), held_->begin(), held_->end());
    held_.reset();
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
