// SPDX-License-Identifier: Apache-2.0
//
// For tests only: a certificate for localhost, and a blocking TLS client that sends raw bytes, well-formed or not.
#pragma once

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

#include <array>
#include <memory>
#include <string>

#include "base/check.h"
#include "base/clock.h"
#include "base/file.h"
#include "crypto/tls.h"
#include "crypto/x509.h"

namespace redoubt::http::testing {

struct TestCertificate {
  std::string ca_pem, certificate_pem;
  Secret private_key_pem;
};

inline TestCertificate make_test_certificate() {
  auto now = SystemClock().now() - std::chrono::minutes(5);
  auto ca = crypto::make_ca({.common_name = "Test CA", .not_before = now, .days = 30});
  CHECK(ca);
  crypto::LeafOptions options;
  options.dns_names = {"localhost"};
  options.ip_addresses = {"127.0.0.1"};
  options.not_before = now;
  options.days = 10;
  auto leaf = crypto::issue_leaf(*ca, options);
  CHECK(leaf);
  return {ca->certificate, leaf->certificate, leaf->key.to_pem()};
}

inline Fd connect_to(std::uint16_t port) {
  signal(SIGPIPE, SIG_IGN);
  Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return {};
  // As clients do: what is sent right behind the handshake would wait for its acknowledgement (RFC 896), 40 ms, and others would be first.
  const int on = 1;
  setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

class TestClient {
 public:
  // CHECKs that the handshake succeeds, unless told that it may fail.
  TestClient(const std::string& ca_pem, std::uint16_t port) : fd_(connect_to(port)) {
    CHECK(fd_);
    context_ = crypto::TlsClientContext::create(ca_pem).value();
    tls_ = context_->connect(fd_.get(), "localhost").value();
    connected_ = tls_->handshake() == crypto::TlsOutcome::done;
  }
  bool connected() const { return connected_; }
  crypto::TlsConnection& tls() { return *tls_; }
  int fd() const { return fd_.get(); }
  void close() { fd_.reset(); }

  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      auto io = tls_->write(view_of(bytes));
      if (io.outcome != crypto::TlsOutcome::done) return false;
      bytes.remove_prefix(io.bytes);
    }
    return true;
  }

  // What comes next, at most 64 KiB; empty when the server closed.
  std::string read_some() {
    std::string bytes(64 << 10, '\0');
    auto io = tls_->read({reinterpret_cast<std::uint8_t*>(bytes.data()), bytes.size()});
    bytes.resize(io.outcome == crypto::TlsOutcome::done ? io.bytes : 0);
    return bytes;
  }

  // Everything until the text `end` has come, or the server closed.
  std::string read_until(std::string_view end) {
    while (buffer_.find(end) == std::string::npos) {
      auto more = read_some();
      if (more.empty()) return std::exchange(buffer_, {});
      buffer_ += more;
    }
    auto size = buffer_.find(end) + end.size();
    auto text = buffer_.substr(0, size);
    buffer_.erase(0, size);
    return text;
  }

  std::string read_to_end() {
    for (auto more = read_some(); !more.empty(); more = read_some()) buffer_ += more;
    return std::exchange(buffer_, {});
  }

  // One answer with a Content-Length: its head and its body.
  std::pair<std::string, std::string> read_answer() {
    auto head = read_until("\r\n\r\n");
    auto at = head.find("Content-Length: ");
    std::size_t size = at == std::string::npos ? 0 : std::stoul(head.substr(at + 16));
    while (buffer_.size() < size) {
      auto more = read_some();
      if (more.empty()) break;
      buffer_ += more;
    }
    auto body = buffer_.substr(0, size);
    buffer_.erase(0, body.size());
    return {head, body};
  }

 private:
  Fd fd_;
  std::shared_ptr<const crypto::TlsClientContext> context_;
  std::unique_ptr<crypto::TlsConnection> tls_;
  bool connected_ = false;
  std::string buffer_;
};

}  // namespace redoubt::http::testing
