// SPDX-License-Identifier: Apache-2.0
#include "crypto/tls.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/file.h"
#include "crypto/random.h"
#include "crypto/x509.h"

namespace redoubt::crypto {
namespace {

// Two ends in one thread, over a pair of sockets that hold little.
class TlsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ::signal(SIGPIPE, SIG_IGN);
    const auto now = SystemClock().now() - std::chrono::minutes(5);
    const auto ca = make_ca({.common_name = "Test CA", .not_before = now, .days = 30});
    ASSERT_TRUE(ca);
    LeafOptions options;
    options.dns_names = {"localhost"};
    options.not_before = now;
    options.days = 10;
    const auto leaf = issue_leaf(*ca, options);
    ASSERT_TRUE(leaf);
    int pair[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    left_ = Fd(pair[0]);
    right_ = Fd(pair[1]);
    const int bytes = 8 << 10;
    ASSERT_EQ(::setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes), 0);
    server_context_ = *TlsServerContext::create({.certificate_pem = leaf->certificate, .private_key_pem = leaf->key.to_pem()});
    client_context_ = *TlsClientContext::create(ca->certificate);
    server_ = *server_context_->accept(left_.get());
    client_ = *client_context_->connect(right_.get(), "localhost");
    for (int i = 0; i < 20; ++i) {
      const auto client = client_->handshake(), server = server_->handshake();
      if (client == TlsOutcome::done && server == TlsOutcome::done) return;
    }
    FAIL() << client_->failure() << server_->failure();
  }

  // Sends as a server does: the rest again after want_write, with more behind it; the client reads `reads` times between.
  Bytes pass(ByteView sent, int reads) {
    Bytes got;
    std::size_t done = 0;
    for (int i = 0; got.size() < sent.size() && i < 1'000'000; ++i) {
      if (done < sent.size()) {
        const auto io = server_->write(sent.subspan(done, std::min<std::size_t>(sent.size() - done, std::size_t{200'000} + static_cast<std::size_t>(i))));
        if (io.outcome == TlsOutcome::done) {
          done += io.bytes;
        } else {
          EXPECT_EQ(io.outcome, TlsOutcome::want_write);
          ++waits_;
        }
      }
      for (int read = 0; read < reads || done == sent.size(); ++read) {
        const auto io = client_->read(buffer_);
        if (io.outcome != TlsOutcome::done) break;
        got.insert(got.end(), buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(io.bytes));
      }
    }
    return got;
  }

  Fd left_, right_;
  std::shared_ptr<const TlsServerContext> server_context_;
  std::shared_ptr<const TlsClientContext> client_context_;
  std::unique_ptr<TlsConnection> server_, client_;
  Bytes buffer_ = Bytes(3000);
  int waits_ = 0;
};

TEST_F(TlsTest, a_reader_that_is_slow_gets_every_byte_once) {
  const Bytes sent = random_bytes(3'000'001);
  EXPECT_EQ(pass(sent, 1), sent);
  EXPECT_GT(waits_, 100);
  const Bytes small = random_bytes(100), exact = random_bytes(128 << 10);  // on the same connection
  EXPECT_EQ(pass(small, 5), small);
  EXPECT_EQ(pass(exact, 5), exact);
  EXPECT_EQ(client_->write(view_of(std::string_view("and back"))).bytes, 8u);
  EXPECT_EQ(server_->read(buffer_).bytes, 8u);
}

TEST_F(TlsTest, what_was_written_comes_before_the_end) {
  const Bytes sent = random_bytes(100'000);
  EXPECT_EQ(pass(sent, 10), sent);
  server_->shutdown();
  EXPECT_EQ(client_->read(buffer_).outcome, TlsOutcome::closed);
}

TEST_F(TlsTest, a_reader_that_left_ends_a_large_write) {
  client_.reset();
  right_.reset();
  const Bytes sent = random_bytes(1 << 20);
  EXPECT_EQ(server_->write(sent).outcome, TlsOutcome::failed);
  EXPECT_EQ(server_->write(sent).outcome, TlsOutcome::failed);
  server_->shutdown();
}

}  // namespace
}  // namespace redoubt::crypto
