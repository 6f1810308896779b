#include "cli/doctor.h"

#include <fmt/format.h>

#include "cli/cygnet.h"
#include "cli/doctor_fence.h"
#include "cli/doctor_firewall.h"
#include "cli/json_text.h"
#include "cli/text.h"
#include "client/operator_client.h"

namespace cygnet {
namespace {

void PrintRows(const Arguments& arguments, const std::vector<Json>& rows, FILE* out) {
  if (!arguments.json) {
    for (const Json& row : rows) fmt::print(out, "{}", DoctorText(row));
    return;
  }
  fmt::print(out, "{}", JsonArrayText(rows, arguments.pretty));
}

Result<std::vector<Json>> Items(OperatorClient* client, const Json& request) {
  std::vector<Json> items;
  CYGNET_RETURN_IF_ERROR(
      client->ForEachItem(request, [&items](const Json& item) { items.push_back(item); }));
  return items;
}

}  // namespace

Status RunDoctor(const Arguments& arguments, const OperatorConnector& connect, FILE* out,
                 int* status) {
  auto client = connect();
  // Fences outlive the daemon: without one, they are what keeps the host off its wires.
  if (!client && client.error().code == Errc::kNoEntry) PrintRows(arguments, CheckFences(), out);
  if (!client) return client.error();
  auto rows = Items(&*client, arguments.request);
  if (!rows) return rows.error();
  const auto devices = Items(&*client, {{"command", "dev"}});
  if (!devices) return devices.error();
  const auto policies = Items(&*client, {{"command", "policy"}});
  if (!policies) return policies.error();
  for (Json& row : CheckFirewall(SubjectOf(*devices, *policies))) rows->push_back(std::move(row));
  PrintRows(arguments, *rows, out);
  if (fflush(out) != 0 || ferror(out) != 0) return MakeError(Errc::kIo, "cannot write the output");
  *status = 0;
  for (const Json& row : *rows) {
    if (!row.value("ok", false)) *status = kExitNo;
  }
  return {};
}

}  // namespace cygnet
