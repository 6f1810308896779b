// cygnetd: the daemon. The only place with a main loop and globals.
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "base/text_file.h"
#include "daemon/cygnetd/runtime.h"
#include "daemon/cygnetd/settings.h"
#include "daemon/cygnetd/supervisor.h"
#include "daemon/fence/fence_command.h"
#include "daemon/system/journal_log.h"

namespace {

cygnet::Signals g_signals;

void OnStopSignal(int) { g_signals.stop = 1; }

// Before a stop: the next process follows at once.
void OnRestartSignal(int) { g_signals.restart = 1; }

void OnReloadSignal(int, siginfo_t* info, void*) {
  g_signals.reload_uid = info->si_uid;
  g_signals.reload_pid = info->si_pid;
  g_signals.reload = 1;
}

spdlog::level::level_enum SpdlogLevel(cygnet::LogLevel level) {
  static constexpr spdlog::level::level_enum kLevels[] = {spdlog::level::debug, spdlog::level::info,
                                                          spdlog::level::warn, spdlog::level::err};
  return kLevels[static_cast<int>(level)];
}

bool InJournal() {
  static const bool kInJournal =
      cygnet::IsJournalStream(STDERR_FILENO, std::getenv("JOURNAL_STREAM"));
  return kInJournal;
}

void SpdlogSink(cygnet::LogLevel level, std::string_view text) {
  spdlog::log(SpdlogLevel(level), "{}",
              InJournal() ? cygnet::JournalLine(level, text) : cygnet::OneLine(text));
}

void SetUpLogging(cygnet::LogLevel level) {
  auto logger = spdlog::stderr_logger_mt("cygnetd");
  logger->set_pattern(InJournal() ? "%v" : "%Y-%m-%d %H:%M:%S.%e cygnetd %l: %v");
  logger->set_level(SpdlogLevel(level));
  logger->flush_on(spdlog::level::debug);
  spdlog::set_default_logger(logger);
  cygnet::SetLogSink(SpdlogSink);
}

int Fail(const std::string& text) {
  const std::string line = InJournal() ? cygnet::JournalLine(cygnet::LogLevel::kError, text)
                                       : "cygnetd: " + cygnet::OneLine(text);
  std::fprintf(stderr, "%s\n", line.c_str());
  return 1;
}

void SetUpSignals() {
  struct sigaction action {};
  action.sa_handler = OnStopSignal;
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGQUIT, &action, nullptr);
  struct sigaction restart {};
  restart.sa_handler = OnRestartSignal;
  sigaction(SIGUSR1, &restart, nullptr);
  struct sigaction reload {};
  reload.sa_sigaction = OnReloadSignal;
  reload.sa_flags = SA_SIGINFO;
  sigaction(SIGHUP, &reload, nullptr);
  // By default these would end the daemon, and it has no use for them.
  for (const int number : {SIGPIPE, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGXFSZ}) {
    signal(number, SIG_IGN);
  }
}

cygnet::Result<cygnet::Config> ReadConfig(const std::string& file, const std::string& wire) {
  if (!wire.empty()) return cygnet::DefaultConfig(wire);
  return cygnet::LoadConfig(file);
}

// Shuts the wires that an invalid configuration file names. Returns the outcome, for the error.
std::string ShutWhatItNames(const std::string& file) {
  const auto text = cygnet::ReadTextFile(file);
  if (!text) return " (no wire was shut: the file cannot be read)";
  const std::vector<std::string> wires = cygnet::WiresNamedIn(*text);
  if (wires.empty()) return " (no wire was shut: the file names no wire)";
  const cygnet::Status status = cygnet::ShutWires(wires);
  if (!status) return " (the wires that it names are NOT shut: " + status.error().message + ")";
  return " (the wires that it names are shut)";
}

// For early boot: shuts the wires that the file names, even if the file is invalid.
int Fence(const std::string& file, const std::string& wire) {
  const auto config = ReadConfig(file, wire);
  if (!config) return Fail("--fence: " + config.error().message + ShutWhatItNames(file));
  const cygnet::Status status = cygnet::ShutWires(cygnet::FencedWires(*config));
  return status ? 0 : Fail("--fence: " + status.error().message);
}

// An operator gives a wire back to the host's own stack.
int Release(const std::string& file, const std::string& name) {
  const auto config = cygnet::LoadConfig(file);
  const auto wire = cygnet::ReleaseWire(name, config ? &*config : nullptr);
  if (!wire) {
    std::string text = "--release: " + wire.error().message;
    if (!config && wire.error().code == cygnet::Errc::kNoEntry) {
      text +=
          "; device names are unknown because the configuration cannot be read (name the wire): " +
          config.error().message;
    }
    return Fail(text);
  }
  std::printf("released %s: the host's own stack may use it\n", wire->c_str());
  return 0;
}

int Check(const cygnet::Config& config, cygnet::CheckScope scope) {
  const cygnet::Status status = cygnet::CheckConfig(config, scope);
  if (!status) return Fail(status.error().message);
  const bool here = scope == cygnet::CheckScope::kThisMachine;
  for (const std::string& wire : here ? cygnet::MissingWires(config) : std::vector<std::string>{}) {
    std::fprintf(stderr, "cygnetd: interface '%s' does not exist yet: cygnetd would wait for it\n",
                 wire.c_str());
  }
  std::fputs(cygnet::DescribeConfig(config).c_str(), stdout);
  std::printf("# memory: %s\n# ok\n", cygnet::DescribeMemoryOf(config).c_str());
  return 0;
}

int Serve(const cygnet::Config& config, std::function<cygnet::Result<cygnet::Config>()> again) {
  SetUpLogging(config.log_level);
  SetUpSignals();
  // This process holds keys and users' plaintext: it writes no core file and no debugger attaches.
  const rlimit no_core{0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  prctl(PR_SET_DUMPABLE, 0);
  cygnet::ServiceManager manager = cygnet::ServiceManager::FromEnvironment();
  auto kept = cygnet::KeptDescriptors::FromEnvironment(&manager);
  auto runtime = cygnet::Runtime::Create(
      config,
      {.read_config = std::move(again),
       .set_log_level =
           [](cygnet::LogLevel level) { spdlog::default_logger()->set_level(SpdlogLevel(level)); },
       .signals = &g_signals,
       .manager = &manager,
       .kept = &kept});
  if (!runtime) return Fail(runtime.error().message);
  cygnet::Log(cygnet::LogLevel::kInfo, "ready");
  manager.Ready((*runtime)->Summary());
  (*runtime)->Run(&g_signals, &manager);
  cygnet::Log(cygnet::LogLevel::kInfo, "stopping" + (*runtime)->WhatStaysShut());
  manager.Stopping();
  return 0;
}

std::vector<std::string> OfTheChild(int argc, char** argv) {
  std::vector<std::string> arguments(argv + 1, argv + argc);
  std::erase(arguments, "--supervise");
  return arguments;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("cygnetd: IPsec (ESP) in user space, with NIC offload");
  std::string file = "/etc/cygnet/cygnetd.toml";
  std::string wire;
  std::string release;
  bool check = false;
  bool fence = false;
  bool no_interfaces = false;
  bool keys = false;
  bool supervise = false;
  auto* config_option =
      app.add_option("-c,--config", file, "configuration file")->capture_default_str();
  app.add_option("--wire", wire, "run without a configuration file: own this interface as nic0")
      ->excludes(config_option);
  auto* check_flag = app.add_flag("--check", check, "check the configuration and stop");
  app.add_flag("--no-interfaces", no_interfaces,
               "with --check: the interfaces need not exist on this machine")
      ->needs(check_flag);
  app.add_flag("--keys", keys, "list the keys of the configuration file and stop");
  auto* fence_option = app.add_flag(
      "--fence", fence, "shut the configured wires against the host's own stack and stop");
  app.add_option("--release", release,
                 "give a wire (or the wire of a device) back to the host's own stack and stop")
      ->excludes(fence_option);
  app.add_flag("--supervise", supervise,
               "run as a parent that starts cygnetd again and keeps its SAs meanwhile")
      ->excludes(check_flag)
      ->excludes(fence_option);
  app.set_version_flag("--version", std::string("cygnetd " CYGNET_VERSION));
  CLI11_PARSE(app, argc, argv);

  if (keys) return std::fputs(cygnet::DescribeKeys().c_str(), stdout) < 0 ? 1 : 0;
  if (fence) return Fence(file, wire);
  if (!release.empty()) return Release(file, release);
  if (supervise) return cygnet::Supervise(OfTheChild(argc, argv));
  const auto config = ReadConfig(file, wire);
  if (!config) return Fail(config.error().message + (check ? "" : ShutWhatItNames(file)));
  if (check) {
    return Check(*config, no_interfaces ? cygnet::CheckScope::kNoInterfaces
                                        : cygnet::CheckScope::kThisMachine);
  }
  try {
    return Serve(*config, [file, wire] { return ReadConfig(file, wire); });
  } catch (const std::bad_alloc&) {
    return Fail("out of memory: reduce daemon.flow_cache, daemon.workers, [pools] or sa_limit");
  }
}
