#include "daemon/config/config_cluster.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "daemon/config/config.h"
#include "daemon/config/virtual_address.h"

namespace cygnet {
namespace {

constexpr std::array<NamedValue<ClusterShare>, 2> kShares = {{
    {"numbers", ClusterShare::kNumbers},
    {"sas", ClusterShare::kSas},
}};
constexpr std::array<NamedValue<ClusterInbound>, 2> kInbounds = {{
    {"strict", ClusterInbound::kStrict},
    {"checkpoint", ClusterInbound::kCheckpoint},
}};

template <typename E, std::size_t kSize>
Codec<E> Words(const std::array<NamedValue<E>, kSize>& table) {
  return OneOf(std::span<const NamedValue<E>>(table));
}

template <typename N>
std::optional<N> ParseNumber(std::string_view text, N min, N max) {
  N value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value < min || value > max ? std::nullopt : std::optional(value);
}

// HOST:PORT, [HOST]:PORT.
struct HostPort {
  std::string_view host;
  uint16_t port = 0;
};
std::optional<HostPort> SplitHostPort(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  const bool brackets = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (brackets) host = host.substr(1, host.size() - 2);
  if (host.empty() || (!brackets && host.find(':') != std::string_view::npos)) return std::nullopt;
  const auto port = ParseNumber<uint16_t>(text.substr(colon + 1), 1, 0xffff);
  return port ? std::optional(HostPort{host, *port}) : std::nullopt;
}

// Names are parts of keys in the store.
std::optional<std::string> WrongName(const std::string& name) {
  constexpr std::size_t kLongest = 63;
  const bool good = std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  });
  if (good && name.size() <= kLongest) return std::nullopt;
  return fmt::format("\"{}\" is not a name (1 to {} letters, digits, '-', '_' and '.')", name,
                     kLongest);
}

Codec<std::string> NameOrNone() { return CheckedText("name", WrongName); }
Codec<std::string> NameNotEmpty() {
  return CheckedText("name", [](const std::string& name) {
    return name.empty() ? std::optional<std::string>("must not be empty") : WrongName(name);
  });
}

// Distinct texts, each of which passes `wrong`.
Codec<std::vector<std::string>> Texts(
    std::string values, std::function<std::optional<std::string>(const std::string&)> wrong) {
  using All = std::vector<std::string>;
  return {std::move(values),
          [wrong = std::move(wrong)](const TomlValue& value, All* out) -> Status {
            const auto* array = value.As<TomlValue::Array>();
            if (array == nullptr) return WrongType("an array", value);
            out->clear();
            const Codec<std::string> one = CheckedText("", wrong);
            for (const TomlValue& element : *array) {
              std::string text;
              CYGNET_RETURN_IF_ERROR(one.read(element, &text));
              if (std::find(out->begin(), out->end(), text) != out->end()) {
                return MakeError(Errc::kInvalid, fmt::format("\"{}\" is given twice", text));
              }
              out->push_back(std::move(text));
            }
            return {};
          },
          [](const All& texts) {
            TomlValue::Array array;
            for (const std::string& text : texts) array.emplace_back(text);
            return std::optional(TomlValue(std::move(array)));
          }};
}

// Who can change answers of the store on their way has the nonces of all SAs in hand.
std::optional<std::string> WrongEndpoint(const std::string& text) {
  constexpr std::string_view kTls = "https://";
  constexpr std::string_view kPlain = "http://";
  const bool tls = text.starts_with(kTls);
  if (!tls && !text.starts_with(kPlain)) {
    return fmt::format("\"{}\" is not an endpoint such as \"https://192.0.2.9:2379\"", text);
  }
  const auto where = SplitHostPort(std::string_view(text).substr((tls ? kTls : kPlain).size()));
  if (!where) {
    return fmt::format("\"{}\" has no host and port such as \"https://192.0.2.9:2379\"", text);
  }
  if (tls || where->host == "localhost" || where->host == "::1" ||
      where->host.starts_with("127.")) {
    return std::nullopt;
  }
  return fmt::format(
      "\"{}\" leaves this machine without TLS, so others could change numbers: use https", text);
}

std::optional<std::string> WrongHeartbeat(const std::string& text) {
  if (text.empty() || ParseUdpEndpoint(text)) return std::nullopt;
  return fmt::format(
      "\"{}\" is not an address of this node and a port such as "
      "\"192.0.2.2:4712\"",
      text);
}

std::optional<std::string> WrongVirtualAddress(const std::string& text) {
  const auto address = ParseVirtualAddress(text);
  return address ? std::nullopt : std::optional(address.error().message);
}

std::optional<std::string> EmptyText(const std::string& text) {
  return text.empty() ? std::optional<std::string>("must not hold empty strings") : std::nullopt;
}

}  // namespace

std::optional<UdpEndpoint> ParseUdpEndpoint(std::string_view text) {
  const auto where = SplitHostPort(text);
  const auto address = where ? ParseAddress(where->host) : std::nullopt;
  if (!address) return std::nullopt;
  return UdpEndpoint{.address = address->address, .family = address->family, .port = where->port};
}

const std::vector<Field<ClusterConfig>>& ClusterFields() {
  using C = ClusterConfig;
  static const std::vector<Field<C>> kFields = {
      {"name", &C::name, NameOrNone(), "name of the cluster; empty: there is none"},
      {"node", &C::node, NameOrNone(), "name of this node"},
      {"endpoints", &C::endpoints, Texts("an array of URLs", WrongEndpoint),
       "where etcd answers its clients"},
      {"ca_file", &C::ca_file, Text(), "certificates that etcd's is checked with"},
      {"certificate", &C::certificate, Text(), "certificate of this node for etcd"},
      {"private_key", &C::private_key, Text(), "key of that certificate"},
      {"heartbeat", &C::heartbeat, CheckedText("ADDRESS:PORT", WrongHeartbeat),
       "address and UDP port of this node for heartbeats"},
      {"secret_file", &C::secret_file, Text(), "secret of the cluster, 32 bytes or more"},
      {"state_file", &C::state_file, Text(), "what the store confirmed to this node"},
      {"share", &C::share, Words(kShares), "what nodes share"},
      {"wrapping_keys", &C::wrapping_keys, Texts("an array of files", EmptyText),
       "keys of 32 bytes that wrap SAs; the first wraps, all unwrap"},
      {"share_in_fips_mode", &C::share_in_fips_mode, Flag(),
       "with share = \"sas\": true also in FIPS mode"},
      {"inbound", &C::inbound, Words(kInbounds), "which packets a new owner accepts"},
  };
  return kFields;
}

const std::vector<Field<ClusterGroupConfig>>& ClusterGroupFields() {
  using C = ClusterGroupConfig;
  static const std::vector<Field<C>> kFields = {
      {"name", &C::name, NameNotEmpty(), "name of the group", KeyKind::kNeeded},
      {"addresses", &C::addresses,
       Texts("an array of \"ADDRESS/PREFIX dev INTERFACE\"", WrongVirtualAddress),
       "addresses that its owner has", KeyKind::kNeeded},
      {"prefer", &C::prefer, NameOrNone(), "node that takes it if nobody owns it; empty: any"},
  };
  return kFields;
}

Status CheckCluster(const TomlTable& table, const ClusterConfig& cluster) {
  if (cluster.name.empty()) {
    return cluster == ClusterConfig{}
               ? Status{}
               : table.Wrong("name", "missing, but required with the other keys of [cluster]");
  }
  for (const auto& [key, value] : {std::pair("node", &cluster.node),
                                   {"heartbeat", &cluster.heartbeat},
                                   {"secret_file", &cluster.secret_file}}) {
    if (value->empty()) return table.Wrong(key, "missing, but required in a cluster");
  }
  if (cluster.endpoints.empty()) return table.Wrong("endpoints", "needs at least one endpoint");
  const bool tls = std::any_of(cluster.endpoints.begin(), cluster.endpoints.end(),
                               [](const std::string& e) { return e.starts_with("https://"); });
  if (tls && cluster.ca_file.empty()) {
    return table.Wrong("ca_file", "missing, but required with https: who answers must be known");
  }
  if (cluster.certificate.empty() != cluster.private_key.empty()) {
    return table.Wrong(cluster.certificate.empty() ? "certificate" : "private_key",
                       "missing: certificate and private_key belong together");
  }
  const bool sas = cluster.share == ClusterShare::kSas;
  if (sas == cluster.wrapping_keys.empty()) {
    return table.Wrong("wrapping_keys", sas ? "missing, but required with share = \"sas\""
                                            : "allowed with share = \"sas\" only");
  }
  return {};
}

Status ReadClusterGroup(const TomlTable& table, ClusterConfig* cluster) {
  CYGNET_RETURN_IF_ERROR(CheckKeys(table, InfoOf(ClusterGroupFields())));
  ClusterGroupConfig group;
  CYGNET_RETURN_IF_ERROR(ReadFields(table, ClusterGroupFields(), &group));
  if (cluster->name.empty()) return table.Wrong("name", "a group needs a [cluster] with a name");
  if (group.addresses.empty()) return table.Wrong("addresses", "needs at least one address");
  for (const ClusterGroupConfig& other : cluster->groups) {
    if (other.name == group.name) {
      return table.Wrong("name", fmt::format("\"{}\" is used twice in this file", group.name));
    }
    for (const std::string& text : group.addresses) {
      const bool taken = std::any_of(
          other.addresses.begin(), other.addresses.end(), [&text](const std::string& theirs) {
            return ParseVirtualAddress(theirs)->address == ParseVirtualAddress(text)->address;
          });
      if (!taken) continue;
      return table.Wrong("addresses",
                         fmt::format("\"{}\" belongs to group {}, too", text, other.name));
    }
  }
  cluster->groups.push_back(std::move(group));
  return {};
}

}  // namespace cygnet
