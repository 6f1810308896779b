#include "daemon/xfrm_server/lost_sa_schedule.h"

#include <algorithm>
#include <map>

#include "netlink/message.h"
#include "xfrm/expired_ends.h"
#include "xfrm/request.h"

namespace cygnet {

LostSaSchedule::LostSaSchedule(std::vector<LostSa> lost, IsOwn is_own)
    : is_own_(std::move(is_own)) {
  std::map<Tunnel, Milliseconds> begins;
  for (LostSa& sa : lost) {
    std::span<const uint8_t> bytes(sa.expiry);
    netlink::ExtendedAck ack;
    const auto message = netlink::NextMessage(bytes);
    Result<xfrm::Request> request = MakeError(Errc::kInvalid);
    if (message) request = xfrm::ParseRequest(*message, ack);
    Row row;
    if (request) {
      const xfrm::ExpiredEnds ends = xfrm::DecodeExpiredEnds(*request);
      row.tunnel = {std::min(ends.saddr, ends.daddr), std::max(ends.saddr, ends.daddr),
                    ends.reqid.value};
      row.family = ends.family;
    }
    row.sa = std::move(sa);
    begins[row.tunnel] = {};
    rows_.push_back(std::move(row));
  }
  const auto tunnels = static_cast<int64_t>(std::max<std::size_t>(begins.size(), 1));
  int64_t n = 0;
  for (auto& [tunnel, begin] : begins) {
    begin = std::min<Milliseconds>(kApart * n, kSpread * n / tunnels);
    ++n;
  }
  for (Row& row : rows_) row.at = begins[row.tunnel];
}

bool LostSaSchedule::IsDue(const Row& row, Milliseconds listened) const {
  if (row.at > listened) return false;
  return row.at + kOtherEnd <= listened || !is_own_ || is_own_(row.tunnel.low, row.family);
}

std::vector<netlink::Buffer> LostSaSchedule::Due(Milliseconds listened, const XfrmControl& control,
                                                 std::vector<bool>* notified) const {
  std::vector<const Row*> due;
  notified->resize(rows_.size());
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    if ((*notified)[i] || !IsDue(rows_[i], listened)) continue;
    (*notified)[i] = true;
    due.push_back(&rows_[i]);
  }
  std::vector<netlink::Buffer> expiries;
  if (due.empty()) return expiries;
  std::vector<Tunnel> there;
  for (const auto& sa : control.ListSas()) {
    const SaView view = control.Inspect(*sa);
    const SaSpec& spec = *view.spec;
    if (view.state != SaState::kValid || spec.reqid.value == 0) continue;
    there.push_back(
        {std::min(spec.saddr, spec.daddr), std::max(spec.saddr, spec.daddr), spec.reqid.value});
  }
  std::sort(there.begin(), there.end());
  for (const Row* row : due) {
    const bool replaced = std::binary_search(there.begin(), there.end(), row->tunnel);
    if (!replaced && !control.GetSa(row->sa.id)) expiries.push_back(row->sa.expiry);
  }
  return expiries;
}

}  // namespace cygnet
