#include "control/next_hop_objects.h"

#include <libmnl/libmnl.h>
#include <linux/nexthop.h>
#include <linux/rtnetlink.h>

#include <cstring>
#include <unordered_map>

#include "control/route_messages.h"

namespace cygnet {

using namespace route_messages;

namespace {

struct Object {
  uint32_t id = 0;
  HostRoute way{};  // of one that is not a group
  std::vector<uint32_t> members{};
};

std::vector<uint32_t> ReadMembers(const nlattr* group) {
  std::vector<uint32_t> ids;
  const auto* bytes = static_cast<const char*>(mnl_attr_get_payload(group));
  for (std::size_t at = 0; at + sizeof(nexthop_grp) <= mnl_attr_get_payload_len(group);
       at += sizeof(nexthop_grp)) {
    nexthop_grp member{};
    std::memcpy(&member, bytes + at, sizeof(member));
    ids.push_back(member.id);
  }
  return ids;
}

Object ReadObject(const nlmsghdr* message) {
  Object object;
  ForEachAttr(message, sizeof(nhmsg), [&object](const nlattr* attr) {
    const uint16_t type = mnl_attr_get_type(attr);
    const std::size_t bytes = mnl_attr_get_payload_len(attr);
    if (type == NHA_GROUP) object.members = ReadMembers(attr);
    if (type == NHA_GATEWAY) object.way.has_gateway = true;
    if (type == NHA_ID && bytes >= sizeof(uint32_t)) object.id = mnl_attr_get_u32(attr);
    if (type == NHA_OIF && bytes >= sizeof(uint32_t)) {
      object.way.ifindex = static_cast<int32_t>(mnl_attr_get_u32(attr));
    }
    if (type == NHA_ENCAP_TYPE) object.way.encapsulation = ReadNumber16(attr);
  });
  return object;
}

}  // namespace

void AddRoutesByObject(mnl_socket* socket, uint32_t sequence,
                       const std::vector<RouteByObject>& routes, std::vector<HostRoute>* out) {
  if (routes.empty()) return;
  std::unordered_map<uint32_t, Object> objects;
  Buffer buffer;
  nhmsg* body = nullptr;
  nlmsghdr* request = BeginRequest(RTM_GETNEXTHOP, NLM_F_DUMP, sequence, &buffer, &body);
  (void)Ask(socket, request, RTM_NEWNEXTHOP, [&objects](const nlmsghdr* m) {
    Object object = ReadObject(m);
    objects.insert_or_assign(object.id, std::move(object));
  });
  for (const auto& [route, id] : routes) {
    const Object& object = objects[id];
    // A group has no groups as members.
    std::vector<uint32_t> ways = object.members;
    if (ways.empty()) ways.push_back(id);
    for (const uint32_t way : ways) {
      HostRoute one = objects[way].way;
      one.to = route.to;
      one.connected = route.connected;
      if (one.ifindex != 0) out->push_back(one);
    }
  }
}

}  // namespace cygnet
