// A real etcd with one member, on a free port of 127.0.0.1, with its data in a folder of its own.
// It ends with the test. For tests only.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/unique_fd.h"
#include "daemon/cluster/etcd_client.h"
#include "support/tls_files.h"

namespace cygnet::test {

// A port of 127.0.0.1 that nobody uses at present.
inline uint16_t FreePort() {
  const UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  EXPECT_EQ(bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  return ntohs(address.sin_port);
}

class EtcdServer {
 public:
  enum class Transport { kPlain, kTls };

  // kTls: clients need a certificate of its authority, too; it has params() for one.
  explicit EtcdServer(Transport transport = Transport::kPlain, std::vector<std::string> more = {})
      : more_(std::move(more)) {
    // In memory: on a disk that others use, a transaction may take seconds.
    std::string name = "/dev/shm/cygnet_etcd.XXXXXX";
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
    client_port_ = FreePort();
    peer_port_ = FreePort();
    if (transport == Transport::kTls) tls_.emplace(folder_);
    Start();
  }
  ~EtcdServer() {
    Kill();
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  EtcdServer(const EtcdServer&) = delete;
  EtcdServer& operator=(const EtcdServer&) = delete;

  static bool IsInstalled() { return access("/usr/bin/etcd", X_OK) == 0; }

  uint16_t port() const { return client_port_; }
  std::string endpoint() const { return Url(client_port_, tls_ ? "https" : "http"); }
  EtcdParams params() const {
    EtcdParams params{.endpoints = {endpoint()}};
    if (!tls_) return params;
    params.ca_file = tls_->Path("ca.pem");
    params.certificate = tls_->Path("client.pem");
    params.private_key = tls_->Path("client.key");
    return params;
  }
  pid_t pid() const { return pid_; }

  // Starts it again, and waits until it answers.
  void Start() {
    Launch();
    EtcdClient client(params());
    for (int tries = 0; tries < 200; ++tries) {
      if (client.Range(EtcdGet("x"), 500)) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    ADD_FAILURE() << "etcd does not start; see " << folder_ << "/log";
  }
  void Kill() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }
  void Suspend() {
    kill(pid_, SIGSTOP);
    waitpid(pid_, nullptr, WUNTRACED);
  }
  void Resume() { kill(pid_, SIGCONT); }

  // Its data as they are now. It ends for it, and starts again.
  void TakeBackup() {
    Kill();
    std::filesystem::remove_all(folder_ + "/backup");
    std::filesystem::copy(Data(), folder_ + "/backup", std::filesystem::copy_options::recursive);
    Start();
  }
  void RestoreBackup() {
    Kill();
    std::filesystem::remove_all(Data());
    std::filesystem::copy(folder_ + "/backup", Data(), std::filesystem::copy_options::recursive);
    Start();
  }
  // It begins empty; `token` is another one for another cluster ID.
  void Wipe(const std::string& token = "one") {
    Kill();
    std::filesystem::remove_all(Data());
    token_ = token;
    Start();
  }

 private:
  static std::string Url(uint16_t port, const char* scheme = "http") {
    return scheme + std::string("://127.0.0.1:") + std::to_string(port);
  }
  std::string Data() const { return folder_ + "/data"; }

  void Launch() {
    std::vector<std::string> words{"/usr/bin/etcd",
                                   "--data-dir=" + Data(),
                                   "--listen-client-urls=" + endpoint(),
                                   "--advertise-client-urls=" + endpoint(),
                                   "--listen-peer-urls=" + Url(peer_port_),
                                   "--initial-advertise-peer-urls=" + Url(peer_port_),
                                   "--initial-cluster=default=" + Url(peer_port_),
                                   "--initial-cluster-token=" + token_};
    if (tls_) {
      for (const auto& [option, file] : {std::pair("cert-file", "server.pem"),
                                         {"key-file", "server.key"},
                                         {"trusted-ca-file", "ca.pem"}}) {
        words.push_back(std::string("--") + option + "=" + tls_->Path(file));
      }
      words.push_back("--client-cert-auth");
    }
    words.insert(words.end(), more_.begin(), more_.end());
    std::vector<char*> arguments;
    for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    const UniqueFd log(
        open((folder_ + "/log").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
    const pid_t parent = getpid();
    pid_ = fork();
    if (pid_ != 0) return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    dup2(log.get(), STDOUT_FILENO);
    dup2(log.get(), STDERR_FILENO);
    execv(arguments[0], arguments.data());
    _exit(127);
  }

  const std::vector<std::string> more_;  // arguments
  std::string folder_;
  std::optional<TlsFiles> tls_;
  std::string token_ = "one";
  uint16_t client_port_ = 0;
  uint16_t peer_port_ = 0;
  pid_t pid_ = -1;
};

}  // namespace cygnet::test
