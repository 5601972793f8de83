// SPDX-License-Identifier: Apache-2.0
#include "stages/acquire/remote_file.h"

#include <gtest/gtest.h>

#include "base/memory_object.h"
#include "http/server.h"
#include "http/testing_client.h"

namespace redoubt::stages::acquire {
namespace {

// A hub with one file, which can change between two requests.
class RemoteFileTest : public ::testing::Test, public http::Handler {
 protected:
  void SetUp() override {
    ASSERT_TRUE(write_file(folder_.path() / "ca.pem", certificate_.ca_pem));
    http::ServerOptions options;
    options.host = "127.0.0.1";
    options.certificate_pem = certificate_.certificate_pem;
    options.private_key_pem = certificate_.private_key_pem;
    auto server = http::Server::start(std::move(options), *this);
    ASSERT_TRUE(server) << server.error().message;
    server_ = std::move(*server);
    client_.emplace(HubOptions{.endpoint = "https://localhost:" + std::to_string(server_->port()), .ca_file = (folder_.path() / "ca.pem").string(), .allowed_hosts = {}, .token = std::nullopt});
    place_.emplace(RemoteFile::Place{*client_, "acme/tiny", std::string(40, 'a')});
  }
  void on_request(http::Request request, http::Responder responder) override {
    ++requests_;
    responder.send(http::object_response(request, std::make_shared<MemoryObject>(contents_), "application/octet-stream", "\"x\""));
  }
  static Bytes pattern(std::size_t size) {
    Bytes bytes(size);
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::uint8_t>(i * 0x9e3779b97f4a7c15u >> 56);
    return bytes;
  }
  std::unique_ptr<RemoteFile> open() {
    auto file = RemoteFile::open(*place_, {"model.bin", contents_.size(), "", crypto::sha256(contents_)});
    EXPECT_TRUE(file) << file.error().message;
    return std::move(*file);
  }
  static Result<Bytes> read(const RemoteFile& file, std::uint64_t offset, std::size_t size) {
    Bytes bytes(size);
    TRY(file.read_at(offset, bytes));
    return bytes;
  }
  Bytes part(std::uint64_t offset, std::size_t size) const { return Bytes(contents_.begin() + static_cast<std::ptrdiff_t>(offset), contents_.begin() + static_cast<std::ptrdiff_t>(offset + size)); }

  static constexpr std::size_t kBlock = RemoteFile::kBlockBytes;
  TemporaryFolder folder_ = *TemporaryFolder::create();
  http::testing::TestCertificate certificate_ = http::testing::make_test_certificate();
  Bytes contents_ = pattern((RemoteFile::kBlocksMax + 2) * kBlock + 77);
  std::atomic<int> requests_ = 0;
  std::unique_ptr<http::Server> server_;
  std::optional<HubClient> client_;
  std::optional<RemoteFile::Place> place_;
};

TEST_F(RemoteFileTest, reads_anywhere_and_is_believed_at_its_end) {
  const auto file = open();
  for (const auto& [offset, size] : {std::pair<std::uint64_t, std::size_t>{0, 10}, {kBlock - 3, 6}, {3 * kBlock, kBlock}, {contents_.size() - 5, 5}, {2, 1}}) {
    EXPECT_EQ(read(*file, offset, size).value_or(Bytes{}), part(offset, size)) << offset;
  }
  EXPECT_EQ(read(*file, contents_.size(), 1).error().code, ErrorCode::invalid_argument);
  EXPECT_TRUE(file->finish());
}

TEST_F(RemoteFileTest, a_block_that_is_fetched_again_is_the_same) {
  const auto file = open();
  for (std::size_t block = 0; block < RemoteFile::kBlocksMax + 2; ++block) ASSERT_TRUE(read(*file, block * kBlock, 1));
  const int before = requests_;
  EXPECT_EQ(read(*file, 5, 9).value_or(Bytes{}), part(5, 9));  // fell out of memory meanwhile
  EXPECT_EQ(requests_, before + 1);
  EXPECT_TRUE(file->finish());
}

TEST_F(RemoteFileTest, a_block_that_differs_the_second_time_is_tampered_for_good) {
  const auto file = open();
  for (std::size_t block = 0; block < RemoteFile::kBlocksMax + 2; ++block) ASSERT_TRUE(read(*file, block * kBlock, 1));
  contents_[kBlock - 1] ^= 1;
  EXPECT_EQ(read(*file, 0, 1).error().code, ErrorCode::tampered);
  contents_[kBlock - 1] ^= 1;
  EXPECT_EQ(read(*file, 0, 1).error().code, ErrorCode::tampered);
  EXPECT_EQ(file->finish().error().code, ErrorCode::tampered);
}

TEST_F(RemoteFileTest, two_blocks_that_changed_places_are_tampered) {
  const auto file = open();
  for (std::size_t block = 0; block < RemoteFile::kBlocksMax + 2; ++block) ASSERT_TRUE(read(*file, block * kBlock, 1));
  std::swap_ranges(contents_.begin(), contents_.begin() + kBlock, contents_.begin() + kBlock);
  EXPECT_EQ(read(*file, 0, 1).error().code, ErrorCode::tampered);
}

TEST_F(RemoteFileTest, other_contents_than_the_hub_named_are_tampered_at_the_end) {
  const auto file = open();
  contents_.back() ^= 1;
  EXPECT_TRUE(read(*file, 0, 1));
  EXPECT_EQ(file->finish().error().code, ErrorCode::tampered);
}

}  // namespace
}  // namespace redoubt::stages::acquire
