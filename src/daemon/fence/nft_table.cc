#include "daemon/fence/nft_table.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>

#include <cstring>

#include "base/bytes.h"
#include "base/errno_error.h"
#include "netlink/attribute.h"
#include "netlink/builder.h"
#include "netlink/message.h"
#include "netlink/nft_query.h"

namespace cygnet {
namespace {

using netlink::AttributeView;
using netlink::Buffer;
using netlink::FindAttribute;
using netlink::MessageBuilder;
using netlink::NumberIn;
using netlink::StringIn;
using Bytes = std::span<const uint8_t>;

constexpr uint32_t kForeign = ~uint32_t{0};
Buffer BatchMark(uint16_t type, uint32_t sequence) {
  MessageBuilder builder({.type = type, .flags = NLM_F_REQUEST, .seq = sequence, .pid = 0});
  builder.Put(nfgenmsg{AF_UNSPEC, NFNETLINK_V0, htons(NFNL_SUBSYS_NFTABLES)});
  return std::move(builder).Finish();
}

// With the NUL that the kernel's attribute policy requires.
void PutString(MessageBuilder* builder, uint16_t type, const std::string& text) {
  builder->AttributeBytes(type, {reinterpret_cast<const uint8_t*>(text.c_str()), text.size() + 1});
}

void PutNumber(MessageBuilder* builder, uint16_t type, uint32_t value) {
  builder->Attribute(type, htonl(value));
}

// fn(&builder) adds the nested attributes.
template <typename Fn>
void PutNest(MessageBuilder* builder, uint16_t type, Fn fn) {
  const std::size_t nest = builder->BeginNest(type);
  fn(builder);
  builder->EndNest(nest);
}

template <typename Fn>
void PutExpression(MessageBuilder* builder, const char* name, Fn fn) {
  PutNest(builder, NFTA_LIST_ELEM, [&](MessageBuilder* b) {
    PutString(b, NFTA_EXPR_NAME, name);
    PutNest(b, NFTA_EXPR_DATA, fn);
  });
}

void PutRule(MessageBuilder* builder, const NftRule& rule) {
  PutExpression(builder, "meta", [&](MessageBuilder* b) {
    PutNumber(b, NFTA_META_DREG, NFT_REG_1);
    PutNumber(b, NFTA_META_KEY, rule.meta_key);
  });
  PutExpression(builder, "cmp", [&](MessageBuilder* b) {
    PutNumber(b, NFTA_CMP_SREG, NFT_REG_1);
    PutNumber(b, NFTA_CMP_OP, NFT_CMP_EQ);
    PutNest(b, NFTA_CMP_DATA,
            [&](MessageBuilder* d) { d->AttributeBytes(NFTA_DATA_VALUE, rule.value); });
  });
  PutExpression(builder, "immediate", [&](MessageBuilder* b) {
    PutNumber(b, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
    PutNest(b, NFTA_IMMEDIATE_DATA, [&](MessageBuilder* d) {
      PutNest(d, NFTA_DATA_VERDICT,
              [&](MessageBuilder* v) { PutNumber(v, NFTA_VERDICT_CODE, rule.verdict); });
    });
  });
}

void PutChain(MessageBuilder* builder, const NftTable& table, const NftChain& chain) {
  PutString(builder, NFTA_CHAIN_TABLE, table.name);
  PutString(builder, NFTA_CHAIN_NAME, chain.name);
  PutNest(builder, NFTA_CHAIN_HOOK, [&](MessageBuilder* b) {
    PutNumber(b, NFTA_HOOK_HOOKNUM, chain.hook);
    PutNumber(b, NFTA_HOOK_PRIORITY, static_cast<uint32_t>(chain.priority));
    if (!chain.device.empty()) PutString(b, NFTA_HOOK_DEV, chain.device);
  });
  PutNumber(builder, NFTA_CHAIN_POLICY, chain.policy);
  PutString(builder, NFTA_CHAIN_TYPE, "filter");
}

// The messages of one transaction, between its begin and end messages.
class Batch {
 public:
  explicit Batch(KernelNetlink* socket) : socket_(socket) {
    Append(BatchMark(NFNL_MSG_BATCH_BEGIN, socket->NextSequence()));
  }
  template <typename Fn>
  void Add(uint16_t type, uint16_t flags, uint8_t family, Fn fn) {
    MessageBuilder builder = netlink::BeginNft(socket_, type, flags | NLM_F_ACK, family);
    fn(&builder);
    Append(std::move(builder).Finish());
  }
  Status Commit() {
    Append(BatchMark(NFNL_MSG_BATCH_END, socket_->NextSequence()));
    return socket_->Send(bytes_, "nftables");
  }

 private:
  void Append(const Buffer& message) {
    bytes_.insert(bytes_.end(), message.begin(), message.end());
  }

  KernelNetlink* const socket_;
  Buffer bytes_;
};

// --- Reading ---

template <typename Fn>
void ForEach(Bytes bytes, Fn fn) {
  netlink::AttributeIterator attributes(bytes);
  while (const auto attribute = attributes.Next()) fn(*attribute);
}

bool IsOurCompare(Bytes data) {
  return NumberIn(FindAttribute(data, NFTA_CMP_SREG)) == NFT_REG_1 &&
         NumberIn(FindAttribute(data, NFTA_CMP_OP)) == NFT_CMP_EQ;
}

// Expects our three expressions in their order; any others make it somebody else's rule.
NftRule ReadRule(Bytes expressions) {
  NftRule rule;
  uint32_t place = 0;
  bool ours = true;
  ForEach(expressions, [&](const AttributeView& element) {
    const std::string name = StringIn(FindAttribute(element.payload, NFTA_EXPR_NAME));
    const Bytes data = FindAttribute(element.payload, NFTA_EXPR_DATA);
    if (place == 0 && name == "meta") {
      rule.meta_key = NumberIn(FindAttribute(data, NFTA_META_KEY));
    } else if (place == 1 && name == "cmp" && IsOurCompare(data)) {
      const Bytes value = FindAttribute(FindAttribute(data, NFTA_CMP_DATA), NFTA_DATA_VALUE);
      rule.value.assign(value.begin(), value.end());
    } else if (place == 2 && name == "immediate") {
      const Bytes verdict =
          FindAttribute(FindAttribute(data, NFTA_IMMEDIATE_DATA), NFTA_DATA_VERDICT);
      rule.verdict = NumberIn(FindAttribute(verdict, NFTA_VERDICT_CODE));
    } else {
      ours = false;
    }
    ++place;
  });
  if (!ours || place != 3) rule.meta_key = kForeign;
  return rule;
}

// The kernel names one device in an attribute, several in a list.
std::string DeviceIn(Bytes hook) {
  if (const Bytes one = FindAttribute(hook, NFTA_HOOK_DEV); !one.empty()) return StringIn(one);
  std::string names;
  ForEach(FindAttribute(hook, NFTA_HOOK_DEVS), [&](const AttributeView& a) {
    names += (names.empty() ? "" : ",") + StringIn(a.payload);
  });
  return names;
}

NftChain ReadChain(Bytes attributes) {
  const Bytes hook = FindAttribute(attributes, NFTA_CHAIN_HOOK);
  return {.name = StringIn(FindAttribute(attributes, NFTA_CHAIN_NAME)),
          .hook = NumberIn(FindAttribute(hook, NFTA_HOOK_HOOKNUM)),
          .priority = static_cast<int32_t>(NumberIn(FindAttribute(hook, NFTA_HOOK_PRIORITY))),
          .policy = NumberIn(FindAttribute(attributes, NFTA_CHAIN_POLICY)),
          .device = DeviceIn(hook)};
}

}  // namespace

Result<NftClient> NftClient::Open() {
  auto socket = KernelNetlink::Open(NETLINK_NETFILTER);
  if (!socket) return socket.error();
  return NftClient(*std::move(socket));
}

Status NftClient::Replace(const NftTable& table) {
  Batch batch(&socket_);
  const auto name = [&](MessageBuilder* b) { PutString(b, NFTA_TABLE_NAME, table.name); };
  batch.Add(NFT_MSG_NEWTABLE, NLM_F_CREATE, table.family, name);  // so that the deletion finds one
  batch.Add(NFT_MSG_DELTABLE, 0, table.family, name);
  batch.Add(NFT_MSG_NEWTABLE, NLM_F_CREATE, table.family, [&](MessageBuilder* b) {
    name(b);
    if (table.flags != 0) PutNumber(b, NFTA_TABLE_FLAGS, table.flags);
  });
  for (const NftChain& chain : table.chains) {
    batch.Add(NFT_MSG_NEWCHAIN, NLM_F_CREATE, table.family,
              [&](MessageBuilder* b) { PutChain(b, table, chain); });
    for (const NftRule& rule : chain.rules) {
      batch.Add(NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, table.family, [&](MessageBuilder* b) {
        PutString(b, NFTA_RULE_TABLE, table.name);
        PutString(b, NFTA_RULE_CHAIN, chain.name);
        PutNest(b, NFTA_RULE_EXPRESSIONS, [&](MessageBuilder* e) { PutRule(e, rule); });
      });
    }
  }
  return batch.Commit();
}

Status NftClient::Delete(uint8_t family, const std::string& name) {
  Batch batch(&socket_);
  const auto put = [&](MessageBuilder* b) { PutString(b, NFTA_TABLE_NAME, name); };
  batch.Add(NFT_MSG_NEWTABLE, NLM_F_CREATE, family, put);
  batch.Add(NFT_MSG_DELTABLE, 0, family, put);
  return batch.Commit();
}

Result<NftTable> NftClient::Read(const NftTable& wanted) {
  NftTable found{.family = wanted.family, .name = {}, .flags = 0, .chains = {}};
  CYGNET_RETURN_IF_ERROR(netlink::QueryNft(
      &socket_, NFT_MSG_GETTABLE, NFT_MSG_NEWTABLE, 0, wanted.family,
      [&](MessageBuilder* b) { PutString(b, NFTA_TABLE_NAME, wanted.name); },
      [&](Bytes attributes) {
        found.name = StringIn(FindAttribute(attributes, NFTA_TABLE_NAME));
        found.flags = NumberIn(FindAttribute(attributes, NFTA_TABLE_FLAGS));
      }));
  for (const NftChain& chain : wanted.chains) {
    CYGNET_RETURN_IF_ERROR(netlink::QueryNft(
        &socket_, NFT_MSG_GETCHAIN, NFT_MSG_NEWCHAIN, 0, wanted.family,
        [&](MessageBuilder* b) {
          PutString(b, NFTA_CHAIN_TABLE, wanted.name);
          PutString(b, NFTA_CHAIN_NAME, chain.name);
        },
        [&](Bytes attributes) { found.chains.push_back(ReadChain(attributes)); }));
  }
  for (NftChain& chain : found.chains) {
    CYGNET_RETURN_IF_ERROR(netlink::QueryNft(
        &socket_, NFT_MSG_GETRULE, NFT_MSG_NEWRULE, NLM_F_DUMP, wanted.family,
        [&](MessageBuilder* b) {
          PutString(b, NFTA_RULE_TABLE, wanted.name);
          PutString(b, NFTA_RULE_CHAIN, chain.name);
        },
        [&](Bytes attributes) {
          if (StringIn(FindAttribute(attributes, NFTA_RULE_TABLE)) != wanted.name ||
              StringIn(FindAttribute(attributes, NFTA_RULE_CHAIN)) != chain.name) {
            return;
          }
          chain.rules.push_back(ReadRule(FindAttribute(attributes, NFTA_RULE_EXPRESSIONS)));
        }));
  }
  return found;
}

}  // namespace cygnet
