#include "daemon/cygnetd/wire_guard.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <nftables/libnftables.h>

#include <cstring>

#include "device/drivers/packet_socket.h"

namespace cygnet {
namespace {

Status RunNft(const std::string& commands) {
  const std::unique_ptr<nft_ctx, void (*)(nft_ctx*)> context(nft_ctx_new(NFT_CTX_DEFAULT),
                                                             nft_ctx_free);
  if (context == nullptr) return MakeError(Errc::kNoMemory, "nftables: no context");
  nft_ctx_buffer_error(context.get());
  nft_ctx_buffer_output(context.get());
  if (nft_run_cmd_from_buffer(context.get(), commands.c_str()) == 0) return {};
  std::string text = nft_ctx_get_error_buffer(context.get());
  if (const std::size_t line = text.find('\n'); line != std::string::npos) text.resize(line);
  return MakeError(Errc::kNotSupported, "nftables: " + text);
}

std::string TableName(const std::string& interface) {
  std::string name = "cygnet_";
  for (const char c : interface) {
    name += std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
  }
  return name;
}

}  // namespace

Result<std::unique_ptr<WireGuardRules>> WireGuardRules::Install(const std::string& interface) {
  const std::string table = TableName(interface);
  // What an earlier daemon left behind when it was killed is replaced.
  CYGNET_RETURN_IF_ERROR(RunNft(
      fmt::format("add table netdev {0}\n"
                  "delete table netdev {0}\n"
                  "add table netdev {0}\n"
                  "add chain netdev {0} ingress "
                  "{{ type filter hook ingress device \"{1}\" priority -500; policy drop; }}\n"
                  "add chain netdev {0} egress "
                  "{{ type filter hook egress device \"{1}\" priority -500; policy drop; }}\n"
                  "add rule netdev {0} egress meta mark {2:#x} accept\n",
                  table, interface, kWireMark)));
  return std::unique_ptr<WireGuardRules>(new WireGuardRules(table));
}

WireGuardRules::~WireGuardRules() { (void)RunNft("delete table netdev " + table_); }

std::string AddressesOn(const std::string& interface) {
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return {};
  std::string found;
  for (const ifaddrs* a = list; a != nullptr; a = a->ifa_next) {
    if (a->ifa_addr == nullptr || interface != a->ifa_name) continue;
    char text[INET6_ADDRSTRLEN] = "";
    if (a->ifa_addr->sa_family == AF_INET) {
      const auto* in = reinterpret_cast<const sockaddr_in*>(a->ifa_addr);
      inet_ntop(AF_INET, &in->sin_addr, text, sizeof(text));
    } else if (a->ifa_addr->sa_family == AF_INET6) {
      const auto* in6 = reinterpret_cast<const sockaddr_in6*>(a->ifa_addr);
      if (IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr)) continue;  // the kernel makes it by itself
      inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof(text));
    } else {
      continue;
    }
    found += (found.empty() ? "" : ", ") + std::string(text);
  }
  freeifaddrs(list);
  return found;
}

}  // namespace cygnet
