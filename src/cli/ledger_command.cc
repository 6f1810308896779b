#include "cli/ledger_command.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/plain_text.h"
#include "chain/utc_time.h"
#include "cli/arguments_parts.h"
#include "cli/cygnet.h"
#include "cli/ledger_files.h"
#include "cli/ledger_report.h"
#include "client/json_fields.h"

namespace cygnet {
namespace {

struct Options {
  std::string_view action;  // "verify", "report", "key"
  bool json = false;
  std::vector<std::string> files{};
  std::vector<std::string> keys{};
  std::vector<ChainHead> heads{};
  ReportQuery query{};
};

std::string TakeKey(Words* words) {
  const std::string key = words->TakeValue("--key");
  ChainHash bytes;
  if (ReadHex(key, bytes.data(), bytes.size())) return key;
  throw UsageError{
      fmt::format("--key: \"{}\" is not a public key: 64 lower-case hexadecimal digits", key)};
}

// HASH@N, as the audit trail has it.
ChainHead TakeHead(Words* words) {
  const std::string text = words->TakeValue("--head");
  const std::size_t at = text.find('@');
  ChainHead head;
  if (at == std::string::npos || !ReadHex(text.substr(0, at), head.hash.data(), 32)) {
    throw UsageError{fmt::format("--head: \"{}\" is not HASH@RECORD, as in the audit trail", text)};
  }
  head.number = ParseNumber("--head", text.substr(at + 1), 1, kMaxChainNumber);
  return head;
}

// "2026-11-28", "2026-11-28T17:58" or more: UTC. `rest`: what follows an unsaid part.
uint64_t TakeTime(std::string_view keyword, std::string_view rest, Words* words) {
  const std::string text = words->TakeValue(keyword);
  std::string whole = text;
  if (whole.ends_with('Z')) whole.pop_back();
  if (whole.size() == 10 || whole.size() == 16 || whole.size() == 19) {
    whole += rest.substr(whole.size() - 10);
  } else {
    whole += 'Z';
  }
  if (const auto time = ParseUtc(whole)) return *time;
  throw UsageError{fmt::format(
      "{}: \"{}\" is not a time in UTC like 2026-11-28 or 2026-11-28T17:58:14", keyword, text)};
}

void TakeReportWord(std::string_view word, Words* words, Options* out) {
  if (word == "--from") {
    out->query.from_ms = TakeTime(word, "T00:00:00.000Z", words);
  } else if (word == "--to") {
    out->query.to_ms = TakeTime(word, "T23:59:59.999Z", words);
  } else if (word == "dev" || word == "holder") {
    out->query.holder = words->TakeValue(word);
  } else if (word == "spi") {
    out->query.spi =
        fmt::format("0x{:08x}", ParseNumber(word, words->TakeValue(word), 0, kMaxNumber));
  } else if (word == "dst") {
    out->query.dst = ParseIpAddress(word, words->TakeValue(word));
  } else {
    out->files.emplace_back(word);
  }
}

void ParseWords(Words* words, Options* out) {
  while (!words->done()) {
    const std::string_view word = words->Take();
    if (word == "-j" || word == "--json") {
      out->json = true;
    } else if (out->action == "key") {
      FailUnknown("ledger key", word);
    } else if (word == "--key") {
      out->keys.push_back(TakeKey(words));
    } else if (word == "--head") {
      out->heads.push_back(TakeHead(words));
    } else if (out->action == "report") {
      TakeReportWord(word, words, out);
    } else {
      out->files.emplace_back(word);
    }
    const std::string_view file = out->files.empty() ? "" : std::string_view(out->files.back());
    if (file.starts_with("-")) FailUnknown(fmt::format("ledger {}", out->action), file);
  }
  if (out->query.from_ms > out->query.to_ms) {
    throw UsageError{"--from: is later than --to"};
  }
}

// What the daemon says of its files.
Result<Json> AskStored(const OperatorConnector& connect) {
  auto client = connect();
  if (!client) return client.error();
  Json stored;
  CYGNET_RETURN_IF_ERROR(
      client->ForEachItem({{"command", "stored"}}, [&stored](const Json& item) { stored = item; }));
  if (Word(stored, "ledger_file").empty()) {
    return MakeError(Errc::kNoEntry, "the ledger is in memory only: set ledger.file");
  }
  return stored;
}

// Without files: those of the daemon, which knows its key and how far it got.
Status UseDaemon(const OperatorConnector& connect, Options* options) {
  const auto stored = AskStored(connect);
  if (!stored) {
    return MakeError(stored.error().code,
                     stored.error().message + "; without cygnetd, name the files of a ledger");
  }
  options->files.push_back(Word(*stored, "ledger_file"));
  if (const std::string key = Word(*stored, "ledger_key"); options->keys.empty() && !key.empty()) {
    options->keys.push_back(key);
  }
  ChainHead head{.number = Number(*stored, "ledger_records"), .hash = {}};
  if (ReadHex(Word(*stored, "ledger_head"), head.hash.data(), head.hash.size())) {
    options->heads.push_back(head);
  }
  return {};
}

ChainCheck CheckFor(const Options& options) {
  ChainCheck check(options.keys);
  for (const ChainHead& head : options.heads) check.Expect(head);
  return check;
}

Json JsonOf(const std::string& name, const ChainVerdict& verdict) {
  return {{"file", name},
          {"whole", verdict.problems.empty()},
          {"host", verdict.host},
          {"first", verdict.first},
          {"last", verdict.last},
          {"linked", verdict.linked},
          {"older", verdict.older},
          {"lost", verdict.lost},
          {"heads", verdict.heads},
          {"head_of", verdict.head_of},
          {"head_time", verdict.head_time},
          {"keys", verdict.keys},
          {"problems", FindingsJson(verdict.problems)},
          {"more_problems", verdict.more_problems},
          {"notes", FindingsJson(verdict.notes)}};
}

std::string VerdictText(const std::string& name, const ChainVerdict& verdict, bool key_known) {
  std::string text = fmt::format("{}: ", name);
  if (verdict.linked == 0) {
    text += "NOT CHAINED\n";
  } else {
    text += fmt::format("records {} to {} of {}: {}\n", verdict.first, verdict.last, verdict.host,
                        verdict.problems.empty() ? "whole" : "NOT WHOLE");
  }
  for (const ChainFinding& row : verdict.problems) text += "\t" + FindingText(row) + "\n";
  if (verdict.more_problems > 0) {
    text += fmt::format("\tand {} more problems\n", verdict.more_problems);
  }
  for (const ChainFinding& row : verdict.notes) text += "\tnote: " + FindingText(row) + "\n";
  if (verdict.heads > 0) {
    text += fmt::format(
        "\t{} signed heads; the last covers record {}, at {}; {} records are "
        "behind it\n",
        verdict.heads, verdict.head_of, verdict.head_time,
        verdict.last - std::min(verdict.last, verdict.head_of + 1));
  }
  for (const std::string& key : verdict.keys) text += fmt::format("\tsigned by key {}\n", key);
  if (!verdict.keys.empty() && !key_known) {
    text += "\tcompare this key with that of \"cygnet ledger key\", or use --key\n";
  }
  return PlainLines(text);
}

Result<int> RunVerify(const Options& options, FILE* out) {
  const auto ledgers = ReadLedgers(options.files);
  if (!ledgers) return ledgers.error();
  if (!options.heads.empty() && ledgers->size() > 1) {
    return MakeError(Errc::kInvalid, "--head is of one ledger: name the files of that one");
  }
  int status = 0;
  Json all = Json::array();
  for (const LedgerFiles& ledger : *ledgers) {
    const ChainVerdict verdict = Verify(ledger, CheckFor(options));
    if (!verdict.problems.empty()) status = kExitNo;
    if (options.json) {
      all.push_back(JsonOf(ledger.name, verdict));
    } else {
      fmt::print(out, "{}", VerdictText(ledger.name, verdict, !options.keys.empty()));
    }
  }
  if (options.json) fmt::print(out, "{}\n", JsonText(all));
  return status;
}

Result<int> RunReport(const Options& options, FILE* out) {
  const auto ledgers = ReadLedgers(options.files);
  if (!ledgers) return ledgers.error();
  LedgerReporter reporter(options.query);
  for (const LedgerFiles& ledger : *ledgers) {
    // A head is of one ledger.
    const bool one = ledgers->size() == 1;
    reporter.Take(ledger, Verify(ledger, one ? CheckFor(options) : ChainCheck(options.keys)));
  }
  reporter.Finish();
  if (options.json) {
    fmt::print(out, "{}\n", JsonText(reporter.AsJson()));
  } else {
    fmt::print(out, "{}", PlainLines(reporter.AsText()));
  }
  return reporter.is_whole() ? 0 : kExitNo;
}

Result<int> RunKey(const Options& options, const OperatorConnector& connect, FILE* out) {
  const auto stored = AskStored(connect);
  if (!stored) return stored.error();
  const std::string key = Word(*stored, "ledger_key");
  if (options.json) {
    fmt::print(out, "{}\n", JsonText({{"key", key}, {"error", Word(*stored, "ledger_key_error")}}));
    return key.empty() ? kExitNo : 0;
  }
  if (key.empty()) {
    return MakeError(Errc::kNoEntry, "the heads of the ledger are not signed: " +
                                         Word(*stored, "ledger_key_error"));
  }
  fmt::print(out, "{}\n", key);
  return 0;
}

Result<int> Run(Options options, const OperatorConnector& connect, FILE* out) {
  if (options.action == "key") return RunKey(options, connect, out);
  if (options.files.empty()) CYGNET_RETURN_IF_ERROR(UseDaemon(connect, &options));
  return options.action == "verify" ? RunVerify(options, out) : RunReport(options, out);
}

// False: not a command of this file.
bool FindAction(Words* words, Options* options) {
  while (words->Peek() == "-j" || words->Peek() == "--json") {
    options->json = true;
    words->Take();
  }
  if (!words->TakeIf("ledger")) return false;
  for (const std::string_view action : {"verify", "report", "key"}) {
    if (!words->TakeIf(action)) continue;
    options->action = action;
    return words->Peek() != "help" && words->Peek() != "--help";
  }
  return false;
}

}  // namespace

std::optional<int> RunLedgerCommand(std::span<const char* const> words,
                                    const OperatorConnector& connect, FILE* out, FILE* err) {
  Options options;
  Words rest(words);
  if (!FindAction(&rest, &options)) return std::nullopt;
  int status = kExitFailed;
  std::string error;
  try {
    ParseWords(&rest, &options);
    const auto done = Run(std::move(options), connect, out);
    if (done) status = *done;
    if (!done) error = done.error().message;
  } catch (const UsageError& usage) {
    status = kExitUsage;
    error = usage.text;
  }
  if (error.empty() && (fflush(out) != 0 || ferror(out) != 0)) {
    status = kExitFailed;
    error = "cannot write the output";
  }
  if (!error.empty()) fmt::print(err, "cygnet: {}\n", error);
  return status;
}

}  // namespace cygnet
