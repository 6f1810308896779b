// HttpServer: cpp-httplib's server, with connections of our own (deadlines, TLS) and the gate
// before every request.
#pragma once

#include <httplib.h>
#include <openssl/ssl.h>

#include <atomic>
#include <memory>
#include <string>

#include "base/result.h"
#include "web/gate.h"

namespace cygnet::web {

class HttpServer final : public httplib::Server {
 public:
  // Threads that answer. A page that is open keeps one of them (events), and no more than
  // kMostPages may.
  static constexpr std::size_t kThreads = 24;
  static constexpr int kMostPages = 12;
  // Further connections that may wait for a thread; more are closed at once.
  static constexpr std::size_t kMostWaiting = 128;

  explicit HttpServer(Gate gate);

  // From now on with TLS. Reads the files at once.
  Status UseTls(const std::string& certificate_file, const std::string& key_file);

 private:
  struct FreeContext {
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  };

  bool process_and_close_socket(socket_t socket) override;
  HandlerResponse LetIn(const httplib::Request& request, httplib::Response* response) const;

  const Gate gate_;
  std::unique_ptr<SSL_CTX, FreeContext> tls_;
};

}  // namespace cygnet::web
