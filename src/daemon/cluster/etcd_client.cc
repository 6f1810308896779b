#include "daemon/cluster/etcd_client.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/clock.h"
#include "base/plain_text.h"

namespace cygnet {
namespace {

constexpr std::size_t kMaxAnswer = 64u << 20;
constexpr uint64_t kMillisecond = 1'000'000;

uint64_t Now() { return SystemClock().MonotonicNs(); }

// Once in the process, before any thread of ours uses it.
void InitializeCurl() {
  static const CURLcode done = curl_global_init(CURL_GLOBAL_DEFAULT);
  CYGNET_CHECK(done == CURLE_OK);
}

// Headers are the same for each request. A list must outlive its handle: this one outlives all.
curl_slist* Headers() {
  static curl_slist* const list = [] {
    curl_slist* made = curl_slist_append(nullptr, "Content-Type: application/json");
    return curl_slist_append(made, "Expect:");  // no round trip before a large body
  }();
  return list;
}

void SetFile(CURL* handle, CURLoption option, const std::string& path) {
  if (!path.empty()) curl_easy_setopt(handle, option, path.c_str());
}

template <typename T>
Result<T> Parsed(const Result<std::string>& body, Result<T> (*parse)(std::string_view)) {
  if (!body) return body.error();
  return parse(*body);
}

}  // namespace

CurlEasy NewEtcdHandle(const EtcdParams& params) {
  InitializeCurl();
  CurlEasy easy(curl_easy_init());
  CYGNET_CHECK(easy != nullptr);
  CURL* const handle = easy.get();
  curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(handle, CURLOPT_PROXY, "");  // whatever the environment says
  curl_easy_setopt(handle, CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(handle, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(handle, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  curl_easy_setopt(handle, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  curl_easy_setopt(handle, CURLOPT_SSL_VERIFYPEER, 1L);
  curl_easy_setopt(handle, CURLOPT_SSL_VERIFYHOST, 2L);
  SetFile(handle, CURLOPT_CAINFO, params.ca_file);
  SetFile(handle, CURLOPT_SSLCERT, params.certificate);
  SetFile(handle, CURLOPT_SSLKEY, params.private_key);
  curl_easy_setopt(handle, CURLOPT_TCP_KEEPALIVE, 1L);
  curl_easy_setopt(handle, CURLOPT_HTTPHEADER, Headers());
  curl_easy_setopt(handle, CURLOPT_POST, 1L);
  return easy;
}

EtcdClient::EtcdClient(EtcdParams params)
    : params_(std::move(params)), easy_(NewEtcdHandle(params_)), multi_(curl_multi_init()) {
  CYGNET_CHECK(multi_ != nullptr && !params_.endpoints.empty());
  curl_easy_setopt(easy_.get(), CURLOPT_WRITEFUNCTION, &EtcdClient::Write);
  curl_easy_setopt(easy_.get(), CURLOPT_WRITEDATA, this);
}

EtcdClient::~EtcdClient() { Detach(); }

std::size_t EtcdClient::Write(char* data, std::size_t size, std::size_t count, void* self) {
  std::string& answer = static_cast<EtcdClient*>(self)->request_->answer;
  if (answer.size() + size * count > kMaxAnswer) return 0;
  answer.append(data, size * count);
  return size * count;
}

// --- Without waiting ---

void EtcdClient::Start(const char* path, std::string body, uint32_t timeout_ms) {
  CYGNET_CHECK(!busy());
  request_ = Request{.path = path,
                     .body = std::move(body),
                     .answer = {},
                     .deadline_ns = Now() + timeout_ms * kMillisecond,
                     .tries_left = params_.endpoints.size(),
                     .trouble = {}};
  Send();
}

// Endpoints that are still to be asked share the time that is left.
void EtcdClient::Send() {
  const uint64_t now = Now();
  const uint64_t left_ms =
      request_->deadline_ns > now ? (request_->deadline_ns - now) / kMillisecond : 0;
  const auto part = std::max<long>(static_cast<long>(left_ms / request_->tries_left), 1);
  --request_->tries_left;
  request_->answer.clear();
  CURL* const handle = easy_.get();
  const std::string url = endpoint() + request_->path;
  curl_easy_setopt(handle, CURLOPT_URL, url.c_str());
  curl_easy_setopt(handle, CURLOPT_POSTFIELDS, request_->body.data());
  curl_easy_setopt(handle, CURLOPT_POSTFIELDSIZE_LARGE,
                   static_cast<curl_off_t>(request_->body.size()));
  curl_easy_setopt(handle, CURLOPT_TIMEOUT_MS, part);
  curl_easy_setopt(handle, CURLOPT_CONNECTTIMEOUT_MS, part);
  CYGNET_CHECK(curl_multi_add_handle(multi_.get(), handle) == CURLM_OK);
  is_attached_ = true;
}

void EtcdClient::Detach() {
  if (std::exchange(is_attached_, false)) curl_multi_remove_handle(multi_.get(), easy_.get());
}

void EtcdClient::Abandon() {
  Detach();
  request_.reset();
}

std::optional<Result<std::string>> EtcdClient::Poll(int wait_ms) {
  if (!busy()) return std::nullopt;
  if (auto done = Finished()) return done;
  if (wait_ms == 0) return std::nullopt;
  curl_multi_poll(multi_.get(), nullptr, 0, wait_ms, nullptr);
  return Finished();
}

std::optional<Result<std::string>> EtcdClient::Finished() {
  int running = 0;
  curl_multi_perform(multi_.get(), &running);
  int left = 0;
  while (const CURLMsg* const message = curl_multi_info_read(multi_.get(), &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    const CURLcode code = message->data.result;
    Detach();
    return Judge(code);
  }
  return std::nullopt;
}

std::optional<Result<std::string>> EtcdClient::Judge(CURLcode code) {
  if (code != CURLE_OK) return TryNext(curl_easy_strerror(code));
  long status = 0;
  curl_easy_getinfo(easy_.get(), CURLINFO_RESPONSE_CODE, &status);
  if (status == 200) {
    Result<std::string> answer(std::move(request_->answer));
    request_.reset();
    return answer;
  }
  const Error error = ParseEtcdError(request_->answer, status);
  if (error.code == Errc::kNetworkDown) return TryNext(error.message);
  request_.reset();
  return Result<std::string>(error);
}

std::optional<Result<std::string>> EtcdClient::TryNext(const std::string& trouble) {
  if (!request_->trouble.empty()) request_->trouble += "; ";
  request_->trouble += endpoint() + ": " + trouble;
  current_ = (current_ + 1) % params_.endpoints.size();
  if (request_->tries_left > 0 && request_->deadline_ns > Now()) {
    Send();
    return std::nullopt;
  }
  const std::string all = request_->trouble;
  request_.reset();
  return Result<std::string>(MakeError(Errc::kNetworkDown, all));
}

// --- Calls that wait ---

Result<std::string> EtcdClient::Call(const char* path, std::string body, uint32_t timeout_ms) {
  constexpr int kTurnMs = 10;
  Start(path, std::move(body), timeout_ms);
  for (;;) {
    if (auto done = Poll(kTurnMs)) return *std::move(done);
    CallWhileWaiting();
  }
}

Result<EtcdRangeAnswer> EtcdClient::Range(const EtcdOp& range, uint32_t timeout_ms) {
  return Parsed(Call("/v3/kv/range", EtcdRangeBody(range), timeout_ms), &ParseEtcdRange);
}

Result<EtcdTxnAnswer> EtcdClient::Txn(const EtcdTxn& txn, uint32_t timeout_ms) {
  return Parsed(Call("/v3/kv/txn", EtcdTxnBody(txn), timeout_ms), &ParseEtcdTxn);
}

Result<EtcdLeaseAnswer> EtcdClient::LeaseGrant(int64_t ttl_s, uint32_t timeout_ms) {
  return Parsed(Call("/v3/lease/grant", EtcdLeaseGrantBody(ttl_s, 0), timeout_ms), &ParseEtcdLease);
}

Result<EtcdLeaseAnswer> EtcdClient::LeaseKeepAlive(int64_t id, uint32_t timeout_ms) {
  return Parsed(Call("/v3/lease/keepalive", EtcdLeaseBody(id), timeout_ms), &ParseEtcdLease);
}

Status EtcdClient::LeaseRevoke(int64_t id, uint32_t timeout_ms) {
  const auto done = Call("/v3/lease/revoke", EtcdLeaseBody(id), timeout_ms);
  if (!done) return done.error();
  return {};
}

}  // namespace cygnet
