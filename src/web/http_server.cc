#include "web/http_server.h"

#include <openssl/err.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>

#include "web/connection.h"

namespace cygnet::web {
namespace {

std::string TlsError() {
  std::array<char, 256> text{};
  ERR_error_string_n(ERR_get_error(), text.data(), text.size());
  return text.data();
}

// The page may load its own files and talk to this server, and nothing else.
httplib::Headers SafeHeaders() {
  return {{"Content-Security-Policy",
           "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src "
           "'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
          {"X-Content-Type-Options", "nosniff"},
          {"X-Frame-Options", "DENY"},
          {"Referrer-Policy", "no-referrer"},
          {"Cross-Origin-Resource-Policy", "same-origin"},
          {"Cross-Origin-Opener-Policy", "same-origin"},
          {"Cache-Control", "no-store"}};
}

// Parts of a file, many times over, would make a large answer of a small request; and nothing here
// is large enough to be compressed.
void Simplify(httplib::Request& request) {  // NOLINT: cpp-httplib's signature
  request.ranges.clear();
  request.headers.erase("Range");
  request.headers.erase("Accept-Encoding");
}

// Set while a connection is to be closed unheard, by the thread that has it.
thread_local bool t_refused = false;

// cpp-httplib's threads, with a bound on the connections that wait for one: clients that say
// nothing would use up all descriptors, and each waits for its deadline before the server can end.
class Waiting final : public httplib::TaskQueue {
 public:
  void enqueue(std::function<void()> answer) override {
    if (waiting_ >= HttpServer::kMostWaiting) return Refuse(answer);
    ++waiting_;
    pool_.enqueue([this, answer = std::move(answer)] {
      --waiting_;
      if (ended_) return Refuse(answer);
      answer();
    });
  }
  void shutdown() override {
    ended_ = true;
    pool_.shutdown();
  }

 private:
  static void Refuse(const std::function<void()>& answer) {
    t_refused = true;
    answer();
    t_refused = false;
  }

  std::atomic<bool> ended_{false};
  std::atomic<std::size_t> waiting_{0};
  httplib::ThreadPool pool_{HttpServer::kThreads};
};

}  // namespace

HttpServer::HttpServer(Gate gate) : gate_(std::move(gate)) {
  new_task_queue = [] { return new Waiting; };
  // cpp-httplib would let other programs of this user share the port.
  set_socket_options([](socket_t socket) {
    const int on = 1;
    (void)setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  });
  set_payload_max_length(0);
  set_default_headers(SafeHeaders());
  set_pre_routing_handler([this](const httplib::Request& request, httplib::Response& response) {
    return LetIn(request, &response);
  });
  set_exception_handler(
      [](const httplib::Request&, httplib::Response& response, std::exception_ptr) {
        response.status = 500;
        response.set_content("This answer failed; look at cygnetd's version.\n", "text/plain");
      });
}

Status HttpServer::UseTls(const std::string& certificate_file, const std::string& key_file) {
  tls_.reset(SSL_CTX_new(TLS_server_method()));
  if (tls_ == nullptr) return MakeError(Errc::kNoMemory, "TLS: " + TlsError());
  SSL_CTX_set_min_proto_version(tls_.get(), TLS1_2_VERSION);
  SSL_CTX_set_options(tls_.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_mode(tls_.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  if (SSL_CTX_use_certificate_chain_file(tls_.get(), certificate_file.c_str()) != 1) {
    return MakeError(Errc::kInvalid,
                     certificate_file + ": no certificate can be read (PEM): " + TlsError());
  }
  if (SSL_CTX_use_PrivateKey_file(tls_.get(), key_file.c_str(), SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_check_private_key(tls_.get()) != 1) {
    return MakeError(Errc::kInvalid,
                     key_file + ": not the private key of the certificate (PEM): " + TlsError());
  }
  return {};
}

bool HttpServer::process_and_close_socket(socket_t socket) {
  bool answered = false;
  if (!t_refused) {
    Connection connection(socket, tls_.get());
    bool closed = false;
    answered = connection.Begin() &&
               process_request(connection, /*close_connection=*/true, closed, Simplify);
  }
  (void)shutdown(socket, SHUT_RDWR);
  (void)close(socket);
  return answered;
}

httplib::Server::HandlerResponse HttpServer::LetIn(const httplib::Request& request,
                                                   httplib::Response* response) const {
  const std::string host = request.get_header_value("Host");
  const std::string authorization = request.get_header_value("Authorization");
  const std::string site = request.get_header_value("Sec-Fetch-Site");
  const Refusal refusal = gate_.Check({.method = request.method,
                                       .path = request.path,
                                       .host = host,
                                       .authorization = authorization,
                                       .fetch_site = site});
  if (refusal.status == 0) return HandlerResponse::Unhandled;
  response->status = refusal.status;
  if (refusal.status == 401) {
    response->set_header("WWW-Authenticate", "Basic realm=\"cygnet-web\", charset=\"UTF-8\"");
  }
  if (refusal.status == 405) response->set_header("Allow", "GET, HEAD");
  response->set_content(refusal.text, "text/plain; charset=utf-8");
  return HandlerResponse::Handled;
}

}  // namespace cygnet::web
