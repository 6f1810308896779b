#include "daemon/cluster/etcd_calls.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/clock.h"

namespace cygnet {
namespace {

constexpr std::size_t kMaxAnswer = 64u << 20;
constexpr uint64_t kMsNs = 1'000'000;
constexpr long kConnectMs = 1000;

uint64_t Now() { return SystemClock().MonotonicNs(); }

}  // namespace

EtcdCalls::EtcdCalls(EtcdParams params) : params_(std::move(params)) {
  // The first handle sets the library up.
  const CurlEasy first = NewEtcdHandle(params_);
  multi_.reset(curl_multi_init());
  CYGNET_CHECK(multi_ != nullptr && !params_.endpoints.empty());
}

EtcdCalls::~EtcdCalls() {
  for (const auto& call : calls_) curl_multi_remove_handle(multi_.get(), call->easy.get());
}

void EtcdCalls::Start(const char* path, std::string body, uint32_t timeout_ms, Done done) {
  Call* const call = Add(path, std::move(body), std::move(done));
  call->deadline_ns = Now() + timeout_ms * kMsNs;
  call->tries_left = params_.endpoints.size();
  Send(call);
}

uint64_t EtcdCalls::Stream(const char* path, std::string body, Data data, Done ended) {
  Call* const call = Add(path, std::move(body), std::move(ended));
  call->data = std::move(data);
  call->tries_left = 1;
  Send(call);
  return call->id;
}

void EtcdCalls::Stop(uint64_t stream) {
  const auto found = std::find_if(calls_.begin(), calls_.end(),
                                  [stream](const auto& call) { return call->id == stream; });
  if (found == calls_.end()) return;
  curl_multi_remove_handle(multi_.get(), (*found)->easy.get());
  calls_.erase(found);
}

void EtcdCalls::Wait(int fd, int timeout_ms) {
  curl_waitfd extra{};
  extra.fd = fd;
  extra.events = CURL_WAIT_POLLIN;
  curl_multi_poll(multi_.get(), &extra, 1, timeout_ms, nullptr);
}

void EtcdCalls::Work() {
  int running = 0;
  curl_multi_perform(multi_.get(), &running);
  PassData();
  int left = 0;
  while (const CURLMsg* const message = curl_multi_info_read(multi_.get(), &left)) {
    if (message->msg == CURLMSG_DONE) Finish(message->easy_handle, message->data.result);
  }
}

EtcdCalls::Call* EtcdCalls::Add(const char* path, std::string body, Done done) {
  auto call = std::make_unique<Call>();
  call->id = ++last_id_;
  call->easy = NewEtcdHandle(params_);
  call->path = path;
  call->body = std::move(body);
  call->done = std::move(done);
  CURL* const handle = call->easy.get();
  curl_easy_setopt(handle, CURLOPT_POSTFIELDS, call->body.data());
  curl_easy_setopt(handle, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(call->body.size()));
  curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, &EtcdCalls::Write);
  curl_easy_setopt(handle, CURLOPT_WRITEDATA, call.get());
  calls_.push_back(std::move(call));
  return calls_.back().get();
}

// Endpoints that are still to be asked share the time that is left.
void EtcdCalls::Send(Call* call) {
  CURL* const handle = call->easy.get();
  call->endpoint = current_;
  call->answer.clear();
  const std::string url = endpoint() + call->path;
  curl_easy_setopt(handle, CURLOPT_URL, url.c_str());
  long connect_ms = kConnectMs;
  if (call->deadline_ns != 0) {
    const uint64_t now = Now();
    const uint64_t left_ms = call->deadline_ns > now ? (call->deadline_ns - now) / kMsNs : 0;
    connect_ms = std::max<long>(static_cast<long>(left_ms / call->tries_left), 1);
    curl_easy_setopt(handle, CURLOPT_TIMEOUT_MS, connect_ms);
  }
  curl_easy_setopt(handle, CURLOPT_CONNECTTIMEOUT_MS, connect_ms);
  --call->tries_left;
  CYGNET_CHECK(curl_multi_add_handle(multi_.get(), handle) == CURLM_OK);
}

void EtcdCalls::Finish(CURL* handle, CURLcode code) {
  const auto found = std::find_if(calls_.begin(), calls_.end(), [handle](const auto& call) {
    return call->easy.get() == handle;
  });
  if (found == calls_.end()) return;
  curl_multi_remove_handle(multi_.get(), handle);
  Call* const call = found->get();
  long status = 0;
  curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &status);
  const char* local = nullptr;
  curl_easy_getinfo(handle, CURLINFO_LOCAL_IP, &local);
  if (code == CURLE_OK && local != nullptr) local_address_ = local;
  Result<std::string> result = MakeError(Errc::kNetworkDown);
  if (code != CURLE_OK) {
    result = MakeError(Errc::kNetworkDown,
                       params_.endpoints[call->endpoint] + ": " + curl_easy_strerror(code));
  } else if (status != 200) {
    result = ParseEtcdError(call->answer, status);
  } else {
    result = std::move(call->answer);
  }
  // A member that has no leader answers, too; another one may have one.
  if (!result && result.error().code == Errc::kNetworkDown) {
    if (call->endpoint == current_) current_ = (current_ + 1) % params_.endpoints.size();
    if (call->tries_left > 0 && Now() < call->deadline_ns) {
      Send(call);
      return;
    }
  }
  const std::unique_ptr<Call> ended = std::move(*found);
  calls_.erase(found);
  ended->done(result);
}

void EtcdCalls::PassData() {
  std::vector<uint64_t> streams;
  for (const auto& call : calls_) {
    if (call->data != nullptr && !call->answer.empty()) streams.push_back(call->id);
  }
  for (const uint64_t id : streams) {
    // Data of an earlier stream may have stopped this one.
    const auto found = std::find_if(calls_.begin(), calls_.end(),
                                    [id](const auto& call) { return call->id == id; });
    if (found == calls_.end()) continue;
    long status = 0;
    curl_easy_getinfo((*found)->easy.get(), CURLINFO_RESPONSE_CODE, &status);
    if (status != 200) continue;  // the reason of a refusal: Finish reads it
    const std::string bytes = std::exchange((*found)->answer, {});
    const Data data = (*found)->data;
    data(bytes);
  }
}

std::size_t EtcdCalls::Write(char* data, std::size_t size, std::size_t count, void* call) {
  std::string& answer = static_cast<Call*>(call)->answer;
  if (answer.size() + size * count > kMaxAnswer) return 0;
  answer.append(data, size * count);
  return size * count;
}

}  // namespace cygnet
