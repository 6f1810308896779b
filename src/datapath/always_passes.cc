#include "datapath/always_passes.h"

#include "net/ike_message.h"
#include "net/ip_protocol.h"
#include "net/link_message.h"

namespace cygnet {
namespace {

bool IsLinkMessage(PolicyDirection direction, const IpPacketView& ip, std::span<const uint8_t> l3) {
  if (ip.flow.family != IpFamily::kV6) return false;
  if (IsListenerDiscovery(ip, l3)) return true;
  // An outbound message must not quote a packet: it could be one that this host has just opened.
  return IsNeighbourDiscovery(ip, l3) &&
         (direction == PolicyDirection::kIn || !QuotesPacket(ip, l3));
}

bool MayBeOfIke(const DataPath& path, PolicyDirection direction, const FlowKey& flow,
                int32_t ifindex) {
  if (path.ike_bypass && path.IsOfIkeSocket(direction, flow, ifindex)) return true;
  if (path.socket_policies.Empty()) return false;
  const Policy* own = path.socket_policies.Find(direction, flow, ifindex);
  return own != nullptr && own->spec.action == PolicyAction::kAllow;
}

}  // namespace

bool AlwaysPasses(const DataPath& path, PolicyDirection direction, int32_t ifindex,
                  const IpPacketView& ip, std::span<const uint8_t> l3) {
  const FlowKey& flow = ip.flow;
  if (flow.proto == kProtoIcmpv6) return IsLinkMessage(direction, ip, l3);
  if (flow.proto != kProtoUdp || ip.fragment) return false;
  // Only this host's port counts, because a remote sender can choose its own port freely.
  const bool outbound = direction == PolicyDirection::kOut;
  const uint16_t own_port = outbound ? flow.sport : flow.dport;
  if (own_port != kPortIke && own_port != kPortIkeNatT) return false;
  if (!IsOneHost(flow.saddr, flow.family) || !IsOneHost(flow.daddr, flow.family)) return false;
  const IpAddress& own_address = outbound ? flow.saddr : flow.daddr;
  return path.host_addresses().Contains(own_address, flow.family) &&
         MayBeOfIke(path, direction, flow, ifindex) &&
         IsIkeMessage(l3.subspan(ip.header_length, ip.total_length - ip.header_length), own_port);
}

}  // namespace cygnet
