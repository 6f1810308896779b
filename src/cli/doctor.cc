#include "cli/doctor.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <thread>
#include <utility>

#include "cli/cygnet.h"
#include "cli/doctor_check.h"
#include "cli/doctor_firewall.h"
#include "cli/json_text.h"
#include "cli/nft_ruleset.h"
#include "cli/text.h"
#include "client/json_fields.h"
#include "client/operator_client.h"

namespace cygnet {
namespace {

constexpr std::size_t kMostMtus = 16;  // policies whose MTU is asked for

void PrintRows(const Arguments& arguments, const std::vector<Json>& rows, FILE* out) {
  if (!arguments.json) {
    for (const Json& row : rows) fmt::print(out, "{}", DoctorText(row));
    return;
  }
  fmt::print(out, "{}", JsonArrayText(rows, arguments.pretty));
}

Status Read(OperatorClient* client, const Json& request, std::vector<Json>* items) {
  return client->ForEachItem(request, [items](const Json& item) { items->push_back(item); });
}

Status ReadOne(OperatorClient* client, const char* command, Json* item) {
  return client->ForEachItem({{"command", command}}, [item](const Json& one) { *item = one; });
}

Status ReadReports(OperatorClient* client, DoctorSubject* subject) {
  CYGNET_RETURN_IF_ERROR(Read(client, {{"command", "dev"}}, &subject->devices));
  CYGNET_RETURN_IF_ERROR(Read(client, {{"command", "policy"}}, &subject->policies));
  CYGNET_RETURN_IF_ERROR(Read(client, {{"command", "sa"}}, &subject->sas));
  CYGNET_RETURN_IF_ERROR(Read(client, {{"command", "tunnel"}}, &subject->tunnels));
  CYGNET_RETURN_IF_ERROR(Read(client, {{"command", "engine"}}, &subject->engines));
  CYGNET_RETURN_IF_ERROR(ReadOne(client, "stat", &subject->stat));
  CYGNET_RETURN_IF_ERROR(ReadOne(client, "fips", &subject->fips));
  CYGNET_RETURN_IF_ERROR(ReadOne(client, "stored", &subject->stored));
  for (const Json& request : MtuRequests(subject->policies, kMostMtus)) {
    // An error is the answer that no packet of the policy leaves from here.
    (void)Read(client, request, &subject->mtus);
  }
  return {};
}

// Counters have no times: a second look tells whether packets are being lost now.
Status LookAgain(OperatorClient* client, DoctorSubject* subject) {
  const uint64_t before = LostForWantOfStates(subject->stat);
  if (before == 0) return {};
  std::this_thread::sleep_for(std::chrono::seconds(1));
  Json later;
  CYGNET_RETURN_IF_ERROR(ReadOne(client, "stat", &later));
  const uint64_t after = LostForWantOfStates(later);
  subject->lost_lately = after > before ? after - before : 0;  // less: the daemon began anew
  return {};
}

std::vector<std::string> NamesOf(const std::vector<Json>& devices) {
  std::vector<std::string> names;
  for (const Json& device : devices) names.push_back(Text(device, "name"));
  return names;
}

// In the order of the table; checks that it does not have come last.
void Sort(std::vector<Finding>* findings) {
  const auto place = [](const Finding& finding) {
    const std::span<const Check> checks = AllChecks();
    return std::find_if(checks.begin(), checks.end(),
                        [&](const Check& check) { return check.name == finding.check; }) -
           checks.begin();
  };
  std::stable_sort(findings->begin(), findings->end(),
                   [&](const Finding& a, const Finding& b) { return place(a) < place(b); });
}

std::vector<Json> RowsOf(std::vector<Finding> findings) {
  Sort(&findings);
  std::vector<Json> rows;
  for (const Finding& finding : findings) rows.push_back(RowOf(finding));
  return rows;
}

Result<std::vector<Finding>> Examine(OperatorClient* client) {
  std::vector<Json> rows;
  CYGNET_RETURN_IF_ERROR(Read(client, {{"command", "doctor"}}, &rows));
  DoctorSubject subject;
  CYGNET_RETURN_IF_ERROR(ReadReports(client, &subject));
  CYGNET_RETURN_IF_ERROR(LookAgain(client, &subject));
  subject.ruleset = ReadRuleset().rules;
  subject.host = ReadHost(NamesOf(subject.devices));
  subject.now = static_cast<uint64_t>(time(nullptr));
  std::vector<Finding> findings = LookAtAll(subject);
  for (const Json& row : rows) findings.push_back(FindingOf(row));
  for (const Json& row : CheckFirewall(SubjectOf(subject.devices, subject.policies))) {
    findings.push_back(FindingOf(row));
  }
  return findings;
}

}  // namespace

Status RunDoctor(const Arguments& arguments, const OperatorConnector& connect, FILE* out,
                 int* status) {
  auto client = connect();
  if (!client && client.error().code == Errc::kNoEntry) {
    PrintRows(arguments, RowsOf(LookWithoutDaemon()), out);
  }
  if (!client) return client.error();
  auto findings = Examine(&*client);
  if (!findings) return findings.error();
  const std::vector<Json> rows = RowsOf(*std::move(findings));
  PrintRows(arguments, rows, out);
  if (fflush(out) != 0 || ferror(out) != 0) return MakeError(Errc::kIo, "cannot write the output");
  *status = 0;
  for (const Json& row : rows) {
    if (!row.value("ok", false)) *status = kExitNo;
  }
  return {};
}

}  // namespace cygnet
