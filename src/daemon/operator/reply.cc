// Turns requests into lists of items.
#include "daemon/operator/reply.h"

#include <fmt/format.h>
#include <net/if.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "base/log.h"
#include "control/boundary.h"
#include "daemon/operator/list_reply.h"
#include "daemon/operator/report_json.h"
#include "net/ip_protocol.h"

namespace cygnet {
namespace {

constexpr uint32_t kMaxSnapLength = 256 * 1024;

class ErrorReply final : public OperatorReply {
 public:
  explicit ErrorReply(std::string_view text) : text_(ToText({{"error", text}})) {}
  Next MakeNext(std::string* datagram) override {
    if (text_.empty()) return Next::kEnd;
    *datagram = std::exchange(text_, {});
    return Next::kDatagram;
  }

 private:
  std::string text_;
};

bool Matches(const std::optional<ParsedAddress>& wanted, const IpAddress& address,
             IpFamily family) {
  return !wanted || (wanted->family == family && wanted->address == address);
}

std::unique_ptr<OperatorReply> MakeSaReply(const OperatorControl& control,
                                           const RequestReader& request) {
  request.AllowOnly({"show_keys", "spi", "dst", "src", "reqid", "brief"});
  const bool brief = request.Flag("brief");
  const auto keys = request.Flag("show_keys") ? KeyVisibility::kShown : KeyVisibility::kHidden;
  const auto spi = request.Number("spi");
  const auto reqid = request.Number("reqid");
  const auto dst = request.Address("dst");
  const auto src = request.Address("src");
  if (brief && keys == KeyVisibility::kShown) {
    throw RequestError{"brief: has no keys; leave out \"show_keys\""};
  }
  if (keys == KeyVisibility::kShown) Log(LogLevel::kInfo, "an operator requested the keys of SAs");
  std::vector<SaReport> reports = control.ReportSas();
  std::erase_if(reports, [&](const SaReport& report) {
    const SaSpec& spec = report.sa->spec();
    return (spi && spec.spi.value != *spi) || (reqid && spec.reqid.value != *reqid) ||
           !Matches(dst, spec.daddr, spec.family) || !Matches(src, spec.saddr, spec.family);
  });
  return std::make_unique<ListReply<SaReport>>(
      std::move(reports), [keys, brief](const SaReport& report) {
        return brief ? ToBriefJson(report) : ToJson(report, keys);
      });
}

std::unique_ptr<OperatorReply> MakePolicyReply(const OperatorControl& control,
                                               const RequestReader& request) {
  request.AllowOnly({});
  return std::make_unique<ListReply<PolicyReport>>(
      control.ReportPolicies(), [](const PolicyReport& report) { return ToJson(report); });
}

RequestError NoDevice(const OperatorControl& control, const std::string& name) {
  const auto ifindex = static_cast<int32_t>(if_nametoindex(name.c_str()));
  for (const DeviceReport& device : control.ReportDevices()) {
    if (ifindex == 0 || device.ifindex != ifindex) continue;
    return {fmt::format("the host calls the interface of device {} \"{}\" now: write {}",
                        device.name, name, device.name)};
  }
  return {WithDevices(control, MakeError(Errc::kNoDevice, fmt::format("no device \"{}\"", name)))};
}

// They may be long, and programs that read often do not need them.
void LeaveOutLists(DeviceReport* report) {
  report->held.clear();
  report->key_log.clear();
  report->driver_view.clear();
  report->statistics.clear();
}

std::unique_ptr<OperatorReply> MakeDeviceReply(const OperatorControl& control,
                                               const RequestReader& request) {
  request.AllowOnly({"name", "brief"});
  std::vector<DeviceReport> reports = control.ReportDevices();
  if (request.Flag("brief")) {
    for (DeviceReport& report : reports) LeaveOutLists(&report);
  }
  if (const auto name = request.Text("name")) {
    std::erase_if(reports, [&](const DeviceReport& report) { return report.name != *name; });
    if (reports.empty()) throw NoDevice(control, *name);
  }
  return std::make_unique<ListReply<DeviceReport>>(
      std::move(reports), [](const DeviceReport& report) { return ToJson(report); });
}

std::unique_ptr<OperatorReply> MakeStatisticsReply(const OperatorControl& control,
                                                   const RequestReader& request) {
  request.AllowOnly({"ifindex"});
  const auto ifindex = request.Number("ifindex");
  if (!ifindex) throw RequestError{"ifindex: missing"};
  for (DeviceReport& report : control.ReportDevices()) {
    if (report.ifindex < 0 || static_cast<uint32_t>(report.ifindex) != *ifindex) continue;
    return std::make_unique<ListReply<DeviceStatistic>>(
        std::move(report.statistics),
        [](const DeviceStatistic& statistic) { return ToJson(statistic); });
  }
  throw RequestError{fmt::format("no device with the ifindex {}", *ifindex)};
}

std::unique_ptr<OperatorReply> MakeStatReply(const OperatorControl& control,
                                             const RequestReader& request,
                                             const OperatorSources& sources) {
  request.AllowOnly({});
  std::vector<StatReport> reports;
  reports.push_back(control.ReportStats());
  Json loads = Json::array();
  if (sources.loads) {
    for (const WorkerLoad::Sums& load : sources.loads()) loads.push_back(ToJson(load));
  }
  return std::make_unique<ListReply<StatReport>>(
      std::move(reports), [loads = std::move(loads)](const StatReport& report) {
        Json json = ToJson(report);
        json["worker_loads"] = loads;
        return json;
      });
}

std::unique_ptr<OperatorReply> MakeEngineReply(const OperatorControl& control,
                                               const RequestReader& request) {
  request.AllowOnly({});
  return std::make_unique<ListReply<EngineReport>>(
      control.ReportEngines(), [](const EngineReport& report) { return ToJson(report); });
}

std::unique_ptr<OperatorReply> MakeTunnelReply(const OperatorControl& control,
                                               const RequestReader& request) {
  request.AllowOnly({});
  return std::make_unique<ListReply<TunnelReport>>(
      control.ReportTunnels(), [](const TunnelReport& report) { return ToJson(report); });
}

template <typename T>
std::optional<T> SmallNumber(const RequestReader& request, const char* field) {
  constexpr T kMost = std::numeric_limits<T>::max();
  const std::optional<uint32_t> value = request.Number(field);
  if (!value) return std::nullopt;
  if (*value > kMost) throw RequestError{fmt::format("{}: must be at most {}", field, kMost)};
  return static_cast<T>(*value);
}

// That `mtu` and `why` are about.
MtuQuery PacketOf(const RequestReader& request) {
  const auto dst = request.Address("dst");
  if (!dst) throw RequestError{"dst: missing"};
  MtuQuery query{.dst = *dst,
                 .src = request.Address("src"),
                 .proto = SmallNumber<uint8_t>(request, "proto"),
                 .dport = SmallNumber<uint16_t>(request, "dport"),
                 .sport = SmallNumber<uint16_t>(request, "sport"),
                 .iif = request.Text("iif").value_or(""),
                 .mark = request.Number("mark").value_or(0)};
  if (const std::optional<uint32_t> key = request.Number("key")) {
    if (query.proto != kProtoGre) throw RequestError{"key: only with protocol 47 (gre)"};
    if (query.sport || query.dport) throw RequestError{"key: not with sport or dport"};
    query.sport = static_cast<uint16_t>(*key >> 16);
    query.dport = static_cast<uint16_t>(*key);
  }
  return query;
}

std::unique_ptr<OperatorReply> MakeMtuReply(const OperatorControl& control,
                                            const RequestReader& request) {
  request.AllowOnly({"dst", "src", "proto", "sport", "dport", "key", "iif", "mark", "any_source"});
  MtuQuery query = PacketOf(request);
  query.any_source = request.Flag("any_source");
  auto report = control.ExplainMtu(query);
  if (!report) throw RequestError{report.error().message};
  std::vector<MtuReport> reports;
  reports.push_back(*std::move(report));
  return std::make_unique<ListReply<MtuReport>>(std::move(reports),
                                                [](const MtuReport& mtu) { return ToJson(mtu); });
}

template <typename Report>
std::unique_ptr<OperatorReply> MakeOneItemReply(Report report) {
  std::vector<Report> reports;
  reports.push_back(std::move(report));
  return std::make_unique<ListReply<Report>>(std::move(reports),
                                             [](const Report& item) { return ToJson(item); });
}

std::unique_ptr<OperatorReply> MakeWhyReply(const OperatorControl& control,
                                            const RequestReader& request) {
  request.AllowOnly({"dst", "src", "proto", "sport", "dport", "key", "dev", "iif", "mark"});
  auto report =
      control.ExplainWhy({.packet = PacketOf(request), .dev = request.Text("dev").value_or("")});
  if (!report) throw RequestError{report.error().message};
  return MakeOneItemReply(*std::move(report));
}

std::unique_ptr<OperatorReply> MakeFipsReply(OperatorControl* control,
                                             const RequestReader& request) {
  request.AllowOnly({"action", "mode"});
  const std::string action = request.Text("action").value_or("show");
  const auto mode = request.Text("mode");
  if (action != "show" && action != "reload" && action != "mode") {
    throw RequestError{"action: must be \"show\", \"reload\" or \"mode\""};
  }
  if (mode.has_value() != (action == "mode")) {
    throw RequestError{mode ? "mode: only allowed with the action \"mode\"" : "mode: missing"};
  }
  if (mode && !ParseFipsMode(*mode)) {
    throw RequestError{"mode: must be \"auto\", \"on\" or \"off\""};
  }
  if (action == "show") return MakeOneItemReply(control->ReportFips());
  auto moved = control->SetFips(mode);
  if (!moved) throw RequestError{moved.error().message};
  return MakeOneItemReply(*moved);
}

std::unique_ptr<OperatorReply> MakeReloadReply(OperatorControl* control,
                                               const RequestReader& request) {
  request.AllowOnly({});
  auto report = control->Reload();
  if (!report) throw RequestError{report.error().message};
  return MakeOneItemReply(*std::move(report));
}

std::unique_ptr<OperatorReply> MakeDoctorReply(const OperatorControl& control,
                                               const RequestReader& request) {
  request.AllowOnly({});
  return std::make_unique<ListReply<DoctorRow>>(control.ReportDoctor(),
                                                [](const DoctorRow& row) { return ToJson(row); });
}

std::unique_ptr<OperatorReply> MakeStoredReply(OperatorControl* control,
                                               const RequestReader& request) {
  request.AllowOnly({"action"});
  const std::string action = request.Text("action").value_or("show");
  if (action != "show" && action != "accept") {
    throw RequestError{"action: must be \"show\" or \"accept\""};
  }
  const Status accepted = action == "accept" ? control->AcceptStored() : Status{};
  if (!accepted) throw RequestError{accepted.error().message};
  return MakeOneItemReply(control->ReportStored());
}

std::optional<CaptureSide> ReadSide(const RequestReader& request) {
  const auto side = request.Text("side");
  if (!side) return std::nullopt;
  if (*side == "host") return CaptureSide::kHost;
  if (*side == "wire") return CaptureSide::kWire;
  if (*side == "guard") return CaptureSide::kGuard;
  throw RequestError{"side: must be \"host\", \"wire\" or \"guard\""};
}

CaptureKeys ReadKeys(const OperatorControl& control, const RequestReader& request) {
  if (!request.Flag("with_keys")) return CaptureKeys::kNone;
  if (control.ReportFips().enforced) {
    throw RequestError{
        "with_keys: refused in FIPS mode, because keys would leave the boundary; capture without "
        "keys"};
  }
  Log(LogLevel::kInfo, "an operator requested a capture with the keys of SAs");
  return CaptureKeys::kOfSasSeen;
}

std::unique_ptr<OperatorReply> StartCapture(OperatorControl* control,
                                            const RequestReader& request) {
  request.AllowOnly({"device", "side", "snaplen", "with_keys"});
  const auto device = request.Text("device");
  const auto side = ReadSide(request);
  const uint32_t snap_length = request.Number("snaplen").value_or(kMaxSnapLength);
  if (!device) throw RequestError{"device: missing"};
  if (snap_length == 0 || snap_length > kMaxSnapLength) {
    throw RequestError{fmt::format("snaplen: must be from 1 to {}", kMaxSnapLength)};
  }
  const CaptureKeys keys = ReadKeys(*control, request);
  CapturePoints* points = control->FindCapture(*device);
  if (points == nullptr) throw NoDevice(*control, *device);
  return MakeCaptureReply(
      control, points, {.device = *device, .side = side, .snap_length = snap_length, .keys = keys});
}

std::unique_ptr<OperatorReply> Dispatch(OperatorControl* control, std::string_view text,
                                        const OrderMark& mark, const OperatorSources& sources) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) throw RequestError{"the request is not a JSON object"};
  const RequestReader request(json);
  const std::string command = request.Text("command").value_or("");
  if (command == "sa") return MakeSaReply(*control, request);
  if (command == "policy") return MakePolicyReply(*control, request);
  if (command == "dev") return MakeDeviceReply(*control, request);
  if (command == "stat") return MakeStatReply(*control, request, sources);
  if (command == "engine") return MakeEngineReply(*control, request);
  if (command == "tunnel") return MakeTunnelReply(*control, request);
  if (command == "mtu") return MakeMtuReply(*control, request);
  if (command == "why") return MakeWhyReply(*control, request);
  if (command == "fips") return MakeFipsReply(control, request);
  if (command == "ledger") return MakeLedgerReply(*control, request);
  if (command == "explain") return MakeExplainReply(*control, request);
  if (command == "offload") return MakeOffloadReply(control, request, mark);
  if (command == "placement") return MakePlacementReply(control, request, mark);
  if (command == "fault") return MakeFaultReply(control, request);
  if (command == "reload") return MakeReloadReply(control, request);
  if (command == "doctor") return MakeDoctorReply(*control, request);
  if (command == "stored") return MakeStoredReply(control, request);
  if (command == "cluster") return MakeClusterReply(control, request);
  if (command == "statistics") return MakeStatisticsReply(*control, request);
  if (command == "capture") return StartCapture(control, request);
  if (command == "monitor" && sources.events != nullptr) {
    return MakeMonitorReply(sources.events, request);
  }
  throw RequestError{fmt::format("unknown command \"{}\"", command)};
}

}  // namespace

std::unique_ptr<OperatorReply> MakeErrorReply(std::string_view text) {
  return std::make_unique<ErrorReply>(text);
}

std::string OrderOf(std::string_view request) {
  const Json json = Json::parse(request, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return {};
  const auto command = json.find("command");
  if (command == json.end() || !command->is_string()) return {};
  // Commands that only read; every other one is an order.
  constexpr std::string_view kLooks[] = {"policy",     "dev",    "stat",    "engine",
                                         "mtu",        "ledger", "explain", "tunnel",
                                         "statistics", "why",    "monitor"};
  const std::string& name = command->get_ref<const std::string&>();
  if (std::find(std::begin(kLooks), std::end(kLooks), name) != std::end(kLooks)) return {};
  if (name == "sa" && !json.contains("show_keys")) return {};
  const bool may_look =
      name == "fips" || name == "stored" || name == "cluster" || name == "offload";
  if (may_look && !json.contains("action")) return {};
  std::string text = ToText(json);
  constexpr std::size_t kMaxText = 2048;  // more than any request of known fields
  if (text.size() > kMaxText) text.resize(kMaxText);
  return text;
}

std::unique_ptr<OperatorReply> MakeReply(OperatorControl* control, std::string_view request,
                                         const OrderMark& mark, const OperatorSources& sources) {
  try {
    return Dispatch(control, request, mark, sources);
  } catch (const RequestError& error) {
    // The text may quote the request.
    return MakeErrorReply(std::string_view(error.text).substr(0, 1024));
  }
}

}  // namespace cygnet
