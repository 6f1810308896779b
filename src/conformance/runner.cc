#include "conformance/runner.h"

#include "base/plain_text.h"
#include "plugin/trial.h"

namespace cygnet::conformance {
namespace {

// What an isolated plug-in's process died of explains all that follows.
std::string Encode(Outcome outcome) {
  const std::string failure = IsolationFailure();
  if (!failure.empty()) outcome = Broken(failure);
  return static_cast<char>('0' + static_cast<int>(outcome.verdict)) + PlainText(outcome.detail);
}

}  // namespace

std::string_view Name(Verdict verdict) {
  switch (verdict) {
    case Verdict::kKept:
      return "kept";
    case Verdict::kBroken:
      return "broken";
    case Verdict::kNotApplicable:
      return "not-applicable";
  }
  return "unknown";
}

Outcome RunInChild(const Check& check, const Subject& subject, unsigned seconds) {
  const TrialEnd end = RunTrial([&] { return Encode(check.run(subject)); }, seconds);
  if (end.late) {
    return Broken("the check did not end within " + std::to_string(seconds) +
                  " s; --time-limit allows more");
  }
  if (!end.ended_well()) return Broken(end.Problem(seconds));
  return {static_cast<Verdict>(end.text[0] - '0'), end.text.substr(1)};
}

std::vector<Result> RunAll(std::span<const Check> checks, const Subject& subject,
                           unsigned seconds) {
  std::vector<Result> results;
  for (const Check& check : checks) {
    results.push_back({&check, RunInChild(check, subject, seconds)});
  }
  return results;
}

}  // namespace cygnet::conformance
