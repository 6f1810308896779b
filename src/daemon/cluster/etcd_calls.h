// EtcdCalls: requests to etcd's JSON gateway of which many are under way at once, and streams. What
// EtcdClient is for who waits. An endpoint that does not answer is followed by the next one, so a
// request may take effect twice. Errors are those of EtcdClient.
//
// One thread, except Wake.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "daemon/cluster/etcd_client.h"

namespace cygnet {

class EtcdCalls {
 public:
  using Done = std::function<void(const Result<std::string>& body)>;
  using Data = std::function<void(std::string_view bytes)>;

  explicit EtcdCalls(EtcdParams params);
  ~EtcdCalls();
  EtcdCalls(const EtcdCalls&) = delete;
  EtcdCalls& operator=(const EtcdCalls&) = delete;

  // Work calls `done`, once, after `timeout_ms` at the latest.
  void Start(const char* path, std::string body, uint32_t timeout_ms, Done done);
  // A request whose answer does not end. Work calls `data` with what arrives, and `ended` when the
  // stream breaks. Returns its number, for Stop.
  uint64_t Stream(const char* path, std::string body, Data data, Done ended);
  // Ends a stream; nothing of it is called any more.
  void Stop(uint64_t stream);

  // Waits until there is work, `fd` is readable, or somebody calls Wake.
  void Wait(int fd, int timeout_ms);
  // Moves all requests on. Callbacks may start and stop requests.
  void Work();
  // Any thread.
  void Wake() { curl_multi_wakeup(multi_.get()); }

  // The endpoint that new requests go to.
  const std::string& endpoint() const { return params_.endpoints[current_]; }
  // The address of this host that the last answer came to. Empty: there was none.
  const std::string& local_address() const { return local_address_; }

 private:
  struct Call {
    uint64_t id = 0;
    CurlEasy easy{};
    const char* path = nullptr;
    std::string body{};
    std::string answer{};
    uint64_t deadline_ns = 0;  // 0: a stream
    std::size_t tries_left = 0;
    std::size_t endpoint = 0;
    Done done{};
    Data data{};
  };
  using Calls = std::list<std::unique_ptr<Call>>;

  Call* Add(const char* path, std::string body, Done done);
  void Send(Call* call);
  void Finish(CURL* handle, CURLcode code);
  void PassData();
  static std::size_t Write(char* data, std::size_t size, std::size_t count, void* call);

  const EtcdParams params_;
  CurlMulti multi_;
  Calls calls_;
  std::size_t current_ = 0;
  std::string local_address_;
  uint64_t last_id_ = 0;
};

}  // namespace cygnet
