// cygnet-conformance: whether a driver or engine by others keeps its contract. `cygnet conformance`
// runs it, so that the operator's command does not contain the stack.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>

#include "conformance/kinds.h"
#include "conformance/report.h"
#include "plugin/plugin_library.h"
#include "plugin/trial.h"

namespace cygnet::conformance {
namespace {

constexpr int kConforms = 0;
constexpr int kBroken = 1;
constexpr int kCannotLoad = 2;
constexpr int kUsage = 64;
constexpr unsigned kSecondsToMeasure = 120;

constexpr char kHelp[] =
    "usage: cygnet conformance --driver FILE | --engine FILE [-j] [--option KEY=VALUE]...\n"
    "                          [--only CHECK]... [--no-rates]\n"
    "                          [--isolate] [--time-limit SECONDS] [--list]\n"
    "Tests a plug-in against the promises of cygnet/driver.h or cygnet/engine.h.\n"
    "  -j          the report as JSON\n"
    "  --option    given to the plug-in when it is opened, as plugin_options\n"
    "  --isolate   runs it in a process of its own, as isolate = true does\n"
    "  --only      runs this check, not all\n"
    "  --no-rates  without measurements\n"
    "  --time-limit  longest time for opening it, and for each check (30)\n"
    "  --list      names the checks, without a plug-in\n"
    "Exit status: 0 it conforms, 1 a promise is broken, 2 it cannot be loaded or opened.\n";

struct Arguments {
  const Kind* kind = nullptr;
  Subject subject;
  bool json = false;
  bool rates = true;
  bool list = false;
  unsigned seconds = kTrialSeconds;
  std::vector<std::string_view> only;
};

std::optional<Arguments> Parse(int argc, char** argv) {
  Arguments a;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    const char* next = i + 1 < argc ? argv[i + 1] : nullptr;
    if (word == "-j" || word == "--json") {
      a.json = true;
    } else if (word == "--no-rates") {
      a.rates = false;
    } else if (word == "--isolate") {
      a.subject.isolation = IsolationSettings();
    } else if (word == "--list") {
      a.list = true;
    } else if (word == "--only" && next != nullptr) {
      a.only.push_back(argv[++i]);
    } else if (word == "--time-limit" && next != nullptr) {
      a.seconds = static_cast<unsigned>(std::strtoul(argv[++i], nullptr, 10));
      if (a.seconds == 0) return std::nullopt;
    } else if (word == "--option" && next != nullptr) {
      a.subject.options.push_back(argv[++i]);
    } else if (word.starts_with("--") && next != nullptr && a.kind == nullptr) {
      for (const Kind& kind : Kinds()) {
        if (word.substr(2) == kind.name) a.kind = &kind;
      }
      if (a.kind == nullptr) return std::nullopt;
      a.subject.path = argv[++i];
    } else {
      return std::nullopt;
    }
  }
  return a.list || a.kind != nullptr ? std::optional(a) : std::nullopt;
}

int List() {
  for (const Kind& kind : Kinds()) {
    for (const Check& check : kind.checks()) {
      std::printf("%.*s %.*s: %.*s\n", static_cast<int>(kind.name.size()), kind.name.data(),
                  static_cast<int>(check.name.size()), check.name.data(),
                  static_cast<int>(check.promise.size()), check.promise.data());
    }
  }
  return kConforms;
}

// What is not UTF-8 is replaced: it may be the plug-in's.
std::string ToText(const nlohmann::json& json) {
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

// The plug-in's words, from a child: this process never loads it. The error is in `problem`.
std::optional<About> Look(const Arguments& a, std::string* problem) {
  const TrialEnd end = RunTrial(
      [&a] {
        const auto about = a.kind->look(a.subject);
        if (about) return ToText({about->name, about->version, about->vendor});
        const std::string failure = IsolationFailure();
        return "!" + about.error().message + (failure.empty() ? "" : ": " + failure);
      },
      a.seconds);
  const auto words = nlohmann::json::parse(end.text, nullptr, false);
  if (!end.ended_well() || !words.is_array() || words.size() != 3) {
    *problem =
        end.ended_well() ? end.text.substr(1) : a.subject.path + ": " + end.Problem(a.seconds);
    return std::nullopt;
  }
  return About{words[0], words[1], words[2]};
}

// The checks to run; empty: --only names one that does not exist.
std::vector<Check> ChecksOf(const Arguments& a) {
  const std::span<const Check> all = a.kind->checks();
  if (a.only.empty()) return {all.begin(), all.end()};
  std::vector<Check> chosen;
  for (const std::string_view name : a.only) {
    const auto same = [name](const Check& check) { return check.name == name; };
    const auto found = std::find_if(all.begin(), all.end(), same);
    if (found == all.end()) return {};
    chosen.push_back(*found);
  }
  return chosen;
}

std::vector<Measurement> Measure(const Arguments& a) {
  std::vector<Measurement> rates;
  if (!a.rates || a.kind->measure == nullptr) return rates;
  const TrialEnd end = RunTrial(
      [&a] {
        nlohmann::json rows = nlohmann::json::array();
        for (const Measurement& m : a.kind->measure(a.subject)) {
          rows.push_back({m.name, m.unit, m.value});
        }
        return ToText(rows);
      },
      kSecondsToMeasure);
  const auto rows = nlohmann::json::parse(end.text, nullptr, false);
  if (!end.ended_well() || !rows.is_array()) return rates;
  for (const auto& row : rows) rates.push_back({row[0], row[1], row[2]});
  return rates;
}

int Run(const Arguments& a) {
  const std::vector<Check> checks = ChecksOf(a);
  if (checks.empty()) {
    std::fputs("cygnet conformance: --only names no check; see --list\n", stderr);
    return kUsage;
  }
  const auto sum = Sha256OfFile(a.subject.path);
  std::string problem = sum ? "" : sum.error().message;
  const auto about = sum ? Look(a, &problem) : std::nullopt;
  if (!about) {
    std::fprintf(stderr, "cygnet conformance: %s\n", problem.c_str());
    return kCannotLoad;
  }
  Report report{.kind = std::string(a.kind->name),
                .path = a.subject.path,
                .sha256 = *sum,
                .name = about->name,
                .version = about->version,
                .vendor = about->vendor};
  report.results = RunAll(checks, a.subject, a.seconds);
  report.measurements = Measure(a);
  std::fputs((a.json ? JsonOf(report) : TextOf(report)).c_str(), stdout);
  return Conforms(report) ? kConforms : kBroken;
}

}  // namespace
}  // namespace cygnet::conformance

int main(int argc, char** argv) {
  using namespace cygnet::conformance;
  if (argc == 2 && (std::strcmp(argv[1], "--help") == 0 || std::strcmp(argv[1], "-h") == 0)) {
    std::fputs(kHelp, stdout);
    return kConforms;
  }
  const auto arguments = Parse(argc, argv);
  if (!arguments) {
    std::fputs(kHelp, stderr);
    return kUsage;
  }
  return arguments->list ? List() : Run(*arguments);
}
