// SPDX-License-Identifier: Apache-2.0
#include "engine/distributed/group.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>

#include <cmath>
#include <functional>
#include <numeric>
#include <random>
#include <thread>

#include "base/clock.h"
#include "crypto/x509.h"
#include "engine/distributed/join.h"
#include "engine/distributed/mesh.h"
#include "engine/distributed/sockets.h"

namespace redoubt::engine::distributed {
namespace {

using std::chrono::milliseconds;

// Runs `rank` in one thread for each rank, over socket pairs.
void on_ranks(std::size_t ranks, const std::function<void(Group&)>& work, milliseconds answer_max = milliseconds(20'000)) {
  auto peers = connect_pairs(ranks).value();
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < ranks; ++i)
    threads.emplace_back([&, i] {
      Group group(i, std::move(peers[i]), answer_max);
      work(group);
    });
  for (auto& thread : threads) thread.join();
}

std::vector<float> numbers(std::size_t count, std::uint64_t seed) {
  std::mt19937_64 generator(seed);
  std::vector<float> values(count);
  for (auto& value : values)
    value = std::ldexp(static_cast<float>(generator() % 2'000'003) - 1e6f, -static_cast<int>(generator() % 40));
  return values;
}

TEST(Group, alone_it_has_nothing_to_do) {
  Group group;
  std::vector<float> values = {1, 2};
  EXPECT_TRUE(group.sum(values));
  EXPECT_EQ(values, (std::vector<float>{1, 2}));
  EXPECT_TRUE(group.wait_for_all());
  EXPECT_EQ(group.gather("me").value(), std::vector<std::string>{"me"});
  EXPECT_TRUE(group.leads());
}

TEST(Group, sums_are_those_of_one_process_that_adds_by_halves_bit_for_bit) {
  for (std::size_t ranks : {2, 3, 4, 8})
    for (std::size_t count : {1, 5, 100'003}) {
      std::vector<std::vector<float>> expected;
      for (std::size_t i = 0; i < ranks; ++i) expected.push_back(numbers(count, i));
      sum_halves(0, ranks, [&](std::size_t into, std::size_t from) {
        for (std::size_t i = 0; i < count; ++i) expected[into][i] += expected[from][i];
      });
      on_ranks(ranks, [&](Group& group) {
        auto values = numbers(count, group.rank());
        ASSERT_TRUE(group.sum(values));
        EXPECT_EQ(values, expected[0]);
      });
    }
}

TEST(Group, texts_of_any_length_reach_everybody_in_the_order_of_ranks) {
  on_ranks(3, [&](Group& group) {
    const auto texts = group.gather(std::string(group.rank() * 1'000'000, static_cast<char>('a' + group.rank()))).value();
    ASSERT_EQ(texts.size(), 3u);
    for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(texts[i], std::string(i * 1'000'000, static_cast<char>('a' + i)));
  });
}

TEST(Group, a_text_is_as_long_as_the_scores_of_a_million_examples_or_the_metrics_of_as_many_steps) {
  const std::string text(150 << 20, 'x');
  EXPECT_EQ(Group().gather(text).value().front().size(), text.size());
  on_ranks(2, [&](Group& group) {
    const auto texts = group.gather(group.leads() ? text : "");
    ASSERT_TRUE(texts) << texts.error().message;
    EXPECT_EQ(texts->front().size(), text.size());
  });
}

TEST(Group, the_leaders_bytes_reach_everybody) {
  on_ranks(3, [&](Group& group) {
    Bytes bytes(70'000, static_cast<std::uint8_t>(group.rank() + 1));
    ASSERT_TRUE(group.take_from_leader(bytes));
    EXPECT_EQ(bytes, Bytes(70'000, 1));
  });
}

TEST(Group, a_rank_that_ends_is_named_by_all_others) {
  on_ranks(4, [&](Group& group) {
    ASSERT_TRUE(group.wait_for_all());
    if (group.rank() == 2) return;  // its links close with it
    std::vector<float> values(10);
    const auto status = group.sum(values);
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, ErrorCode::unavailable);
    EXPECT_NE(status.error().message.find("rank 2 ended"), std::string::npos) << status.error().message;
    group.leave(status.error());
  });
}

TEST(Group, a_rank_that_gives_up_is_quoted_by_all_others) {
  on_ranks(4, [&](Group& group) {
    if (group.rank() == 1) return group.leave({ErrorCode::invalid_argument, "the loss is no number", "step 7, line 3", ""});
    const auto status = group.wait_for_all();
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().message, "rank 1: the loss is no number (step 7, line 3)");
    group.leave(status.error());
  });
}

TEST(Group, a_rank_that_hangs_is_named_when_the_limit_is_over) {
  std::atomic<int> waiting = 2;
  on_ranks(
      3,
      [&](Group& group) {
        if (group.rank() == 1) {
          while (waiting > 0) std::this_thread::sleep_for(milliseconds(5));
          return;
        }
        const auto status = group.wait_for_all();
        ASSERT_FALSE(status);
        EXPECT_NE(status.error().message.find("rank 1 has not answered"), std::string::npos) << status.error().message;
        group.leave(status.error());
        --waiting;
      },
      milliseconds(300));
}

TEST(Group, ranks_at_different_places_of_the_program_are_found_out) {
  on_ranks(2, [&](Group& group) {
    std::vector<float> values(group.rank() == 0 ? 100 : 120);
    const auto status = group.sum(values);
    ASSERT_FALSE(status);
    group.leave(status.error());
  });
}

// --- over TCP

struct JobCertificates {
  crypto::CertificateAndKey ca =
      crypto::make_ca({.common_name = "job", .not_before = SystemClock().now() - std::chrono::minutes(5)}).value();
  std::shared_ptr<const crypto::TlsPeerContext> issue(const std::string& name, const crypto::CertificateAndKey& issuer,
                                                      int days = 1, milliseconds age = std::chrono::minutes(5)) const {
    crypto::LeafOptions options{.use = crypto::LeafUse::peer, .common_name = "rank", .dns_names = {name}, .days = days};
    options.not_before = SystemClock().now() - age;
    const auto leaf = crypto::issue_leaf(issuer, options).value();
    return crypto::TlsPeerContext::create({leaf.certificate, leaf.key.to_pem(), ca.certificate}).value();
  }
  std::shared_ptr<const crypto::TlsPeerContext> issue(const std::string& name) const { return issue(name, ca); }
};

// A port that was free a moment ago.
std::uint16_t free_port() { return listen_on(0, Reach::loopback_only)->port; }

std::vector<Result<Group>> meet(const std::vector<MeshOptions>& options, std::size_t ranks) {
  const auto port = free_port();
  std::vector<Result<Group>> groups(options.size());
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < options.size(); ++i)
    threads.emplace_back(
        [&, i] { groups[i] = join_mesh({i, ranks, "127.0.0.1", port, "host-" + std::to_string(i)}, options[i]); });
  for (auto& thread : threads) thread.join();
  return groups;
}

class Mesh : public ::testing::Test {
 protected:
  void SetUp() override { ::signal(SIGPIPE, SIG_IGN); }
  MeshOptions with(std::shared_ptr<const crypto::TlsPeerContext> tls, milliseconds join_max = milliseconds(20'000)) const {
    return {std::move(tls), join_max, milliseconds(20'000)};
  }
  JobCertificates job_;
};

TEST_F(Mesh, ranks_with_certificates_of_one_job_meet_over_tls_1_3_and_compute_together) {
  std::vector<MeshOptions> options;
  for (std::size_t i = 0; i < 4; ++i) options.push_back(with(job_.issue(i == 3 ? "*.job.internal" : certificate_name(i))));
  auto groups = meet(options, 4);
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < 4; ++i) {
    ASSERT_TRUE(groups[i]) << groups[i].error().message << " " << groups[i].error().where;
    threads.emplace_back([&, i] {
      auto values = numbers(300'000, i);
      ASSERT_TRUE(groups[i]->sum(values));
      EXPECT_EQ(groups[i]->gather(to_hex({reinterpret_cast<const std::uint8_t*>(values.data()), 4000}))->at((i + 1) % 4),
                to_hex({reinterpret_cast<const std::uint8_t*>(values.data()), 4000}));
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(groups[0]->name_of(2), "rank 2 (host-2)");
}

TEST_F(Mesh, a_rank_with_a_certificate_of_another_ca_or_for_another_rank_or_out_of_date_is_turned_away) {
  const auto other = JobCertificates();
  const std::shared_ptr<const crypto::TlsPeerContext> bad[] = {
      job_.issue("*.job.internal", other.ca), job_.issue("rank-2.job.internal"),
      job_.issue("*.job.internal", job_.ca, 1, std::chrono::hours(48))};
  const char* words[] = {"unable to get local issuer certificate", "does not speak for rank-1.job.internal", "expired"};
  for (int i = 0; i < 3; ++i) {
    auto groups = meet({with(job_.issue("*.job.internal"), milliseconds(700)), with(bad[i], milliseconds(700))}, 2);
    ASSERT_FALSE(groups[0]);
    EXPECT_NE(groups[0].error().message.find("rank 1 did not come"), std::string::npos);
    EXPECT_NE(groups[0].error().hint.find(words[i]), std::string::npos) << groups[0].error().hint;
    ASSERT_FALSE(groups[1]);
    EXPECT_EQ(groups[1].error().code, ErrorCode::permission_denied);
  }
}

TEST_F(Mesh, a_rank_that_is_not_who_it_was_called_as_gets_no_greeting) {
  auto groups = meet(
      {with(job_.issue("rank-1.job.internal"), milliseconds(700)), with(job_.issue("*.job.internal"), milliseconds(700))},
      2);
  ASSERT_FALSE(groups[1]);
  EXPECT_NE(groups[1].error().message.find("does not speak for rank-0.job.internal"), std::string::npos)
      << groups[1].error().message;
}

TEST_F(Mesh, callers_that_are_no_ranks_do_not_stop_the_meeting) {
  const auto port = free_port();
  std::thread stranger([&] {
    for (int i = 0; i < 3; ++i) {
      auto socket = call("127.0.0.1", port, std::chrono::steady_clock::now() + std::chrono::seconds(5));
      if (socket) (void)::send(socket->get(), "GET / HTTP/1.1\r\n\r\n", 18, MSG_NOSIGNAL);
    }
  });
  Result<Group> groups[2];
  std::thread first([&] { groups[0] = join_mesh({0, 2, "127.0.0.1", port, ""}, with(job_.issue("*.job.internal"))); });
  stranger.join();
  groups[1] = join_mesh({1, 2, "127.0.0.1", port, ""}, with(job_.issue("*.job.internal")));
  first.join();
  EXPECT_TRUE(groups[0]) << groups[0].error().message;
  EXPECT_TRUE(groups[1]) << groups[1].error().message;
}

TEST_F(Mesh, all_ranks_that_came_are_told_which_one_did_not) {
  auto groups = meet(
      {with(job_.issue("*.job.internal"), milliseconds(700)), with(job_.issue("*.job.internal"), milliseconds(5'000))}, 3);
  for (const auto& group : groups) {
    ASSERT_FALSE(group);
    EXPECT_NE(group.error().message.find("rank 2 did not come"), std::string::npos) << group.error().message;
  }
}

TEST_F(Mesh, plain_bytes_do_not_leave_the_machine) {
  const auto group = join_mesh({1, 2, "198.51.100.7", 29500, ""}, with(nullptr));
  ASSERT_FALSE(group);
  EXPECT_EQ(group.error().code, ErrorCode::invalid_argument);
  const auto groups = meet({with(nullptr), with(nullptr)}, 2);
  EXPECT_TRUE(groups[0]);
  EXPECT_TRUE(groups[1]);
}

// --- who a process is

Variable variables(std::map<std::string, std::string> values) {
  auto kept = std::make_shared<std::map<std::string, std::string>>(std::move(values));
  return [kept](const char* name) -> const char* {
    const auto found = kept->find(name);
    return found == kept->end() ? nullptr : found->second.c_str();
  };
}

TEST(Place, is_read_from_the_standard_variables) {
  const auto place = read_place(
      variables({{"MASTER_ADDR", "10.0.0.1"}, {"MASTER_PORT", "2222"}, {"RANK", "3"}, {"WORLD_SIZE", "4"}}), "/nowhere");
  ASSERT_TRUE(place);
  EXPECT_EQ(place->rank, 3u);
  EXPECT_EQ(place->ranks, 4u);
  EXPECT_EQ(place->master_host, "10.0.0.1");
  EXPECT_EQ(place->master_port, 2222);
  EXPECT_EQ(read_place(variables({}), "/nowhere")->ranks, 1u);
}

TEST(Place, is_beside_the_agents_of_torchrun) {
  const auto port_of = [](const char* port, const char* agent) {
    return read_place(variables({{"MASTER_ADDR", "10.0.0.1"}, {"MASTER_PORT", port}, {"RANK", "0"}, {"WORLD_SIZE", "2"}, {"TORCHELASTIC_USE_AGENT_STORE", agent}}), "/nowhere")->master_port;
  };
  EXPECT_EQ(port_of("2222", "True"), 2223);
  EXPECT_EQ(port_of("32767", "True"), 32766);
  for (const auto& [taken, ours] : {std::pair{"32768", 22768}, {"36237", 26237}, {"60999", 20999}, {"65535", 25535}}) EXPECT_EQ(port_of(taken, "True"), ours);
  EXPECT_EQ(port_of("2222", "False"), 2222);
}

TEST(Place, half_a_set_of_variables_names_the_missing_one) {
  const std::map<std::string, std::string> all = {
      {"MASTER_ADDR", "10.0.0.1"}, {"MASTER_PORT", "2222"}, {"RANK", "1"}, {"WORLD_SIZE", "2"}};
  for (const auto& [name, value] : all) {
    auto some = all;
    some.erase(name);
    const auto place = read_place(variables(some), "/nowhere");
    ASSERT_FALSE(place) << name;
    EXPECT_NE(place.error().message.find(name), std::string::npos);
    some[name] = name == "MASTER_ADDR" ? "" : "two";
    EXPECT_FALSE(read_place(variables(some), "/nowhere")) << name;
  }
  auto outside = all;
  outside["RANK"] = "2";
  EXPECT_FALSE(read_place(variables(outside), "/nowhere"));
}

TEST(Place, is_read_from_sagemakers_hosts_and_the_lowest_leads) {
  const auto folder = TemporaryFolder::create().value();
  const auto file = folder.path() / "resourceconfig.json";
  ASSERT_TRUE(write_file(file, R"({"current_host":"algo-2","hosts":["algo-2","algo-1"],"network_interface_name":"eth0"})"));
  const auto place = read_place(variables({}), file);
  ASSERT_TRUE(place) << place.error().message;
  EXPECT_EQ(place->rank, 1u);
  EXPECT_EQ(place->ranks, 2u);
  EXPECT_EQ(place->master_host, "algo-1");
  ASSERT_TRUE(write_file(file, R"({"current_host":"algo-1","hosts":["algo-1"]})"));
  EXPECT_EQ(read_place(variables({}), file)->ranks, 1u);
  for (const char* bad :
       {R"({"current_host":"algo-3","hosts":["algo-1","algo-2"]})", R"({"hosts":["algo-1"]})",
        R"({"current_host":"a","hosts":["a","a"]})", R"({"current_host":"a","hosts":["a",1]})", "[]", "{"}) {
    ASSERT_TRUE(write_file(file, bad));
    EXPECT_FALSE(read_place(variables({}), file)) << bad;
  }
}

TEST(Frame, a_header_is_read_back_and_noise_is_not) {
  const auto bytes = write_header({FrameKind::farewell, 0x0102030405060708, 77});
  const auto header = read_header(bytes).value();
  EXPECT_EQ(header.kind, FrameKind::farewell);
  EXPECT_EQ(header.sequence, 0x0102030405060708u);
  EXPECT_EQ(header.bytes, 77u);
  for (std::size_t i : {0, 3, 4, 5, 7}) {
    auto broken = bytes;
    broken[i] ^= 0x40;
    EXPECT_FALSE(read_header(broken)) << i;
  }
}

}  // namespace
}  // namespace redoubt::engine::distributed
