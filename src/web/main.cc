// cygnet-web: a page to look at, and /metrics. Two processes: one reads cygnetd and holds
// CAP_NET_ADMIN (web/reader.h), the other serves and holds nothing.
#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <string>
#include <thread>

#include "base/errno_error.h"
#include "base/plain_text.h"
#include "web/options.h"
#include "web/privileges.h"
#include "web/reader.h"
#include "web/site.h"

namespace cygnet::web {
namespace {

constexpr int kExitWrong = 1;
constexpr int kExitFailed = 2;

int Complain(int status, const std::string& text) {
  std::fprintf(stderr, "cygnet-web: %s\n", PlainText(text).c_str());
  return status;
}

// The reading process. Returns its exit status.
int RunReader(UniqueFd channel, const std::string& user) {
  // Nothing else that the other process has is for this one.
  const int fd = dup2(channel.get(), STDERR_FILENO + 1);
  if (channel.get() == fd) (void)channel.Release();
  channel.Reset();
  (void)close_range(static_cast<unsigned>(fd) + 1, ~0u, 0);
  const Status dropped = DropPrivileges(user, Keep::kNetAdmin);
  if (!dropped) return Complain(kExitFailed, dropped.error().message);
  // The other process ends both: its end of the channel closes.
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) std::signal(signal, SIG_IGN);
  ServeReadings(UniqueFd(fd), OperatorClient::Connect);
  return 0;
}

// The end of the channel to a new reading process.
Result<UniqueFd> StartReader(const std::string& user) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
    return ErrnoError("socketpair");
  UniqueFd ours(ends[0]);
  UniqueFd readers(ends[1]);
  const pid_t child = fork();
  if (child < 0) return ErrnoError("fork");
  if (child == 0) {
    ours.Reset();
    _exit(RunReader(std::move(readers), user));
  }
  return ours;
}

std::string UrlOf(const Options& options) {
  const bool v6 = options.address.find(':') != std::string::npos;
  return (options.tls() ? "https://" : "http://") +
         (v6 ? "[" + options.address + "]" : options.address) + ":" + std::to_string(options.port) +
         "/";
}

// Serves until a signal ends it, or until the reader has ended.
int Serve(const Options& options, HttpServer* server, UniqueFd channel, const sigset_t& signals) {
  History history(options.history_file);
  Monitor monitor(ReaderClient(std::move(channel)), &history);
  AddRoutes(server, &monitor, &history, {.per_sa = options.per_sa, .node_exporter_names = true});
  bool reader_ended = false;
  std::thread reading([&] {
    if (monitor.Run()) return;
    reader_ended = true;
    (void)kill(getpid(), SIGTERM);
  });
  std::thread serving([&] { (void)server->listen_after_bind(); });
  std::fprintf(stderr, "cygnet-web: listening on %s\n", UrlOf(options).c_str());
  int signal = 0;
  (void)sigwait(&signals, &signal);
  monitor.Stop();
  // A server that has not begun to listen would not hear it.
  while (!server->is_running()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  server->stop();
  serving.join();
  reading.join();
  return reader_ended ? Complain(kExitFailed, "the reading process has ended; see above") : 0;
}

int Run(const Options& options) {
  std::string token;
  if (!options.token_file.empty()) {
    Result<std::string> read = ReadToken(options.token_file);
    if (!read) return Complain(kExitWrong, read.error().message);
    token = *std::move(read);
  }
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal);
  Result<UniqueFd> channel = StartReader(options.user);
  if (!channel) return Complain(kExitFailed, channel.error().message);
  // From here on in every thread.
  (void)pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  HttpServer server(Gate(options.hosts, std::move(token)));
  if (options.tls()) {
    const Status tls = server.UseTls(options.certificate_file, options.key_file);
    if (!tls) return Complain(kExitWrong, tls.error().message);
  }
  if (!server.bind_to_port(options.address, options.port)) {
    return Complain(kExitFailed, ErrnoError("cannot listen on " + UrlOf(options)).message);
  }
  const Status dropped = DropPrivileges(options.user, Keep::kNothing);
  if (!dropped) return Complain(kExitFailed, dropped.error().message);
  return Serve(options, &server, *std::move(channel), signals);
}

}  // namespace
}  // namespace cygnet::web

int main(int argc, char** argv) {
  cygnet::web::Options options;
  CLI::App app("A page that shows what Cygnet does, and metrics for Prometheus; see cygnet-web(8)",
               "cygnet-web");
  app.add_option("--address", options.address, "IP address to listen on")->capture_default_str();
  app.add_option("--port", options.port, "port")
      ->capture_default_str()
      ->check(CLI::Range(1, 65535));
  app.add_option("--host", options.hosts, "name by which browsers may call this server");
  app.add_option("--token", options.token_file, "file with the token that visitors need");
  app.add_option("--certificate", options.certificate_file, "certificate (PEM), for TLS");
  app.add_option("--key", options.key_file, "its private key (PEM)");
  app.add_option("--history", options.history_file,
                 "file for a month of history; none: no history");
  app.add_option("--per-sa", options.per_sa, "SAs with metrics of their own")
      ->capture_default_str()
      ->check(CLI::Range(0, 10'000));
  app.add_flag_callback(
      "--no-per-sa", [&options] { options.per_sa = 0; }, "the same as --per-sa 0");
  app.add_option("--user", options.user, "user that root becomes")->capture_default_str();
  app.set_version_flag("--version", "cygnet-web " CYGNET_VERSION);
  CLI11_PARSE(app, argc, argv);
  const cygnet::Status checked = cygnet::web::CheckOptions(options);
  if (!checked) return cygnet::web::Complain(cygnet::web::kExitWrong, checked.error().message);
  return cygnet::web::Run(options);
}
