// Requests about placement: the ledger, what a device would accept, and the operator's commands.
#include <fmt/format.h>

#include <variant>

#include "daemon/operator/list_reply.h"

namespace cygnet {
namespace {

using LedgerItem = std::variant<LedgerReport, PlacementEntry, KeyEntry>;

template <typename Report>
std::unique_ptr<OperatorReply> OneItem(Report report) {
  std::vector<Report> reports;
  reports.push_back(std::move(report));
  return std::make_unique<ListReply<Report>>(std::move(reports),
                                             [](const Report& item) { return ToJson(item); });
}

std::string Needed(const RequestReader& request, const char* field) {
  auto text = request.Text(field);
  if (!text || text->empty()) throw RequestError{fmt::format("{}: missing", field)};
  return *std::move(text);
}

PlacementMode ReadMode(const std::string& mode) {
  if (const auto known = ParsePlacementMode(mode)) return *known;
  throw RequestError{fmt::format(
      "mode: must be \"no\", \"crypto\", \"packet\", \"auto\" or \"required\", is \"{}\"", mode)};
}

std::unique_ptr<OperatorReply> MakeMoveReply(const OperatorControl& control,
                                             Result<MoveReport> report) {
  if (!report) throw RequestError{WithDevices(control, report.error())};
  return OneItem(*std::move(report));
}

PlacementCommand ReadPlacement(const RequestReader& request, bool clear, const OrderMark& mark) {
  PlacementCommand command;
  command.mark = mark;
  if (const auto spi = request.Number("spi")) command.spi = Spi{*spi};
  if (const auto dst = request.Address("dst")) {
    command.daddr = dst->address;
    command.family = dst->family;
  }
  if (const auto reqid = request.Number("reqid")) command.reqid = Reqid{*reqid};
  if (!command.spi && !command.daddr && !command.reqid) {
    throw RequestError{"name the SAs with \"spi\", \"dst\" or \"reqid\""};
  }
  command.clear = clear;
  if (clear) return command;
  command.mode = ReadMode(Needed(request, "mode"));
  command.device = request.Text("device");
  command.pinned = request.Flag("pin");
  return command;
}

ExplainQuery ReadExplain(const RequestReader& request) {
  ExplainQuery query;
  query.device = Needed(request, "device");
  query.aead = request.Text("aead").value_or("");
  query.cipher = request.Text("cipher").value_or("");
  query.auth = request.Text("auth").value_or("");
  if (query.aead.empty() == (query.cipher.empty() && query.auth.empty())) {
    throw RequestError{"name the algorithms: either \"aead\", or \"cipher\" and \"auth\""};
  }
  query.key_bits = request.Number("key_bits").value_or(0);
  query.icv_bits = request.Number("icv_bits").value_or(0);
  query.mode = request.Text("mode").value_or(query.mode);
  if (query.mode != "transport" && query.mode != "tunnel" && query.mode != "beet") {
    throw RequestError{"mode: must be \"transport\", \"tunnel\" or \"beet\""};
  }
  if (const auto mode = request.Text("offload")) query.offload = ReadMode(*mode);
  query.ipv6 = request.Flag("ipv6");
  query.encap = request.Flag("encap");
  query.esn = request.Flag("esn");
  query.replay_window = request.Number("replay_window").value_or(query.replay_window);
  query.tfc = request.Flag("tfc");
  if (const auto direction = request.Text("direction")) {
    if (*direction != "in" && *direction != "out") {
      throw RequestError{"direction: must be \"in\" or \"out\""};
    }
    query.half = HalfFor(*direction == "in");
  }
  return query;
}

// The reply to a command without a report.
class DoneReply final : public OperatorReply {
 public:
  Next MakeNext(std::string* datagram) override {
    if (std::exchange(sent_, true)) return Next::kEnd;
    *datagram = ToText({{"done", true}});
    return Next::kDatagram;
  }

 private:
  bool sent_ = false;
};

template <typename Entry>
void KeepLast(std::vector<Entry>* entries, std::size_t count) {
  if (entries->size() <= count) return;
  entries->erase(entries->begin(), entries->end() - static_cast<std::ptrdiff_t>(count));
}

// A wrong name must not look like a holder that never had a key.
void RequireHolder(const OperatorControl& control, const std::string& name) {
  for (const DeviceReport& device : control.ReportDevices()) {
    if (device.name == name) return;
  }
  for (const EngineReport& engine : control.ReportEngines()) {
    if (engine.name == name) return;
  }
  LedgerQuery query;
  query.holder = name;
  const LedgerReport past = control.ReportLedger(query);
  if (!past.placements.empty() || !past.keys.empty()) return;
  throw RequestError{WithDevices(
      control, MakeError(Errc::kNoDevice,
                         fmt::format("holder: \"{}\" is not a device or an engine, and the ledger "
                                     "has no entry of one",
                                     name)))};
}

}  // namespace

std::unique_ptr<OperatorReply> MakeLedgerReply(const OperatorControl& control,
                                               const RequestReader& request) {
  request.AllowOnly({"holder", "spi", "dst", "current", "last"});
  LedgerQuery query;
  query.holder = request.Text("holder");
  if (query.holder) RequireHolder(control, *query.holder);
  if (const auto spi = request.Number("spi")) query.spi = Spi{*spi};
  if (const auto dst = request.Address("dst")) query.daddr = dst->address;
  query.only_current = request.Flag("current");
  LedgerReport report = control.ReportLedger(query);
  if (const auto last = request.Number("last")) {
    KeepLast(&report.placements, *last);
    KeepLast(&report.keys, *last);
  }
  std::vector<LedgerItem> items;
  items.reserve(report.placements.size() + report.keys.size() + 1);
  for (PlacementEntry& entry : report.placements) items.emplace_back(std::move(entry));
  for (KeyEntry& entry : report.keys) items.emplace_back(std::move(entry));
  report.placements.clear();
  report.keys.clear();
  items.emplace_back(std::move(report));
  return std::make_unique<ListReply<LedgerItem>>(std::move(items), [](const LedgerItem& item) {
    return std::visit([](const auto& entry) { return ToJson(entry); }, item);
  });
}

std::unique_ptr<OperatorReply> MakeExplainReply(const OperatorControl& control,
                                                const RequestReader& request) {
  request.AllowOnly({"device", "aead", "cipher", "auth", "key_bits", "icv_bits", "mode", "offload",
                     "ipv6", "encap", "esn", "replay_window", "tfc", "direction"});
  auto report = control.ExplainOffload(ReadExplain(request));
  if (!report) throw RequestError{WithDevices(control, report.error())};
  return OneItem(*std::move(report));
}

std::unique_ptr<OperatorReply> MakeOffloadReply(OperatorControl* control,
                                                const RequestReader& request,
                                                const OrderMark& mark) {
  const auto action = request.Text("action");
  if (!action) {
    request.AllowOnly({});
    return std::make_unique<ListReply<OperatorOrder>>(
        control->ReportOrders(), [](const OperatorOrder& order) { return ToJson(order); });
  }
  if (*action != "enable" && *action != "disable") {
    throw RequestError{"action: must be \"enable\" or \"disable\""};
  }
  request.AllowOnly({"action", "device"});
  return MakeMoveReply(
      *control, control->SetOffloadEnabled(Needed(request, "device"), *action == "enable", mark));
}

std::unique_ptr<OperatorReply> MakePlacementReply(OperatorControl* control,
                                                  const RequestReader& request,
                                                  const OrderMark& mark) {
  const std::string action = request.Text("action").value_or("");
  if (action == "unset") {
    request.AllowOnly({"action", "spi", "dst", "reqid"});
    return MakeMoveReply(*control,
                         control->SetPlacement(ReadPlacement(request, /*clear=*/true, mark)));
  }
  if (action != "set") throw RequestError{"action: must be \"set\" or \"unset\""};
  request.AllowOnly({"action", "spi", "dst", "reqid", "mode", "device", "pin"});
  return MakeMoveReply(*control,
                       control->SetPlacement(ReadPlacement(request, /*clear=*/false, mark)));
}

std::unique_ptr<OperatorReply> MakeFaultReply(OperatorControl* control,
                                              const RequestReader& request) {
  request.AllowOnly({"device", "fault"});
  const Status played = control->InjectFault(Needed(request, "device"), Needed(request, "fault"));
  if (!played) throw RequestError{WithDevices(*control, played.error())};
  return std::make_unique<DoneReply>();
}

}  // namespace cygnet
