#include "cli/ledger_command.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/plain_text.h"
#include "chain/utc_time.h"
#include "cli/cygnet.h"
#include "cli/json_text.h"
#include "cli/ledger_files.h"
#include "cli/ledger_report.h"
#include "client/json_fields.h"

namespace cygnet {
namespace {

struct Options {
  std::string_view action;  // "verify", "report", "key"
  bool json = false;
  bool pretty = false;
  std::vector<std::string> files{};
  std::vector<std::string> keys{};
  std::vector<ChainHead> heads{};
  ReportQuery query{};
};

ChainHead HeadOf(const Json& json) {
  ChainHead head{.number = Number(json, "record"), .hash = {}};
  (void)ReadHex(Text(json, "hash"), head.hash.data(), head.hash.size());  // has been checked
  return head;
}

Options OptionsOf(const Arguments& arguments) {
  const Json& local = arguments.local;
  Options options{
      .action = arguments.command->word, .json = arguments.json, .pretty = arguments.pretty};
  options.files = local.value("files", std::vector<std::string>());
  options.keys = local.value("keys", std::vector<std::string>());
  for (const Json& head : Child(local, "heads")) options.heads.push_back(HeadOf(head));
  options.query.from_ms = local.value("from", options.query.from_ms);
  options.query.to_ms = local.value("to", options.query.to_ms);
  options.query.holder = Text(local, "holder");
  options.query.dst = Text(local, "dst");
  if (local.contains("spi")) options.query.spi = fmt::format("0x{:08x}", Number(local, "spi"));
  return options;
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
  if (options.json) fmt::print(out, "{}\n", JsonText(all, options.pretty));
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
    fmt::print(out, "{}\n", JsonText(reporter.AsJson(), options.pretty));
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
    const Json shown = {{"key", key}, {"error", Word(*stored, "ledger_key_error")}};
    fmt::print(out, "{}\n", JsonText(shown, options.pretty));
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

}  // namespace

Result<int> RunLedgerFiles(const Arguments& arguments, const OperatorConnector& connect,
                           FILE* out) {
  const auto status = Run(OptionsOf(arguments), connect, out);
  if (status && (fflush(out) != 0 || ferror(out) != 0)) {
    return MakeError(Errc::kIo, "cannot write the output");
  }
  return status;
}

}  // namespace cygnet
