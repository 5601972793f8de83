// SPDX-License-Identifier: Apache-2.0
#include "http/server.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <ctime>
#include <future>
#include <mutex>
#include <thread>

#include "http/testing_client.h"

namespace redoubt::http {
namespace {

using namespace std::chrono_literals;
using testing::TestClient;

class Numbers final : public RandomAccess {
 public:
  explicit Numbers(std::uint64_t size) : size_(size) {}
  std::uint64_t size() const override { return size_; }
  Status read_at(std::uint64_t offset, MutableByteView into) const override {
    for (auto& byte : into) byte = static_cast<std::uint8_t>(offset++ % 251);
    return {};
  }

 private:
  std::uint64_t size_;
};

class TestHandler final : public Handler {
 public:
  std::optional<Response> on_head(Request& request) override {
    if (request.path == "/refused") return Response{401, {}, "no", {}, 0, 0};
    if (const auto* payer = request.headers.find("x-payer")) request.payer = *payer;
    return std::nullopt;
  }
  void on_request(Request request, Responder responder) override {
    ++requests;
    if (request.path == "/drop") return;
    if (request.path == "/hold") {
      responder.on_abort([this] { aborted.set_value(); });
      held.set_value(responder);
      return;
    }
    if (request.path == "/stream") {
      responder.begin(200, {{"Content-Type", "text/event-stream"}});
      std::thread([responder] {
        for (int i = 0; i < 3; ++i) (void)responder.write("data: " + std::to_string(i) + "\n\n");
        responder.end();
      }).detach();
      return;
    }
    if (request.path == "/file")
      return responder.send(object_response(request, std::make_shared<Numbers>(5'000'000), "x/y", ""));
    responder.send({200, {{"X-Echo", "a\r\nEvil: b"}}, request.method + " " + request.path + " " + request.body, {}, 0, 0});
  }

  std::atomic<int> requests = 0;
  std::promise<Responder> held;
  std::promise<void> aborted;
};

class ServerTest : public ::testing::Test {
 protected:
  void start(ServerOptions options = {}) {
    options.certificate_pem = certificate_.certificate_pem;
    options.private_key_pem = certificate_.private_key_pem;
    auto server = Server::start(std::move(options), handler_);
    ASSERT_TRUE(server) << server.error().message;
    server_ = std::move(*server);
  }
  TestClient client() { return TestClient(certificate_.ca_pem, server_->port()); }
  std::string answer_to(const std::string& request) {
    auto one = client();
    EXPECT_TRUE(one.connected());
    one.send(request);
    return one.read_to_end();
  }

  testing::TestCertificate certificate_ = testing::make_test_certificate();
  TestHandler handler_;
  std::unique_ptr<Server> server_;
};

std::string get(const std::string& path, const std::string& headers = "") {
  return "GET " + path + " HTTP/1.1\r\nHost: localhost\r\n" + headers + "\r\n";
}

TEST_F(ServerTest, an_answer_comes_over_tls_1_3) {
  start();
  auto one = client();
  ASSERT_TRUE(one.connected());
  EXPECT_EQ(one.tls().protocol(), "TLSv1.3");
  EXPECT_EQ(one.tls().alpn(), "http/1.1");
  one.send(get("/a"));
  auto [head, body] = one.read_answer();
  EXPECT_TRUE(head.starts_with("HTTP/1.1 200 OK\r\nDate: ")) << head;
  EXPECT_EQ(body, "GET /a ");
}

TEST_F(ServerTest, a_client_with_other_roots_refuses_the_server) {
  start();
  TestClient other(testing::make_test_certificate().ca_pem, server_->port());
  EXPECT_FALSE(other.connected());
}

TEST_F(ServerTest, start_fails_when_the_key_is_not_the_certificates) {
  ServerOptions options;
  options.certificate_pem = certificate_.certificate_pem;
  options.private_key_pem = testing::make_test_certificate().private_key_pem;
  auto server = Server::start(std::move(options), handler_);
  ASSERT_FALSE(server);
  EXPECT_EQ(server.error().code, ErrorCode::invalid_argument);
}

TEST_F(ServerTest, a_certificate_is_replaced_without_a_restart) {
  start();
  auto old = client();
  auto fresh = testing::make_test_certificate();
  ASSERT_TRUE(server_->replace_certificate(fresh.certificate_pem, fresh.private_key_pem));
  EXPECT_TRUE(TestClient(fresh.ca_pem, server_->port()).connected());
  old.send(get("/a"));
  EXPECT_EQ(old.read_answer().second, "GET /a ");
  EXPECT_FALSE(server_->replace_certificate("junk", fresh.private_key_pem));
}

TEST_F(ServerTest, plain_http_gets_no_byte) {
  start();
  auto fd = testing::connect_to(server_->port());
  auto request = get("/");
  ASSERT_EQ(::send(fd.get(), request.data(), request.size(), 0), static_cast<ssize_t>(request.size()));
  char byte;
  EXPECT_LE(::recv(fd.get(), &byte, 1, 0), 0);
  EXPECT_EQ(handler_.requests, 0);
}

TEST_F(ServerTest, requests_follow_each_other_on_one_connection) {
  start();
  auto one = client();
  for (int i = 0; i < 3; ++i) {
    one.send("POST /n HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    EXPECT_EQ(one.read_answer().second, "POST /n abc");
  }
}

TEST_F(ServerTest, pipelined_requests_are_answered_in_order) {
  start();
  auto one = client();
  std::string many;
  for (int i = 0; i < 500; ++i) many += get("/" + std::to_string(i));
  one.send(many);
  for (int i = 0; i < 500; ++i) ASSERT_EQ(one.read_answer().second, "GET /" + std::to_string(i) + " ");
}

TEST_F(ServerTest, bytes_that_come_one_by_one_are_a_request) {
  start();
  auto one = client();
  for (char c : std::string("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"))
    one.send({&c, 1});
  EXPECT_EQ(one.read_answer().second, "POST / abc");
}

TEST_F(ServerTest, a_malformed_request_is_refused_and_nothing_after_it_is_read) {
  start();
  auto answer = answer_to("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" +
                          get("/smuggled"));
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 400 ")) << answer;
  EXPECT_NE(answer.find("Connection: close"), std::string::npos);
  EXPECT_EQ(answer.find("smuggled"), std::string::npos);
  EXPECT_EQ(handler_.requests, 0);
}

TEST_F(ServerTest, line_breaks_in_a_handlers_header_start_no_other_header) {
  start();
  auto answer = answer_to(get("/", "Connection: close\r\n"));
  EXPECT_EQ(answer.find("\r\nEvil"), std::string::npos) << answer;
}

TEST_F(ServerTest, a_large_body_is_refused) {
  ServerOptions options;
  options.body_bytes_max = 10;
  start(std::move(options));
  EXPECT_TRUE(answer_to("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n").starts_with("HTTP/1.1 413 "));
}

TEST_F(ServerTest, one_payers_uploads_leave_room_for_others) {
  ServerOptions options;
  options.body_bytes_total_max = 4000;
  start(std::move(options));
  const auto begin = [&](const char* payer, std::size_t sent) {
    auto one = client();
    one.send(std::string("POST /x HTTP/1.1\r\nHost: a\r\nX-Payer: ") + payer + "\r\nContent-Length: 1500\r\nExpect: 100-continue\r\n\r\n");
    (void)one.read_until("\r\n\r\n");
    one.send(std::string(sent, 'b'));
    (void)answer_to(get("/a", "Connection: close\r\n"));  // whoever was let pass is served before a stranger: the body has come
    return one;
  };
  auto slow = begin("flood", 1499);
  auto more = begin("flood", 1499);
  EXPECT_TRUE(more.read_answer().first.starts_with("HTTP/1.1 503 "));
  auto other = begin("other", 1250);
  other.send(std::string(250, 'b'));
  EXPECT_TRUE(other.read_answer().first.starts_with("HTTP/1.1 503 "));  // no more than is left for a third one
  slow.send("b");
  EXPECT_TRUE(slow.read_answer().first.starts_with("HTTP/1.1 200 "));
  auto again = begin("other", 1499);  // what the first held is free
  again.send("b");
  EXPECT_TRUE(again.read_answer().first.starts_with("HTTP/1.1 200 "));
}

TEST_F(ServerTest, a_refusal_at_the_head_keeps_the_connection_when_the_body_is_short) {
  start();
  auto one = client();
  one.send("POST /refused HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nGET /");
  EXPECT_EQ(one.read_answer().second, "no");
  one.send(get("/next"));
  EXPECT_EQ(one.read_answer().second, "GET /next ");
  EXPECT_EQ(handler_.requests, 1);
}

TEST_F(ServerTest, a_refusal_at_the_head_comes_before_a_long_body) {
  start();
  EXPECT_TRUE(answer_to("POST /refused HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\n").starts_with("HTTP/1.1 401 "));
}

TEST_F(ServerTest, expect_continue_is_answered) {
  start();
  auto one = client();
  one.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(one.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  one.send("ok");
  EXPECT_EQ(one.read_answer().second, "POST / ok");
}

TEST_F(ServerTest, a_stream_comes_in_chunks_from_another_thread) {
  start();
  auto one = client();
  one.send(get("/stream"));
  auto head = one.read_until("\r\n\r\n");
  EXPECT_NE(head.find("Transfer-Encoding: chunked"), std::string::npos);
  auto body = one.read_until("0\r\n\r\n");
  EXPECT_LT(body.find("data: 0"), body.find("data: 2"));
  one.send(get("/next"));
  EXPECT_EQ(one.read_answer().second, "GET /next ");
}

TEST_F(ServerTest, a_large_object_and_its_ranges_come_whole) {
  start();
  auto one = client();
  one.send(get("/file"));
  auto body = one.read_answer().second;
  ASSERT_EQ(body.size(), 5'000'000u);
  for (std::size_t i : {0u, 250u, 251u, 262'143u, 262'144u, 4'999'999u})
    EXPECT_EQ(static_cast<std::uint8_t>(body[i]), i % 251);
  one.send(get("/file", "Range: bytes=1000000-1000009\r\n"));
  auto [head, part] = one.read_answer();
  EXPECT_TRUE(head.starts_with("HTTP/1.1 206 "));
  EXPECT_EQ(part, body.substr(1'000'000, 10));
}

TEST_F(ServerTest, head_has_the_length_and_no_body) {
  start();
  auto answer = answer_to("HEAD /file HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  EXPECT_NE(answer.find("Content-Length: 5000000"), std::string::npos);
  EXPECT_TRUE(answer.ends_with("\r\n\r\n"));
}

TEST_F(ServerTest, a_handler_that_forgets_to_answer_is_a_500) {
  start();
  auto one = client();
  one.send(get("/drop"));
  EXPECT_TRUE(one.read_answer().first.starts_with("HTTP/1.1 500 "));
}

TEST_F(ServerTest, a_client_that_leaves_is_told_to_the_handler) {
  start();
  auto one = client();
  one.send(get("/hold"));
  auto responder = handler_.held.get_future().get();
  one.close();
  ASSERT_EQ(handler_.aborted.get_future().wait_for(20s), std::future_status::ready);
  responder.begin(200, {});
  EXPECT_EQ(responder.write("x").error().code, ErrorCode::unavailable);
}

TEST_F(ServerTest, a_stream_that_the_client_does_not_read_is_bounded_and_cut) {
  ServerOptions options;
  options.stream_bytes_max = 100'000;
  options.send_ms_max = 300;
  start(std::move(options));
  auto one = client();
  one.send(get("/hold"));
  auto responder = handler_.held.get_future().get();
  responder.begin(200, {});
  std::string piece(10'000, 'x');
  bool limited = false;
  for (auto written = Status(); written || written.error().code == ErrorCode::limit_exceeded;
       written = responder.write(piece))
    limited = limited || !written;
  EXPECT_TRUE(limited);
  EXPECT_EQ(handler_.aborted.get_future().wait_for(20s), std::future_status::ready);
}

TEST_F(ServerTest, a_client_that_is_slow_with_its_head_is_dropped_however_it_trickles) {
  ServerOptions options;
  options.head_ms_max = 300;
  start(std::move(options));
  auto one = client();
  one.send("GET / HTTP/1.1\r\nHost: a\r\n");
  std::thread trickle([&] {
    for (int i = 0; i < 200 && one.send("X: y\r\n"); ++i) std::this_thread::sleep_for(20ms);
  });
  trickle.join();
  EXPECT_EQ(handler_.requests, 0);
}

TEST_F(ServerTest, a_silent_connection_is_dropped) {
  ServerOptions options;
  options.handshake_ms_max = 200;
  start(std::move(options));
  auto fd = testing::connect_to(server_->port());
  char byte;
  EXPECT_LE(::recv(fd.get(), &byte, 1, 0), 0);
}

// Looking after thousands of connections at once would hold every request up.
TEST_F(ServerTest, looking_after_more_connections_takes_no_more_of_the_servers_time) {
  rlimit descriptors{};
  getrlimit(RLIMIT_NOFILE, &descriptors);
  descriptors.rlim_cur = descriptors.rlim_max;
  setrlimit(RLIMIT_NOFILE, &descriptors);
  if (descriptors.rlim_max < 15'000) GTEST_SKIP() << "too few descriptors";
  ServerOptions options;
  options.connections_max = options.connections_per_source_max = 8'000;
  options.handshake_ms_max = 60'000;
  start(std::move(options));
  std::vector<Fd> silent;
  const auto used_with = [&](std::size_t count) {
    while (silent.size() < count) silent.push_back(testing::connect_to(server_->port()));
    while (server_->connections() < count) std::this_thread::sleep_for(1ms);
    std::this_thread::sleep_for(1s);  // until they are at rest
    const auto begun = std::clock();
    std::this_thread::sleep_for(1s);
    return std::clock() - begun;
  };
  const auto of_few = used_with(1'000);
  auto of_many = used_with(7'000);
  // What else runs on the machine makes the same work dearer for a while.
  for (int more = 0; more < 2 && of_many >= 2 * of_few; ++more) of_many = std::min(of_many, used_with(7'000));
  EXPECT_LT(of_many, 2 * of_few) << of_few << " us of processor time for 1,000";
}

TEST_F(ServerTest, connections_beyond_the_limit_are_closed) {
  ServerOptions options;
  options.connections_max = 2;
  start(std::move(options));
  auto first = client(), second = client();
  first.send(get("/hold"));
  const auto responder = handler_.held.get_future().get();
  handler_.held = {};
  second.send(get("/hold"));
  const auto other = handler_.held.get_future().get();
  EXPECT_FALSE(client().connected());
  responder.send({200, {}, "held", {}, 0, 0});
  EXPECT_EQ(first.read_answer().second, "held");
}

// Slow heads and silence from ever so many addresses.
TEST_F(ServerTest, who_holds_all_places_and_asks_for_nothing_keeps_nobody_out) {
  ServerOptions options;
  options.connections_max = 4;
  start(std::move(options));
  auto asked = client();
  asked.send(get("/a"));
  EXPECT_EQ(asked.read_answer().second, "GET /a ");
  auto silent = testing::connect_to(server_->port());
  while (server_->connections() < 2) std::this_thread::sleep_for(1ms);
  auto slow = client(), refused = client();
  slow.send("GET / HTTP/1.1\r\nX");
  refused.send(get("/refused"));
  EXPECT_EQ(refused.read_answer().second, "no");
  EXPECT_EQ(server_->connections(), 4u);
  std::vector<TestClient> fresh;
  for (int i = 0; i < 3; ++i) {  // in place of the silent one, the slow one and the one that was refused
    fresh.push_back(client());
    ASSERT_TRUE(fresh.back().connected()) << i;
    fresh.back().send(get("/b"));
    EXPECT_EQ(fresh.back().read_answer().second, "GET /b ");
  }
  char byte;
  EXPECT_LE(::recv(silent.get(), &byte, 1, 0), 0);
  EXPECT_TRUE(slow.read_to_end().empty());
  EXPECT_TRUE(refused.read_to_end().empty());
  asked.send(get("/c"));
  EXPECT_EQ(asked.read_answer().second, "GET /c ");
  // Now all have asked, and who did so longest ago goes.
  auto last = client();
  ASSERT_TRUE(last.connected());
  last.send(get("/d"));
  EXPECT_EQ(last.read_answer().second, "GET /d ");
  EXPECT_TRUE(fresh[0].read_to_end().empty());
  fresh[1].send(get("/e"));
  EXPECT_EQ(fresh[1].read_answer().second, "GET /e ");
}

TEST_F(ServerTest, drain_finishes_what_is_under_way) {
  start();
  auto busy = client(), idle = client();
  busy.send(get("/hold"));
  auto responder = handler_.held.get_future().get();
  auto drained = std::async(std::launch::async, [&] { return server_->drain(20s); });
  EXPECT_EQ(idle.read_to_end(), "");
  EXPECT_FALSE(testing::connect_to(server_->port()));
  responder.send({200, {}, "late", {}, 0, 0});
  auto [head, body] = busy.read_answer();
  EXPECT_EQ(body, "late");
  EXPECT_NE(head.find("Connection: close"), std::string::npos);
  busy.close();
  idle.close();
  EXPECT_TRUE(drained.get());
}

TEST_F(ServerTest, a_server_that_succeeds_another_leaves_the_port_open) {
  start();
  auto busy = client();
  busy.send(get("/hold"));
  auto responder = handler_.held.get_future().get();
  TestHandler next;
  ServerOptions options;
  options.certificate_pem = certificate_.certificate_pem;
  options.private_key_pem = certificate_.private_key_pem;
  auto successor = Server::succeed(*server_, options, next);
  ASSERT_TRUE(successor) << successor.error().message;
  EXPECT_EQ((*successor)->port(), server_->port());
  auto drained = std::async(std::launch::async, [&] { return server_->drain(20s); });
  for (int i = 0; i < 50 || next.requests < 10; ++i) {
    auto one = client();
    ASSERT_TRUE(one.connected());
    one.send(get("/a"));
    EXPECT_EQ(one.read_answer().second, "GET /a ");
  }
  responder.send({200, {}, "late", {}, 0, 0});
  EXPECT_EQ(busy.read_answer().second, "late");
  busy.close();
  EXPECT_TRUE(drained.get());
  EXPECT_EQ(Server::succeed(*server_, options, next).error().code, ErrorCode::unavailable);
  auto last = client();
  last.send(get("/b"));
  EXPECT_EQ(last.read_answer().second, "GET /b ");
}

// Who has just connected, or asks again over an open connection at that moment, can't know that the server goes.
TEST_F(ServerTest, a_request_that_is_on_its_way_when_a_drain_begins_is_answered) {
  start();
  auto fresh = client(), used = client();
  used.send(get("/a"));
  used.read_answer();
  auto drained = std::async(std::launch::async, [&] { return server_->drain(20s); });
  while (testing::connect_to(server_->port())) std::this_thread::sleep_for(1ms);
  for (auto* one : {&fresh, &used}) {
    one->send(get("/b"));
    const auto [head, body] = one->read_answer();
    EXPECT_EQ(body, "GET /b ");
    EXPECT_NE(head.find("Connection: close"), std::string::npos);
    one->close();
  }
  EXPECT_TRUE(drained.get());
}

TEST_F(ServerTest, drain_gives_up_when_the_time_is_over) {
  start();
  auto busy = client();
  busy.send(get("/hold"));
  auto responder = handler_.held.get_future().get();
  EXPECT_FALSE(server_->drain(100ms));
  EXPECT_EQ(handler_.aborted.get_future().wait_for(20s), std::future_status::ready);
}

}  // namespace
}  // namespace redoubt::http
