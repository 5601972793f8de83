// SPDX-License-Identifier: Apache-2.0
#include "http/client.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <future>
#include <map>
#include <mutex>
#include <thread>

#include "http/keep_alive_client.h"
#include "http/server.h"
#include "http/testing_client.h"

namespace redoubt::http {
namespace {

// What the scripted server was asked, by path.
class ScriptedHandler final : public Handler {
 public:
  using Answer = std::function<Response(const Request&)>;
  std::map<std::string, Answer> answers;
  std::map<std::string, std::vector<Request>> asked;

  void on_request(Request request, Responder responder) override {
    asked[request.path].push_back(request);
    const auto found = answers.find(request.path);
    if (found == answers.end()) return responder.send({404, {}, "nothing here", {}, 0, 0});
    responder.send(found->second(request));
  }
};

// A server of the test's own that sends the bytes it is told to, lies included, and then closes the connection.
class LyingServer {
 public:
  static constexpr int kStaysMs = 3000;

  // With `record_bytes` an answer goes out in records of so many bytes, and the connection stays open for kStaysMs after it or until the client leaves.
  LyingServer(const testing::TestCertificate& certificate, std::vector<std::string> answers, std::size_t record_bytes = 0) : answers_(std::move(answers)), record_bytes_(record_bytes) {
    context_ = *crypto::TlsServerContext::create({certificate.certificate_pem, certificate.private_key_pem, false});
    listener_ = Fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    CHECK(bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), size) == 0 && listen(listener_.get(), 8) == 0);
    CHECK(getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
    port = ntohs(address.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  ~LyingServer() {
    shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
  }
  std::string url() const { return "https://localhost:" + std::to_string(port) + "/file"; }

  std::uint16_t port = 0;
  std::vector<std::string> requests;  // read when all answers were given

 private:
  void serve() {
    for (const auto& answer : answers_) {
      Fd client(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!client) return;
      auto tls = *context_->accept(client.get());
      if (tls->handshake() != crypto::TlsOutcome::done) continue;
      std::string request(8192, '\0');
      const auto io = tls->read({reinterpret_cast<std::uint8_t*>(request.data()), request.size()});
      if (io.bytes > 0) requests.push_back(request.substr(0, io.bytes));  // a client that left sent none
      for (ByteView left = view_of(answer); !left.empty();) {
        const auto written = tls->write(record_bytes_ > 0 ? left.first(std::min(record_bytes_, left.size())) : left);
        if (written.outcome != crypto::TlsOutcome::done) break;
        left = left.subspan(written.bytes);
      }
      pollfd left_by_client{client.get(), POLLIN, 0};
      if (record_bytes_ > 0) (void)poll(&left_by_client, 1, kStaysMs);
      tls->shutdown();
    }
  }

  std::vector<std::string> answers_;
  std::size_t record_bytes_;
  std::shared_ptr<const crypto::TlsServerContext> context_;
  Fd listener_;
  std::thread thread_;
};

class ClientTest : public ::testing::Test {
 protected:
  void SetUp() override {
    signal(SIGPIPE, SIG_IGN);
    ASSERT_TRUE(write_file(folder_.path() / "ca.pem", certificate_.ca_pem));
    options_.ca_file = (folder_.path() / "ca.pem").string();
    options_.backoff_ms = 1;
    ServerOptions server;
    server.certificate_pem = certificate_.certificate_pem;
    server.private_key_pem = certificate_.private_key_pem;
    server_ = std::move(*Server::start(std::move(server), handler_));
  }
  std::string url(const std::string& path, const char* host = "localhost") const {
    return "https://" + std::string(host) + ":" + std::to_string(server_->port()) + path;
  }
  void answer(const std::string& path, Response response) {
    handler_.answers[path] = [response](const Request&) { return response; };
  }
  void redirect(const std::string& path, const std::string& to) { answer(path, {302, {{"Location", to}}, "", {}, 0, 0}); }
  ClientRequest get(std::string address) const {
    ClientRequest request;
    request.url = std::move(address);
    request.bearer = Secret(std::string_view("hf_secret"));
    return request;
  }
  ErrorCode code_of(const ClientRequest& request) const {
    const auto answered = Client(options_).fetch(request);
    EXPECT_FALSE(answered);
    if (answered) return ErrorCode::internal;
    EXPECT_EQ(answered.error().message.find("hf_secret"), std::string::npos);
    EXPECT_EQ(answered.error().where.find('?'), std::string::npos);
    return answered.error().code;
  }

  TemporaryFolder folder_ = *TemporaryFolder::create();
  testing::TestCertificate certificate_ = testing::make_test_certificate();
  ClientOptions options_;
  ScriptedHandler handler_;
  std::unique_ptr<Server> server_;
};

// The last records of an answer come with earlier ones and lie in memory when the socket has nothing more: who waited for it would wait a
// second each time.
TEST_F(ClientTest, an_answer_of_many_records_is_whole_without_waiting) {
  for (const std::size_t size : {17'000, 33'000, 48'000, 64'000, 65'536, 70'000, 131'072, 400'000}) {
    std::string body(size, '\0');
    for (std::size_t i = 0; i < size; ++i) body[i] = static_cast<char>(i * 0x9e3779b97f4a7c15u >> 56);
    answer("/long", {200, {}, body, {}, 0, 0});
    auto fastest = std::chrono::steady_clock::duration::max();
    for (int i = 0; i < 3; ++i) {
      const auto begun = std::chrono::steady_clock::now();
      const auto fetched = Client(options_).fetch(get(url("/long")));
      fastest = std::min(fastest, std::chrono::steady_clock::now() - begun);
      ASSERT_TRUE(fetched) << fetched.error().message;
      EXPECT_EQ(fetched->second, body) << size;
    }
    EXPECT_LT(fastest, std::chrono::milliseconds(900)) << size;
  }
}

// Piece by piece, each a record or a few of its own, over a connection that stays open for a while after the last.
TEST_F(ClientTest, small_records_that_come_together_are_all_taken) {
  std::string answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", body;
  for (int i = 0; i < 3000; ++i) {
    const std::string piece(static_cast<std::size_t>(1 + i * 37 % 90), static_cast<char>('a' + i % 26));
    body += piece;
    char size[16];
    answer.append(size, static_cast<std::size_t>(std::snprintf(size, sizeof size, "%zx\r\n", piece.size())));
    answer += piece + "\r\n";
  }
  answer += "0\r\n\r\n";
  LyingServer server(certificate_, {answer}, 61);
  const auto begun = std::chrono::steady_clock::now();
  const auto fetched = Client(options_).fetch(get(server.url()));
  ASSERT_TRUE(fetched) << fetched.error().message;
  EXPECT_EQ(fetched->second, body);
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::milliseconds(LyingServer::kStaysMs));
}

TEST_F(ClientTest, body_and_headers_come_back) {
  answer("/a", {200, {{"X-Repo-Commit", "abc"}}, "hello", {}, 0, 0});
  const auto answered = Client(options_).fetch(get(url("/a")));
  ASSERT_TRUE(answered) << answered.error().message;
  EXPECT_EQ(answered->second, "hello");
  EXPECT_EQ(*answered->first.headers.find("x-repo-commit"), "abc");
  EXPECT_EQ(*handler_.asked["/a"].at(0).headers.find("authorization"), "Bearer hf_secret");
}

TEST_F(ClientTest, statuses_become_codes_that_say_what_to_do) {
  const std::map<int, ErrorCode> expected = {{401, ErrorCode::permission_denied}, {403, ErrorCode::permission_denied}, {404, ErrorCode::not_found},
                                             {410, ErrorCode::not_found},         {400, ErrorCode::invalid_argument},  {429, ErrorCode::unavailable},
                                             {500, ErrorCode::unavailable},       {503, ErrorCode::unavailable}};
  for (const auto& [status, code] : expected) {
    answer("/s", {status, {}, std::string(1000, 'x'), {}, 0, 0});
    auto request = get(url("/s?token=hf_secret"));
    request.bytes_max = 5;  // of what is wanted: an error is longer and stays an error
    EXPECT_EQ(code_of(request), code) << status;
  }
}

TEST_F(ClientTest, only_what_is_unavailable_is_tried_again) {
  int asked = 0;
  handler_.answers["/busy"] = [&asked](const Request&) { return Response{++asked < 3 ? 503 : 200, {}, "at last", {}, 0, 0}; };
  EXPECT_EQ(Client(options_).fetch(get(url("/busy")))->second, "at last");
  EXPECT_EQ(asked, 3);
  EXPECT_EQ(code_of(get(url("/none"))), ErrorCode::not_found);
  EXPECT_EQ(handler_.asked["/none"].size(), 1u);
  asked = -10;
  auto post = get(url("/busy"));
  post.method = "POST";
  EXPECT_EQ(code_of(post), ErrorCode::unavailable);
  EXPECT_EQ(asked, -9);
}

TEST_F(ClientTest, certificate_of_an_unknown_authority_is_refused) {
  ASSERT_TRUE(write_file(folder_.path() / "other.pem", testing::make_test_certificate().ca_pem));
  options_.ca_file = (folder_.path() / "other.pem").string();
  EXPECT_EQ(code_of(get(url("/a"))), ErrorCode::permission_denied);
  EXPECT_TRUE(handler_.asked.empty());
  options_.ca_file = (folder_.path() / "absent.pem").string();
  EXPECT_EQ(code_of(get(url("/a"))), ErrorCode::invalid_argument);
}

TEST_F(ClientTest, certificate_of_another_name_is_refused) {
  const TimePoint now = SystemClock().now() - std::chrono::minutes(5);
  const auto ca = *crypto::make_ca({.common_name = "Test CA", .not_before = now, .days = 30});
  const auto leaf = *crypto::issue_leaf(ca, {.dns_names = {"elsewhere.example"}, .not_before = now, .days = 10});
  ASSERT_TRUE(write_file(folder_.path() / "ca.pem", ca.certificate));
  LyingServer server({ca.certificate, leaf.certificate, leaf.key.to_pem()}, {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na"});
  EXPECT_EQ(code_of(get(server.url())), ErrorCode::permission_denied);
  EXPECT_TRUE(server.requests.empty());
}

TEST_F(ClientTest, plain_http_is_refused_before_a_connection) {
  EXPECT_EQ(code_of(get("http://localhost:" + std::to_string(server_->port()) + "/a")), ErrorCode::gate_refused);
  for (const char* scheme : {"ftp", "file", "gopher"}) EXPECT_EQ(code_of(get(std::string(scheme) + "://localhost/a")), ErrorCode::invalid_argument);
  EXPECT_TRUE(handler_.asked.empty());
}

TEST_F(ClientTest, redirect_within_the_origin_keeps_the_token) {
  redirect("/from", "/to?x=1");
  answer("/to", {200, {}, "there", {}, 0, 0});
  EXPECT_EQ(Client(options_).fetch(get(url("/from")))->second, "there");
  EXPECT_NE(handler_.asked["/to"].at(0).headers.find("authorization"), nullptr);
  EXPECT_EQ(handler_.asked["/to"].at(0).query, "x=1");
}

TEST_F(ClientTest, redirect_to_an_allowed_host_drops_the_token) {
  redirect("/from", url("/to", "127.0.0.1"));
  answer("/to", {200, {}, "there", {}, 0, 0});
  options_.allowed_hosts = {"127.0.0.1"};
  EXPECT_EQ(Client(options_).fetch(get(url("/from")))->second, "there");
  EXPECT_EQ(handler_.asked["/to"].at(0).headers.find("authorization"), nullptr);
}

TEST_F(ClientTest, a_pattern_allows_the_hosts_below_a_domain_alone) {
  redirect("/host", url("/to", "127.0.0.1"));
  for (const char* pattern : {"*.0.0.1", "*.1", "127.0.0.1"}) {
    options_.allowed_hosts = {pattern};
    answer("/to", {200, {}, "here", {}, 0, 0});
    EXPECT_TRUE(Client(options_).fetch(get(url("/host")))) << pattern;
  }
  for (const char* pattern : {"*", "*.", "*.127.0.0.1", "*0.0.1", "*.example.com", "0.0.1", ""}) {
    options_.allowed_hosts = {pattern};
    EXPECT_EQ(Client(options_).fetch(get(url("/host"))).error().code, ErrorCode::gate_refused) << pattern;
  }
}

TEST_F(ClientTest, redirect_elsewhere_is_refused_before_it_is_followed) {
  redirect("/host", url("/to", "127.0.0.1"));
  EXPECT_EQ(code_of(get(url("/host"))), ErrorCode::gate_refused);
  redirect("/plain", "http://localhost:" + std::to_string(server_->port()) + "/to");
  EXPECT_EQ(code_of(get(url("/plain"))), ErrorCode::gate_refused);
  redirect("/file", "file:///etc/passwd");
  EXPECT_EQ(code_of(get(url("/file"))), ErrorCode::gate_refused);
  redirect("/user", "https://user:password@localhost/to");
  EXPECT_EQ(code_of(get(url("/user"))), ErrorCode::gate_refused);
  redirect("/loop", "/loop");
  EXPECT_EQ(code_of(get(url("/loop"))), ErrorCode::limit_exceeded);
  redirect("/change", "/to");
  auto post = get(url("/change"));
  post.method = "POST";
  EXPECT_EQ(code_of(post), ErrorCode::gate_refused);
  EXPECT_TRUE(handler_.asked["/to"].empty());
}

TEST_F(ClientTest, answer_longer_than_allowed_is_cut) {
  answer("/long", {200, {}, std::string(1 << 20, 'x'), {}, 0, 0});
  auto request = get(url("/long"));
  request.bytes_max = 1000;
  EXPECT_EQ(code_of(request), ErrorCode::limit_exceeded);
}

TEST_F(ClientTest, token_or_header_with_a_line_break_is_never_sent) {
  auto request = get(url("/a"));
  request.bearer = Secret(std::string_view("hf_secret\r\nX-Evil: 1"));
  EXPECT_EQ(code_of(request), ErrorCode::invalid_argument);
  request = get(url("/a"));
  request.headers.add("X-A", "b\r\nX-Evil: 1");
  EXPECT_EQ(code_of(request), ErrorCode::invalid_argument);
  EXPECT_TRUE(handler_.asked.empty());
}

TEST_F(ClientTest, range_brings_exactly_its_bytes) {
  const auto bytes = std::make_shared<std::string>("0123456789");
  struct Text final : RandomAccess {
    std::shared_ptr<std::string> text;
    std::uint64_t size() const override { return text->size(); }
    Status read_at(std::uint64_t offset, MutableByteView into) const override {
      std::copy_n(text->begin() + static_cast<std::ptrdiff_t>(offset), into.size(), into.begin());
      return {};
    }
  };
  handler_.answers["/r"] = [&](const Request& request) {
    auto text = std::make_shared<Text>();
    text->text = bytes;
    return object_response(request, text, "x/y", "\"tag\"");
  };
  auto request = get(url("/r"));
  request.offset = 3;
  request.length = 4;
  EXPECT_EQ(Client(options_).fetch(request)->second, "3456");
  request.length = 100;  // beyond the end: not what was asked for
  EXPECT_EQ(code_of(request), ErrorCode::unsupported);
  answer("/r", {200, {}, "0123456789", {}, 0, 0});  // a server without ranges
  request.length = 4;
  EXPECT_EQ(code_of(request), ErrorCode::unsupported);
}

TEST_F(ClientTest, another_range_than_asked_for_never_reaches_the_caller) {
  LyingServer server(certificate_, {"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 4-7/10\r\nContent-Length: 4\r\n\r\n4567"});
  auto request = get(server.url());
  request.offset = 3;
  request.length = 4;
  MemorySink sink;
  const auto answered = Client(options_).send(request, sink);
  ASSERT_FALSE(answered);
  EXPECT_EQ(answered.error().code, ErrorCode::unsupported);
  EXPECT_TRUE(sink.take().empty());
}

TEST_F(ClientTest, broken_download_goes_on_at_the_next_byte) {
  LyingServer server(certificate_, {"HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nContent-Length: 10\r\n\r\n012",
                                    "HTTP/1.1 206 Partial Content\r\nETag: \"v1\"\r\nContent-Range: bytes 3-9/10\r\nContent-Length: 7\r\n\r\n34",
                                    "HTTP/1.1 206 Partial Content\r\nETag: \"v1\"\r\nContent-Range: bytes 5-9/10\r\nContent-Length: 5\r\n\r\n56789"});
  const auto answered = Client(options_).fetch(get(server.url()));
  ASSERT_TRUE(answered) << answered.error().message;
  EXPECT_EQ(answered->second, "0123456789");
  EXPECT_EQ(answered->first.status, 200);
  ASSERT_EQ(server.requests.size(), 3u);
  EXPECT_NE(server.requests[1].find("Range: bytes=3-9\r\n"), std::string::npos);
  EXPECT_NE(server.requests[1].find("If-Range: \"v1\"\r\n"), std::string::npos);
}

TEST_F(ClientTest, broken_download_of_what_changed_meanwhile_is_not_patched_together) {
  LyingServer server(certificate_, {"HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nContent-Length: 10\r\n\r\n012",
                                    "HTTP/1.1 200 OK\r\nETag: \"v2\"\r\nContent-Length: 10\r\n\r\nabcdefghij"});
  MemorySink sink;
  const auto answered = Client(options_).send(get(server.url()), sink);
  ASSERT_FALSE(answered);
  EXPECT_EQ(answered.error().code, ErrorCode::unsupported);
  EXPECT_EQ(to_text(sink.take()), "012");
}

TEST_F(ClientTest, broken_download_without_a_strong_tag_is_unavailable) {
  LyingServer server(certificate_, {"HTTP/1.1 200 OK\r\nETag: W/\"v1\"\r\nContent-Length: 10\r\n\r\n012"});
  EXPECT_EQ(code_of(get(server.url())), ErrorCode::unavailable);
}

TEST_F(ClientTest, what_is_given_up_is_broken_off_and_not_begun_again) {
  LyingServer server(certificate_, {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0"}, 1000);
  KeepAliveClient client(options_);
  ExchangeRequest request;
  request.url = server.url();
  struct Begun final : Sink {
    std::promise<void> begun;
    Status write(ByteView) override {
      begun.set_value();
      return {};
    }
  } sink;
  std::thread giving_up([&] {
    sink.begun.get_future().wait();
    client.give_up();
  });
  const auto broken_off = client.exchange(request, sink);
  giving_up.join();
  const auto not_begun = client.exchange(request, sink);
  for (const auto* outcome : {&broken_off, &not_begun}) {
    ASSERT_TRUE(outcome->failure);
    EXPECT_EQ(outcome->failure->code, ErrorCode::unavailable);
    EXPECT_EQ(outcome->failure->message, "no answer is waited for any more");
  }
  EXPECT_TRUE(broken_off.reached);
  EXPECT_FALSE(not_begun.reached);
}

TEST_F(ClientTest, header_floods_are_refused) {
  std::string head = "HTTP/1.1 200 OK\r\n";
  for (int i = 0; i < 300; ++i) head += "X-" + std::to_string(i) + ": a\r\n";
  LyingServer server(certificate_, {head + "Content-Length: 0\r\n\r\n"});
  EXPECT_EQ(code_of(get(server.url())), ErrorCode::limit_exceeded);
}

}  // namespace
}  // namespace redoubt::http
