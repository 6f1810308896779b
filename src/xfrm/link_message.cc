#include "xfrm/link_message.h"

#include <linux/if_link.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <cstring>
#include <span>
#include <string_view>

#include "base/bytes.h"
#include "netlink/attribute.h"
#include "netlink/unix_transport.h"

namespace cygnet::xfrm {
namespace {

using Bytes = std::span<const uint8_t>;

std::string TextIn(Bytes payload) {
  const auto end = std::find(payload.begin(), payload.end(), uint8_t{0});
  return {payload.begin(), end};
}

Error TooShort(const char* attribute) {
  return {Errc::kRange, std::string(attribute) + " is too short", {}};
}

// Sets *out. An attribute that is there must be whole.
Status ReadU32(Bytes payload, const char* attribute, uint32_t* out) {
  const auto value = ReadAt<uint32_t>(payload);
  if (!value) return TooShort(attribute);
  *out = *value;
  return {};
}

// IFLA_INFO_DATA of kind xfrm.
Status ReadXfrmData(Bytes data, LinkRequest* request) {
  netlink::AttributeIterator attributes(data);
  while (const auto attribute = attributes.Next()) {
    uint32_t if_id = 0;
    switch (attribute->type) {
      case IFLA_XFRM_LINK:
        CYGNET_RETURN_IF_ERROR(ReadU32(attribute->payload, "IFLA_XFRM_LINK", &request->link));
        break;
      case IFLA_XFRM_IF_ID:
        CYGNET_RETURN_IF_ERROR(ReadU32(attribute->payload, "IFLA_XFRM_IF_ID", &if_id));
        request->if_id = if_id;
        break;
      case IFLA_XFRM_COLLECT_METADATA:
        request->external = true;
        break;
      default:
        break;
    }
  }
  return {};
}

Status ReadLinkInfo(Bytes info, LinkRequest* request) {
  request->kind = TextIn(netlink::FindAttribute(info, IFLA_INFO_KIND));
  if (request->kind != "xfrm") return {};
  return ReadXfrmData(netlink::FindAttribute(info, IFLA_INFO_DATA), request);
}

// The attribute with its header and padding, for the kernel.
void KeepForKernel(const netlink::AttributeView& attribute, LinkRequest* request) {
  const nlattr header{
      .nla_len = static_cast<uint16_t>(netlink::kAttributeHeaderSize + attribute.payload.size()),
      .nla_type = static_cast<uint16_t>(attribute.type | (attribute.nested ? NLA_F_NESTED : 0))};
  const auto* bytes = reinterpret_cast<const uint8_t*>(&header);
  request->rest.insert(request->rest.end(), bytes, bytes + sizeof(header));
  request->rest.insert(request->rest.end(), attribute.payload.begin(), attribute.payload.end());
  request->rest.resize(netlink::Align(request->rest.size()));
}

Status Refuse(const char* text) { return MakeError(Errc::kNotSupported, text); }

// Attributes of any interface.
Status ReadCommon(const netlink::AttributeView& attribute, LinkRequest* request) {
  switch (attribute.type) {
    case IFLA_IFNAME:
      request->name = TextIn(attribute.payload);
      return {};
    case IFLA_LINKINFO:
      return {};  // read before
    case IFLA_LINK:
      // The kernel ignores it for this kind; here it names the device if nothing else does.
      return request->link != 0 ? Status{}
                                : ReadU32(attribute.payload, "IFLA_LINK", &request->link);
    case IFLA_MTU:
      CYGNET_RETURN_IF_ERROR(ReadU32(attribute.payload, "IFLA_MTU", &request->mtu));
      break;
    case IFLA_NET_NS_PID:
    case IFLA_NET_NS_FD:
    case IFLA_TARGET_NETNSID:
    case IFLA_LINK_NETNSID:
    case IFLA_NEW_NETNSID:
      return Refuse(
          "A tunnel interface begins in cygnetd's network namespace: add it there, then move it "
          "with ip link set NAME netns NS");
    case IFLA_IFALIAS:
      return Refuse("The alias of a tunnel interface is cygnetd's own mark");
    default:
      break;
  }
  KeepForKernel(attribute, request);
  return {};
}

}  // namespace

bool IsLink(const netlink::MessageView& message) {
  return message.header.nlmsg_type == transport::kLink;
}

Result<LinkRequest> DecodeLink(const netlink::MessageView& message) {
  Bytes rest = message.payload();
  const auto inner = netlink::NextMessage(rest);
  if (!inner) return MakeError(Errc::kInvalid);
  const auto link = ReadAt<ifinfomsg>(inner->payload());
  if (!link || link->ifi_index < 0) return MakeError(Errc::kInvalid);
  const uint16_t type = inner->header.nlmsg_type;
  if (type != RTM_NEWLINK && type != RTM_DELLINK) return MakeError(Errc::kInvalid);
  LinkRequest request;
  request.act = type == RTM_NEWLINK ? LinkAct::kNew : LinkAct::kDelete;
  request.create = inner->HasFlags(NLM_F_CREATE);
  request.exclusive = inner->HasFlags(NLM_F_EXCL);
  request.ifindex = link->ifi_index;
  request.flags = link->ifi_flags;
  request.flags_change = link->ifi_change;
  const Bytes attributes = inner->payload().subspan(
      std::min(inner->payload().size(), netlink::Align(sizeof(ifinfomsg))));
  CYGNET_RETURN_IF_ERROR(ReadLinkInfo(netlink::FindAttribute(attributes, IFLA_LINKINFO), &request));
  netlink::AttributeIterator iterator(attributes);
  while (const auto attribute = iterator.Next()) {
    CYGNET_RETURN_IF_ERROR(ReadCommon(*attribute, &request));
  }
  return request;
}

}  // namespace cygnet::xfrm
