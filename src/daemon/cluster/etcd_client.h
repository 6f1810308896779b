// EtcdClient: requests to etcd's JSON gateway, by libcurl. It has one connection, to one of the
// endpoints; if that one does not answer, the next endpoint gets the same request. So a request
// may take effect twice: transactions compare the revision of what they change.
//
// One request at a time. Calls wait for the answer; Start and Poll do not. One thread.
//
// Errors: kNetworkDown: no answer in time, the request may have taken effect or not. kNoEntry: no
// such lease. kAccess: etcd's users and roles do not allow it. kNoSpace: etcd's quota is used up.
// kInvalid: etcd refused the request, or the answer cannot be read.
#pragma once

#include <curl/curl.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "daemon/cluster/etcd_json.h"

namespace cygnet {

struct EtcdParams {
  std::vector<std::string> endpoints;  // "https://HOST:PORT"; one at least
  // Files, PEM; empty: none. `ca_file` empty: the host's own authorities.
  std::string ca_file{};
  std::string certificate{};
  std::string private_key{};
};

struct CurlEasyDeleter {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};
struct CurlMultiDeleter {
  void operator()(CURLM* handle) const { curl_multi_cleanup(handle); }
};
struct CurlListDeleter {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using CurlEasy = std::unique_ptr<CURL, CurlEasyDeleter>;
using CurlMulti = std::unique_ptr<CURLM, CurlMultiDeleter>;
using CurlList = std::unique_ptr<curl_slist, CurlListDeleter>;

// A handle with all that requests to this store have in common: TLS, no proxy, no signals, POST.
// For who has a curl multi handle of its own (the watch stream). The caller adds the URL
// (ENDPOINT + path), body, time-outs and a write function. `params` need not outlive it.
CurlEasy NewEtcdHandle(const EtcdParams& params);

class EtcdClient {
 public:
  explicit EtcdClient(EtcdParams params);
  ~EtcdClient();
  EtcdClient(const EtcdClient&) = delete;
  EtcdClient& operator=(const EtcdClient&) = delete;

  // Called at least each 10 ms while a call waits. It must not use this client.
  void SetWhileWaiting(std::function<void()> run) { while_waiting_ = std::move(run); }

  void CallWhileWaiting() const {
    if (while_waiting_) while_waiting_();
  }

  // --- Calls that wait, `timeout_ms` at most, for all endpoints together ---
  Result<EtcdRangeAnswer> Range(const EtcdOp& range, uint32_t timeout_ms);
  Result<EtcdTxnAnswer> Txn(const EtcdTxn& txn, uint32_t timeout_ms);
  Result<EtcdLeaseAnswer> LeaseGrant(int64_t ttl_s, uint32_t timeout_ms);
  // ttl_s 0: the lease is gone.
  Result<EtcdLeaseAnswer> LeaseKeepAlive(int64_t id, uint32_t timeout_ms);
  Status LeaseRevoke(int64_t id, uint32_t timeout_ms);
  // The body of the answer.
  Result<std::string> Call(const char* path, std::string body, uint32_t timeout_ms);

  // --- Without waiting ---
  // REQUIRES: not busy().
  void Start(const char* path, std::string body, uint32_t timeout_ms);
  // The answer, if it is there now or within `wait_ms`.
  std::optional<Result<std::string>> Poll(int wait_ms = 0);
  bool busy() const { return request_.has_value(); }
  // Forgets the request that is under way. It may take effect.
  void Abandon();

  // The endpoint that answered last, or is asked next.
  const std::string& endpoint() const { return params_.endpoints[current_]; }

 private:
  struct Request {
    const char* path = nullptr;
    std::string body;
    std::string answer;
    uint64_t deadline_ns = 0;
    std::size_t tries_left = 0;
    std::string trouble;  // of the endpoints before
  };

  void Send();
  void Detach();
  std::optional<Result<std::string>> Finished();
  std::optional<Result<std::string>> Judge(CURLcode code);
  std::optional<Result<std::string>> TryNext(const std::string& trouble);
  static std::size_t Write(char* data, std::size_t size, std::size_t count, void* self);

  const EtcdParams params_;
  std::function<void()> while_waiting_;
  std::size_t current_ = 0;
  CurlEasy easy_;
  CurlMulti multi_;
  std::optional<Request> request_;
  bool is_attached_ = false;
};

}  // namespace cygnet
