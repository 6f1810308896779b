#include "cli/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "cli/cygnet.h"
#include "cli/json_text.h"
#include "cli/sums.h"
#include "cli/text.h"
#include "client/json_fields.h"
#include "client/metrics.h"

namespace cygnet {
namespace {

Counters CountersOf(const Arguments& arguments) {
  const bool all = arguments.statistics || arguments.HasLocal("all");
  return all ? Counters::kAll : Counters::kNonZero;
}

std::string ItemText(const Arguments& arguments, const Json& item, const Ink& ink) {
  switch (arguments.object) {
    case Object::kSa:
      return SaText(item, ink, CountersOf(arguments));
    case Object::kPolicy:
      return PolicyText(item, ink);
    case Object::kDevice:
      return DeviceText(item, ink) +
             (arguments.statistics ? StatisticsText(item) + KeyLogText(item) : "");
    case Object::kStatSa:
      return SaDropsText(item);
    case Object::kEngine:
      return EngineText(item, ink);
    case Object::kTunnel:
      return TunnelText(item);
    case Object::kMtu:
      return MtuText(item);
    case Object::kWhy:
      return WhyText(item);
    case Object::kFips:
    case Object::kDoctorFips:
      return FipsText(item);
    case Object::kReload:
      return ReloadText(item);
    case Object::kExplain:
      return ExplainText(item, ink);
    case Object::kOffload:
    case Object::kPlacement:
      return MoveText(item);
    case Object::kStored:
      return StoredText(item);
    case Object::kCluster:
      return ClusterText(item);
    default:
      return StatText(item, CountersOf(arguments));
  }
}

// The exit status for an item.
int ItemStatus(const Arguments& arguments, const Json& item) {
  if (arguments.object == Object::kDoctorFips) return FipsDenies(item) ? kExitNo : 0;
  if (arguments.object == Object::kStored) return StoredIsWell(item) ? 0 : kExitNo;
  if (arguments.object == Object::kCluster) return ClusterIsWell(item) ? 0 : kExitNo;
  if (arguments.object == Object::kWhy) return WhyIsWell(item) ? 0 : kExitNo;
  if (arguments.object != Object::kExplain) return 0;
  const Json& verdicts = Child(item, "verdicts");
  const bool offloaded = !verdicts.empty() &&
                         std::all_of(verdicts.begin(), verdicts.end(),
                                     [](const Json& row) { return row.value("offloaded", false); });
  return offloaded ? 0 : kExitNo;
}

bool IsOneObject(Object object) {
  switch (object) {
    case Object::kStat:
    case Object::kMtu:
    case Object::kExplain:
    case Object::kOffload:
    case Object::kPlacement:
    case Object::kSim:
    case Object::kFips:
    case Object::kDoctorFips:
    case Object::kReload:
    case Object::kStored:
    case Object::kCluster:
    case Object::kWhy:
      return true;
    default:
      return false;
  }
}

// One line for each element. After an error the array stays open, so that a reader cannot mistake
// a part for the whole.
Status PrintJson(const Arguments& arguments, OperatorClient* client, FILE* out, int* status) {
  const bool array = !IsOneObject(arguments.object);
  const char* const line_end = arguments.watch ? "" : "\n";  // a document is one line
  std::string before = array ? fmt::format("[{}", line_end) : "";
  bool empty = true;
  CYGNET_RETURN_IF_ERROR(client->ForEachItem(arguments.request, [&](const Json& item) {
    *status = ItemStatus(arguments, item);
    empty = false;
    fmt::print(out, "{}{}", before, JsonText(item, arguments.pretty, array ? 1 : 0));
    before = fmt::format(",{}", line_end);
  }));
  if (arguments.object == Object::kCluster && empty) fmt::print(out, "null");
  if (arguments.object == Object::kSim) fmt::print(out, "{}", R"({"done":true})");
  if (array) fmt::print(out, "{}", empty ? "[]" : fmt::format("{}]", line_end));
  fmt::print(out, "\n");
  return {};
}

// The message for an empty list; empty for objects whose list is never empty.
std::string_view NothingOf(const Arguments& arguments) {
  // No filter beside the command; keys are none.
  const std::size_t others = arguments.request.contains("show_keys") ? 2 : 1;
  const bool all = arguments.request.size() == others;
  switch (arguments.object) {
    case Object::kSa:
    case Object::kStatSa:
      return all ? "no SAs" : "no matching SA";
    case Object::kPolicy:
      return all ? "no policies" : "no matching policy";
    case Object::kCluster:
      return "this host is in no cluster";
    case Object::kOffloadList:
      return "no order of an operator is in force";
    default:
      return {};
  }
}

Status PrintSums(const Arguments& arguments, OperatorClient* client, FILE* out) {
  SaSums sums(arguments.sum);
  CYGNET_RETURN_IF_ERROR(
      client->ForEachItem(arguments.request, [&sums](const Json& sa) { sums.Add(sa); }));
  if (!arguments.json) {
    fmt::print(out, "{}", sums.AsText());
  } else {
    fmt::print(out, "{}\n", JsonText(sums.AsJson(), arguments.pretty));
  }
  return {};
}

// Texts that need all items at once. Empty: each item is shown as it comes.
std::string WholeText(const Arguments& arguments, const std::vector<Json>& items, const Ink& ink) {
  if (arguments.brief) return BriefText(arguments, items, ink);
  // Entries of one SA and of one holder are shown together.
  return arguments.object == Object::kLedger ? LedgerText(items) : OrdersText(items);
}

// The message for an empty list goes to `err`: programs that read `out` find results only.
Status PrintText(const Arguments& arguments, OperatorClient* client, const ReportTo& to,
                 int* status) {
  if (arguments.object == Object::kMetrics) return PrintMetrics(client, to.out);
  const Ink ink(arguments.color, to.terminal);
  const bool whole = arguments.brief || arguments.object == Object::kLedger ||
                     arguments.object == Object::kOffloadList;
  std::vector<Json> items;
  bool empty = true;
  CYGNET_RETURN_IF_ERROR(client->ForEachItem(arguments.request, [&](const Json& item) {
    empty = false;
    *status = ItemStatus(arguments, item);
    if (whole) {
      items.push_back(item);
    } else {
      fmt::print(to.out, "{}", ItemText(arguments, item, ink));
    }
  }));
  if (whole) fmt::print(to.out, "{}", WholeText(arguments, items, ink));
  const std::string_view nothing = empty ? NothingOf(arguments) : std::string_view();
  if (!nothing.empty()) fmt::print(to.err, "cygnet: {}\n", nothing);
  return {};
}

}  // namespace

Status Report(const Arguments& arguments, const OperatorConnector& connect, const ReportTo& to,
              int* status) {
  auto client = connect();
  if (!client) return client.error();
  CYGNET_RETURN_IF_ERROR(!arguments.sum.empty() ? PrintSums(arguments, &*client, to.out)
                         : arguments.json       ? PrintJson(arguments, &*client, to.out, status)
                                                : PrintText(arguments, &*client, to, status));
  if (fflush(to.out) != 0 || ferror(to.out) != 0) {
    return MakeError(Errc::kIo, "cannot write the output");
  }
  return {};
}

}  // namespace cygnet
