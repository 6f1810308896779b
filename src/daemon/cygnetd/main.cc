// cygnetd: the daemon. The only place with a main loop and globals.
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>

#include "daemon/cygnetd/runtime.h"

namespace {

volatile bool g_stop = false;

void OnStopSignal(int) { g_stop = true; }

void SpdlogSink(cygnet::LogLevel level, std::string_view text) {
  static constexpr spdlog::level::level_enum kLevels[] = {spdlog::level::debug, spdlog::level::info,
                                                          spdlog::level::warn, spdlog::level::err};
  spdlog::log(kLevels[static_cast<int>(level)], "{}", text);
}

void SetUpLogging(cygnet::LogLevel level) {
  auto logger = spdlog::stderr_logger_mt("cygnetd");
  logger->set_pattern("%Y-%m-%d %H:%M:%S.%e cygnetd %l: %v");
  static constexpr spdlog::level::level_enum kLevels[] = {spdlog::level::debug, spdlog::level::info,
                                                          spdlog::level::warn, spdlog::level::err};
  logger->set_level(kLevels[static_cast<int>(level)]);
  logger->flush_on(spdlog::level::debug);
  spdlog::set_default_logger(logger);
  cygnet::SetLogSink(SpdlogSink);
}

int Fail(const std::string& text) {
  std::fprintf(stderr, "cygnetd: %s\n", text.c_str());
  return 1;
}

cygnet::Result<cygnet::Config> ReadConfig(const std::string& file, const std::string& wire) {
  if (!wire.empty()) return cygnet::DefaultConfig(wire);
  return cygnet::LoadConfig(file);
}

int Serve(const cygnet::Config& config) {
  SetUpLogging(config.log_level);
  struct sigaction action {};
  action.sa_handler = OnStopSignal;
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  signal(SIGPIPE, SIG_IGN);
  // Keys and users' plaintext are in this process: no core file, no other process's debugger.
  const rlimit no_core{0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  prctl(PR_SET_DUMPABLE, 0);
  cygnet::ServiceManager manager = cygnet::ServiceManager::FromEnvironment();
  auto runtime = cygnet::Runtime::Create(config);
  if (!runtime) return Fail(runtime.error().message);
  cygnet::Log(cygnet::LogLevel::kInfo, "ready");
  manager.Ready((*runtime)->Summary());
  (*runtime)->Run(g_stop, &manager);
  cygnet::Log(cygnet::LogLevel::kInfo, "stopping");
  manager.Stopping();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("cygnetd: IPsec (ESP) in user space, with NIC offload");
  std::string file = "/etc/cygnet/cygnetd.toml";
  std::string wire;
  bool check = false;
  auto* config_option =
      app.add_option("-c,--config", file, "configuration file")->capture_default_str();
  app.add_option("--wire", wire, "run with defaults and no file: own this interface as nic0")
      ->excludes(config_option);
  app.add_flag("--check", check, "check the configuration and stop");
  app.set_version_flag("--version", std::string("cygnetd " CYGNET_VERSION));
  CLI11_PARSE(app, argc, argv);

  const auto config = ReadConfig(file, wire);
  if (!config) return Fail(config.error().message);
  if (check) {
    const cygnet::Status status = cygnet::CheckConfig(*config);
    if (!status) return Fail(status.error().message);
    std::fputs(cygnet::DescribeConfig(*config).c_str(), stdout);
    return 0;
  }
  return Serve(*config);
}
