#include "daemon/xfrm_server/notifications.h"

#include <variant>

#include "xfrm/aevent_message.h"
#include "xfrm/event_message.h"
#include "xfrm/info_message.h"
#include "xfrm/migrate_message.h"
#include "xfrm/migrate_state_message.h"

namespace cygnet {
namespace {

using xfrm::EventGroup;

xfrm::PolicyImage ImageOf(const PolicyView& view) { return {view.spec, view.usage}; }

struct GroupVisitor {
  EventGroup operator()(const SaAdded&) const { return EventGroup::kSa; }
  EventGroup operator()(const SaUpdated&) const { return EventGroup::kSa; }
  EventGroup operator()(const SaDeleted&) const { return EventGroup::kSa; }
  EventGroup operator()(const SaFlushed&) const { return EventGroup::kSa; }
  EventGroup operator()(const SaExpired&) const { return EventGroup::kExpire; }
  EventGroup operator()(const PolicyAdded&) const { return EventGroup::kPolicy; }
  EventGroup operator()(const PolicyUpdated&) const { return EventGroup::kPolicy; }
  EventGroup operator()(const PolicyDeleted&) const { return EventGroup::kPolicy; }
  EventGroup operator()(const PolicyFlushed&) const { return EventGroup::kPolicy; }
  EventGroup operator()(const PolicyExpired&) const { return EventGroup::kExpire; }
  EventGroup operator()(const DefaultsChanged&) const { return EventGroup::kPolicy; }
  EventGroup operator()(const Acquire&) const { return EventGroup::kAcquire; }
  EventGroup operator()(const AcquireRequested&) const { return EventGroup::kAcquire; }
  EventGroup operator()(const Migrated&) const { return EventGroup::kMigrate; }
  EventGroup operator()(const SaMigrated&) const { return EventGroup::kMigrate; }
  EventGroup operator()(const SaAevent&) const { return EventGroup::kAevents; }
  EventGroup operator()(const SaMapping&) const { return EventGroup::kMapping; }
};

struct EncodeVisitor {
  const XfrmControl& control;
  const xfrm::ReplyTo to;

  netlink::Buffer operator()(const SaAdded& e) const {
    return xfrm::EncodeSaAdded(control.Inspect(*e.sa), to);
  }
  netlink::Buffer operator()(const SaUpdated& e) const {
    return xfrm::EncodeSaUpdated(control.Inspect(*e.sa), to);
  }
  netlink::Buffer operator()(const SaDeleted& e) const {
    return xfrm::EncodeSaDeleted(control.Inspect(*e.sa), to);
  }
  netlink::Buffer operator()(const SaFlushed& e) const {
    return xfrm::EncodeSaFlushed(e.proto, to);
  }
  netlink::Buffer operator()(const SaExpired& e) const {
    return xfrm::EncodeSaExpired(control.Inspect(*e.sa), e.hard, to.pid);
  }
  netlink::Buffer operator()(const PolicyAdded& e) const {
    return xfrm::EncodePolicyAdded(ImageOf(e.policy), to);
  }
  netlink::Buffer operator()(const PolicyUpdated& e) const {
    return xfrm::EncodePolicyUpdated(ImageOf(e.policy), to);
  }
  netlink::Buffer operator()(const PolicyDeleted& e) const {
    return xfrm::EncodePolicyDeleted(ImageOf(e.policy), e.id, to);
  }
  netlink::Buffer operator()(const PolicyFlushed& e) const {
    return xfrm::EncodePolicyFlushed(e.type, to);
  }
  netlink::Buffer operator()(const PolicyExpired& e) const {
    return xfrm::EncodePolicyExpired(ImageOf(e.policy), e.hard, to.pid);
  }
  // Linux sends this notification without the requester's seq and pid.
  netlink::Buffer operator()(const DefaultsChanged& e) const {
    return xfrm::EncodeDefaults(e.actions, {});
  }
  netlink::Buffer operator()(const Acquire& e) const {
    return xfrm::EncodeAcquire({.flow = e.flow,
                                .ifindex = e.ifindex,
                                .policy = ImageOf(e.policy),
                                .wanted = e.policy.spec.templates.at(e.template_index),
                                .saddr = e.saddr,
                                .daddr = e.daddr,
                                .seq = e.seq,
                                .cpu = e.cpu});
  }
  netlink::Buffer operator()(const AcquireRequested& e) const {
    return xfrm::EncodeAcquireRequested(e);
  }
  netlink::Buffer operator()(const Migrated& e) const { return xfrm::EncodeMigrated(e.migration); }
  netlink::Buffer operator()(const SaMigrated& e) const {
    return xfrm::EncodeSaMigrated(e.migration, control.Inspect(*e.sa), to);
  }
  netlink::Buffer operator()(const SaAevent& e) const {
    return xfrm::EncodeAeventChange(control.Inspect(*e.sa), e.cause, to);
  }
  netlink::Buffer operator()(const SaMapping& e) const {
    return xfrm::EncodeMapping(
        {.spec = *control.Inspect(*e.sa).spec, .new_saddr = e.new_saddr, .new_sport = e.new_sport});
  }
};

}  // namespace

xfrm::EventGroup GroupOf(const ControlEvent& event) { return std::visit(GroupVisitor{}, event); }

netlink::Buffer EncodeEvent(const ControlEvent& event, const RequestOrigin& origin,
                            const XfrmControl& control) {
  return std::visit(EncodeVisitor{control, {.seq = origin.seq, .pid = origin.pid}}, event);
}

}  // namespace cygnet
