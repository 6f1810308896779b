#include "netlink/tc_fence.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>

#include <array>
#include <cstring>

#include "base/bytes.h"
#include "netlink/attribute.h"
#include "netlink/builder.h"
#include "netlink/message.h"

namespace cygnet {
namespace {

using netlink::FindAttribute;
using netlink::MessageBuilder;
using Bytes = std::span<const uint8_t>;

constexpr uint32_t kDiscipline = TC_H_MAKE(TC_H_CLSACT, 0);
constexpr uint32_t kIngress = TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS);
constexpr uint32_t kEgress = TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS);
constexpr uint32_t kHandle = 1;
constexpr uint32_t kPriority = 1;         // before all other filters
constexpr uint32_t kNext = ~uint32_t{0};  // TC_ACT_UNSPEC: the next filter decides
constexpr std::size_t kFixed = netlink::kHeaderSize + sizeof(tcmsg);

using Program = std::vector<sock_filter>;

Program DropAll() { return {BPF_STMT(BPF_RET | BPF_K, TC_ACT_SHOT)}; }

constexpr std::size_t kMarkAt = 1;  // index of the instruction with the mark in DropUnmarked
constexpr uint32_t kNoMark = 0;     // if the mark does not matter
Program DropUnmarked(uint32_t mark) {
  return {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(SKF_AD_OFF + SKF_AD_MARK)),
          BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, mark, 0, 1), BPF_STMT(BPF_RET | BPF_K, kNext),
          BPF_STMT(BPF_RET | BPF_K, TC_ACT_SHOT)};
}

Bytes OpsOf(const Program& program) {
  return {reinterpret_cast<const uint8_t*>(program.data()), program.size() * sizeof(sock_filter)};
}

void PutKind(MessageBuilder* builder, const char* kind) {
  builder->AttributeBytes(TCA_KIND,
                          {reinterpret_cast<const uint8_t*>(kind), std::strlen(kind) + 1});
}

// The padding of tcmsg is named: the fields tcm__pad1 and tcm__pad2 are zero here.
tcmsg About(uint32_t ifindex, uint32_t parent, uint32_t handle, uint32_t info = 0) {
  tcmsg message{};
  message.tcm_ifindex = static_cast<int>(ifindex);
  message.tcm_parent = parent;
  message.tcm_handle = handle;
  message.tcm_info = info;
  return message;
}

uint32_t OurInfo() { return TC_H_MAKE(kPriority << 16, htons(ETH_P_ALL)); }

Status AddDiscipline(KernelNetlink* route, uint32_t ifindex) {
  MessageBuilder builder = Begin(route, RTM_NEWQDISC, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL,
                                 About(ifindex, TC_H_CLSACT, kDiscipline));
  PutKind(&builder, "clsact");
  const Status status = route->Send(std::move(builder).Finish(), "tc: clsact");
  if (!status && status.error().code == Errc::kExists) return {};
  return status;
}

Status AddFilter(KernelNetlink* route, uint32_t ifindex, uint32_t parent, const Program& program) {
  MessageBuilder builder = Begin(route, RTM_NEWTFILTER, NLM_F_ACK | NLM_F_CREATE,
                                 About(ifindex, parent, kHandle, OurInfo()));
  PutKind(&builder, "bpf");
  const std::size_t options = builder.BeginNest(TCA_OPTIONS);
  builder.Attribute(TCA_BPF_OPS_LEN, static_cast<uint16_t>(program.size()));
  builder.AttributeBytes(TCA_BPF_OPS, OpsOf(program));
  builder.Attribute(TCA_BPF_FLAGS, uint32_t{TCA_BPF_FLAG_ACT_DIRECT});
  builder.Attribute(TCA_BPF_FLAGS_GEN, uint32_t{TCA_CLS_FLAGS_SKIP_HW});
  builder.EndNest(options);
  return route->Send(std::move(builder).Finish(), "tc: filter");
}

// Calls fn(tcmsg, attributes) for each filter.
template <typename Fn>
void ForEachFilter(KernelNetlink* route, uint32_t ifindex, uint32_t parent, Fn fn) {
  const auto answers =
      route->Ask(Begin(route, RTM_GETTFILTER, NLM_F_DUMP, About(ifindex, parent, 0)).Finish());
  if (!answers) return;
  for (const netlink::Buffer& answer : *answers) {
    nlmsghdr header{};
    tcmsg message{};
    if (answer.size() < kFixed) continue;
    std::memcpy(&header, answer.data(), sizeof(header));
    std::memcpy(&message, answer.data() + sizeof(header), sizeof(message));
    if (header.nlmsg_type != RTM_NEWTFILTER || message.tcm_handle == 0) continue;
    fn(message, Bytes(answer).subspan(kFixed));
  }
}

enum class MarkCounts : uint8_t { kYes, kNo };

// `ops`: as dumped by the kernel. Filters of another process differ in the mark.
bool IsProgram(Bytes ops, const Program& program, MarkCounts mark) {
  if (ops.size() != OpsOf(program).size()) return false;
  Program found(program.size());
  std::memcpy(found.data(), ops.data(), ops.size());
  if (mark == MarkCounts::kNo && program.size() > kMarkAt) found[kMarkAt].k = program[kMarkAt].k;
  return std::memcmp(found.data(), program.data(), ops.size()) == 0;
}

bool Has(KernelNetlink* route, uint32_t ifindex, uint32_t parent, const Program& program,
         MarkCounts mark) {
  bool found = false;
  ForEachFilter(route, ifindex, parent, [&](const tcmsg& message, Bytes attributes) {
    const Bytes ops = FindAttribute(FindAttribute(attributes, TCA_OPTIONS), TCA_BPF_OPS);
    if (message.tcm_info == OurInfo() && message.tcm_handle == kHandle &&
        IsProgram(ops, program, mark)) {
      found = true;
    }
  });
  return found;
}

bool IsEmpty(KernelNetlink* route, uint32_t ifindex, uint32_t parent) {
  bool empty = true;
  ForEachFilter(route, ifindex, parent, [&](const tcmsg&, Bytes) { empty = false; });
  return empty;
}

}  // namespace

Status ShutByTc(KernelNetlink* route, uint32_t ifindex, uint32_t mark) {
  if (IsShutByTc(route, ifindex, mark)) return {};
  CYGNET_RETURN_IF_ERROR(AddDiscipline(route, ifindex));
  for (const auto& [parent, program] :
       {std::pair(kIngress, DropAll()), {kEgress, DropUnmarked(mark)}}) {
    if (Has(route, ifindex, parent, program, MarkCounts::kYes)) continue;
    CYGNET_RETURN_IF_ERROR(AddFilter(route, ifindex, parent, program));
  }
  if (IsShutByTc(route, ifindex, mark)) return {};
  return MakeError(Errc::kIo, "tc: the kernel does not have the filters that it was given");
}

bool IsShutByTc(KernelNetlink* route, uint32_t ifindex, std::optional<uint32_t> mark) {
  const MarkCounts counts = mark ? MarkCounts::kYes : MarkCounts::kNo;
  return Has(route, ifindex, kIngress, DropAll(), counts) &&
         Has(route, ifindex, kEgress, DropUnmarked(mark.value_or(kNoMark)), counts);
}

void OpenByTc(KernelNetlink* route, uint32_t ifindex) {
  for (const auto& [parent, program] :
       {std::pair(kIngress, DropAll()), {kEgress, DropUnmarked(kNoMark)}}) {
    if (!Has(route, ifindex, parent, program, MarkCounts::kNo)) continue;
    // Errors are ignored: IsShutByTc shows filters that remain.
    (void)route->Send(
        Begin(route, RTM_DELTFILTER, NLM_F_ACK, About(ifindex, parent, kHandle, OurInfo()))
            .Finish(),
        "tc: filter");
  }
  if (!IsEmpty(route, ifindex, kIngress) || !IsEmpty(route, ifindex, kEgress)) return;
  (void)route->Send(
      Begin(route, RTM_DELQDISC, NLM_F_ACK, About(ifindex, TC_H_CLSACT, kDiscipline)).Finish(),
      "tc: clsact");
}

}  // namespace cygnet
