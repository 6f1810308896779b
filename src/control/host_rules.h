// Whether routing rules would send a packet another way if what a question leaves open had another
// value: its protocol and ports, its source, its mark. Control thread.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "control/host_questions.h"
#include "control/mtu_report.h"

namespace cygnet {

struct RuleSubject {
  const HostQuestions& host;
  const MtuQuery& query;
  const RouteQuestion& question;  // of the query, and the kernel's answer
  const RouteAnswer& answer;
  const std::string& came_name;  // of the interface that it came in by; empty: this host sends it
  const std::vector<ParsedAddress>& own;
  std::function<std::string(int32_t)> name_of;
};

struct RuleFindings {
  std::vector<std::string> open{};   // "proto", "sport", "dport": the way depends on these
  std::string text{};                // the ways, the end of a sentence
  std::vector<std::string> notes{};  // sentences: where the way is known, but not for all
};

RuleFindings CompareRules(const RuleSubject& subject);

}  // namespace cygnet
