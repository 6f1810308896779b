#include "daemon/config/config_fields.h"

#include <fmt/format.h>

#include <array>

#include "daemon/config/config_ether_types.h"
#include "packet/packet_pool.h"
#include "plugin/plugin_keys.h"
#include "sa/replay_window.h"

namespace cygnet {
namespace {

constexpr KeyKind kNeeded = KeyKind::kNeeded;
constexpr KeyKind kLive = KeyKind::kLive;

constexpr std::array<NamedValue<PlacementMode>, 5> kModes = {{
    {"no", PlacementMode::kNo},
    {"crypto", PlacementMode::kCrypto},
    {"packet", PlacementMode::kPacket},
    {"auto", PlacementMode::kAuto},
    {"required", PlacementMode::kRequired},
}};
constexpr std::array<NamedValue<DeviceLoss>, 2> kLosses = {{
    {"keep", DeviceLoss::kKeep},
    {"kernel", DeviceLoss::kKernel},
}};
constexpr std::array<NamedValue<FenceMode>, 2> kFences = {{
    {"nft", FenceMode::kNft},
    {"none", FenceMode::kNone},
}};
constexpr std::array<NamedValue<LookAsideMode>, 2> kLookAsideModes = {{
    {"no", LookAsideMode::kNo},
    {"auto", LookAsideMode::kAuto},
}};
constexpr std::array<NamedValue<LogLevel>, 4> kLogLevels = {{
    {"debug", LogLevel::kDebug},
    {"info", LogLevel::kInfo},
    {"warning", LogLevel::kWarning},
    {"error", LogLevel::kError},
}};
constexpr std::array<NamedValue<TunnelCarrier>, 2> kCarriers = {{
    {"always", TunnelCarrier::kAlways},
    {"sa", TunnelCarrier::kWithSa},
}};
constexpr std::array<NamedValue<LedgerSync>, 2> kLedgerSyncs = {{
    {"second", LedgerSync::kSecond},
    {"key", LedgerSync::kKey},
}};
constexpr std::array<NamedValue<NumbersKept>, 2> kNumbersKept = {{
    {"none", NumbersKept::kNone},
    {"file", NumbersKept::kFile},
}};

template <typename E, std::size_t kSize>
Codec<E> Words(const std::array<NamedValue<E>, kSize>& table) {
  return OneOf(std::span<const NamedValue<E>>(table));
}

std::vector<std::string_view> DriverNames() {
  std::vector<std::string_view> names;
  for (const DriverInfo* info : BuiltinDrivers()) names.push_back(info->name);
  return names;
}

// Empty: the best engine, or none.
template <EngineKind kKind>
std::vector<std::string_view> EngineNames() {
  std::vector<std::string_view> names = {""};
  for (const EngineInfo* info : BuiltinEngines()) {
    if (info->kind == kKind) names.push_back(info->name);
  }
  return names;
}

std::vector<std::string_view> LookAsideNames() {
  std::vector<std::string_view> names = EngineNames<EngineKind::kLookAside>();
  names.push_back(kPluginEngine);
  return names;
}

std::optional<std::string> WrongInterface(const std::string& name) {
  if (IsInterfaceName(name)) return std::nullopt;
  return fmt::format("\"{}\" is not an interface name (1 to 15 bytes, no blank, '/', ':' or '%')",
                     name);
}

Codec<std::string> InterfaceName() { return CheckedText("name of an interface", WrongInterface); }
Codec<std::string> InterfaceNameOrNone() {
  return CheckedText("name of an interface", [](const std::string& name) {
    return name.empty() ? std::nullopt : WrongInterface(name);
  });
}

// An empty prefix matches everything.
Codec<std::optional<AddressPrefix>> Prefix() {
  return {"prefix",
          [](const TomlValue& value, std::optional<AddressPrefix>* out) -> Status {
            const auto* text = value.As<std::string>();
            if (text == nullptr) return WrongType("a string", value);
            if (text->empty()) return {};
            *out = ParsePrefix(*text);
            if (out->has_value()) return {};
            return MakeError(Errc::kInvalid,
                             fmt::format("\"{}\" is not a prefix such as \"10.1.0.0/16\"", *text));
          },
          [](const std::optional<AddressPrefix>& prefix) {
            return prefix ? std::optional(TomlValue(ToString(*prefix))) : std::nullopt;
          }};
}

}  // namespace

const std::vector<Field<Config>>& DaemonFields() {
  static const std::vector<Field<Config>> kFields = {
      {"workers", &Config::workers, Number(1, kMaxWorkers), "worker threads"},
      {"log_level", &Config::log_level, Words(kLogLevels), "least severe level that is logged",
       kLive},
      {"ike_bypass", &Config::ike_bypass, Flag(),
       "well-formed IKE of root's sockets passes in clear", kLive},
      {"pass_ether_types", &Config::pass_ether_types, EtherTypeList(),
       "frames that pass in clear besides IP and ARP", kLive},
      {"busy_poll_us", &Config::busy_poll_us, Number(0, 1'000'000),
       "microseconds for which an idle worker polls"},
      {"engine", &Config::engine, WordOf(EngineNames<EngineKind::kCpu>),
       "engine on the CPU; empty: the best available"},
      {"replay_window_min", &Config::replay_window_min, Optional(Number(0, kMaxReplayWindow)),
       "smallest replay window of inbound SAs", kLive},
      {"flow_cache", &Config::flow_cache, Number(64, 1u << 22),
       "flows that a worker caches in each direction"},
      {"restart_file", &Config::restart_file, Text(),
       "file with the state that a restart restores"},
  };
  return kFields;
}

const std::vector<Field<Config>>& PoolFields() {
  static const std::vector<Field<Config>> kFields = {
      {"small", &Config::small_packets, Number(1024, 1u << 20), "packet buffers for frames"},
      {"large", &Config::large_packets, Optional(NumberOrZero(256, 1u << 18)),
       "packet buffers for jumbo frames; not set: 4096 if an MTU needs them"},
      {"jumbo", &Config::jumbo_packets, Number(16, 1u << 14), "packet buffers for super-packets"},
  };
  return kFields;
}

const std::vector<Field<LookAsideConfig>>& LookAsideFields() {
  using C = LookAsideConfig;
  static const std::vector<Field<C>> kFields = {
      {"engine", &C::engine, WordOf(LookAsideNames), "look-aside engine; empty: none"},
      {"plugin", &C::plugin, LibraryPathOrNone(), "shared library of the engine \"plugin\""},
      {"plugin_options", &C::plugin_options, KeyValues(), "what that engine gets when it opens"},
      {"isolate", &C::isolate, Flag(), "whether that engine runs in a process of its own"},
      {"isolate_user", &C::isolate_user, TextNotEmpty(), "user of that process"},
      {"mode", &C::mode, Words(kLookAsideModes), "which SAs use it"},
      {"threads", &C::threads, Number(1, kMaxCryptoQueues), "threads of the engine"},
      {"queue_depth", &C::queue_depth, Number(1, 65'536), "jobs in flight for each worker"},
      {"session_limit", &C::session_limit, Number(0, 1'000'000),
       "largest number of SA halves; 0: no limit"},
  };
  return kFields;
}

const std::vector<Field<DeviceConfig>>& DeviceFields() {
  using C = DeviceConfig;
  static const std::vector<Field<C>> kFields = {
      {"name", &C::name, InterfaceName(), "host-side interface, created by the daemon", kNeeded},
      {"wire", &C::wire, InterfaceNameOrNone(), "wire-side interface"},
      {"driver", &C::driver, WordOf(DriverNames), "driver of the wire side"},
      {"offload", &C::offload, Words(kModes), "SAs that the device may get", kLive},
      // IPv6 requires the lower bound (RFC 8200 section 5); a large packet buffer limits the upper
      // one.
      {"mtu", &C::mtu, NumberOrZero(1280, kLargestMtu),
       "MTU of the host-side interface; 0: the wire's"},
      {"wire_fence", &C::wire_fence, Words(kFences),
       "wire fence that keeps the host's stack off the wire"},
      {"persist", &C::persist, Flag(), "keep the host-side interface when the daemon ends"},
      {"trusted", &C::trusted, Flag(), "the device may get keys", kLive},
      {"allow", &C::allow, WordsOf({"crypto", "packet"}), "offload modes allowed on the device",
       kLive},
      {"loss", &C::loss, Words(kLosses), "what happens to its SAs when the device is lost", kLive},
      {"rekey_reserve", &C::rekey_reserve, Optional(Number(0, ~uint32_t{0})),
       "SA slots of each direction reserved for rekeying", kLive},
      {"verify", &C::verify, Number(0, 1'000'000'000),
       "the CPU computes one of so many packets of the device again; 0: none", kLive},
      {"inside", &C::inside, TextsOf("an array of names of interfaces", WrongInterface),
       "interfaces of the host whose packets for protected networks skip its stack"},
  };
  return kFields;
}

const std::vector<Field<TunnelSpec>>& TunnelFields() {
  using C = TunnelSpec;
  static const std::vector<Field<C>> kFields = {
      {"name", &C::name, InterfaceName(), "tunnel interface of the host, created by the daemon",
       kNeeded},
      {"if_id", &C::if_id, Number(0, ~uint32_t{0}), "if_id of its policies and SAs; 0: by mark"},
      {"mark", &C::mark, Number(0, ~uint32_t{0}),
       "mark of its packets, as the keys of a VTI; 0: by if_id"},
      {"mark_in", &C::mark_in, Number(0, ~uint32_t{0}),
       "mark of what comes in by it, as the ikey of a VTI; 0: as mark"},
      {"device", &C::device, Text(),
       "name of the [[device]] that its packets leave by; empty: the "
       "first"},
      {"mtu", &C::mtu, NumberOrZero(1280, kLargestMtu), "MTU of the interface; 0: the device's"},
      {"carrier", &C::carrier, Words(kCarriers), "when the interface has a carrier"},
      {"persist", &C::persist, Flag(), "keep the interface when the daemon ends"},
      {"local", &C::local, Prefix(), "with a mark: prefix that contains this end of its SAs"},
      {"remote", &C::remote, Prefix(), "with a mark: prefix that contains the far end of its SAs"},
  };
  return kFields;
}

const std::vector<Field<PlacementRuleConfig>>& PlacementFields() {
  using C = PlacementRuleConfig;
  static const std::vector<Field<C>> kFields = {
      {"name", &C::name, Text(), "name of the rule, for people", kLive},
      {"reqid", &C::reqid, Optional(Number(0, ~uint32_t{0})), "the SA's reqid", kLive},
      {"peer", &C::peer, Prefix(), "prefix that contains the SA's far end", kLive},
      {"src", &C::src, Prefix(), "prefix that contains the source of the SA's selector", kLive},
      {"dst", &C::dst, Prefix(), "prefix that contains the destination of the SA's selector",
       kLive},
      {"direction", &C::direction, Optional(WordOf([] {
         return std::vector<std::string_view>{"in", "out"};
       })),
       "direction of the SA", kLive},
      {"mode", &C::mode, Words(kModes), "where the SA runs", kLive},
      {"device", &C::device, Text(), "name of a [[device]]; empty: any", kLive},
      {"pin", &C::pin, Flag(), "the scheduler does not move the SA", kLive},
  };
  return kFields;
}

const std::vector<Field<SchedulerParams>>& SchedulerFields() {
  using C = SchedulerParams;
  static const std::vector<Field<C>> kFields = {
      {"enabled", &C::enabled, Flag(), "busy SAs get the slots of idle ones", kLive},
      {"interval", &C::interval_seconds, Number(1, 3600), "seconds between two checks", kLive},
      {"hysteresis", &C::hysteresis_percent, Number(100, 10'000),
       "rate that an SA needs to take a slot, in percent of the SA that has it", kLive},
      {"min_residence", &C::min_residence_seconds, Number(0, 86'400),
       "minimum seconds for which an SA keeps its slot", kLive},
      {"max_moves", &C::max_moves, Number(1, 10'000), "largest number of moves in one interval",
       kLive},
  };
  return kFields;
}

const std::vector<Field<LedgerConfig>>& LedgerFields() {
  using C = LedgerConfig;
  static const std::vector<Field<C>> kFields = {
      {"file", &C::file, Text(), "file of the ledger"},
      {"max_mib", &C::max_mib, Number(1, 4096), "file size in MiB at which a new file is started"},
      {"keep", &C::keep, Number(0, 100), "number of older files to keep"},
      {"sync", &C::sync, Words(kLedgerSyncs), "when a line reaches the disk"},
  };
  return kFields;
}

const std::vector<Field<NumbersConfig>>& NumbersFields() {
  using C = NumbersConfig;
  static const std::vector<Field<C>> kFields = {
      {"store", &C::store, Words(kNumbersKept), "where the numbers of SAs outlive the daemon"},
      {"file", &C::file, Text(), "file of the number store"},
  };
  return kFields;
}

const std::vector<Field<FipsConfig>>& FipsFields() {
  using C = FipsConfig;
  static const std::vector<Field<C>> kFields = {
      {"mode", &C::mode, WordOf([] {
         return std::vector<std::string_view>{"auto", "on", "off"};
       }),
       "only modules on the boundary list get keys", kLive},
      {"boundary", &C::boundary, Text(), "file with the boundary list", kLive},
  };
  return kFields;
}

const std::vector<Field<AuditConfig>>& AuditFields() {
  using C = AuditConfig;
  static const std::vector<Field<C>> kFields = {
      {"journal", &C::journal, Flag(), "records go to systemd's journal", kLive},
      {"linux_audit", &C::linux_audit, Flag(), "records go to the Linux audit system", kLive},
  };
  return kFields;
}

}  // namespace cygnet
