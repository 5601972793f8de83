// SPDX-License-Identifier: Apache-2.0
#include "provider/local/job_runner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fstream>

#include "provider/local/image_store.h"
#include "provider/local/worker_host.h"
#include "provider/testing/job_files.h"
#include "sandbox/probe/tar.h"

namespace redoubt::provider::local {
namespace {

using sandbox::probe_image::make_tar;

using provider::testing::contents;
using provider::testing::file;
using provider::testing::Kept;

class LocalJobRunnerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    images_ = std::move(*LocalImageStore::open(folder_.path() / "images"));
    layer_ = put(make_tar({{"usr/bin/probe", *read_text_file(REDOUBT_PROBE, 64 << 20)}}));
    spec_.image = make_image("application/vnd.oci.image.layer.v1.tar");
    spec_.entry_point = "train";
    spec_.hyperparameters = {{"seed", "7"}};
    spec_.channels["train"] = {file("a.txt", "abc")};
  }
  Digest put(const Bytes& bytes) {
    MemorySource source(bytes);
    return *images_->put_blob(source);
  }
  std::string make_image(const std::string& layer_type) {
    const Digest config = put(to_bytes(dump_json({{"config", {{"Entrypoint", {"/usr/bin/probe"}}}}})));
    const Json manifest = {
        {"schemaVersion", 2},
        {"config", {{"mediaType", "application/vnd.oci.image.config.v1+json"}, {"digest", config.tagged()}}},
        {"layers", {{{"mediaType", layer_type}, {"digest", layer_.tagged()}}}}};
    return put(to_bytes(dump_json(manifest))).tagged();
  }
  Result<JobResult> run() { return LocalJobRunner({}, *images_).run(spec_, kept_); }

  TemporaryFolder folder_ = std::move(*TemporaryFolder::create());
  std::unique_ptr<LocalImageStore> images_;
  Digest layer_;
  JobSpec spec_;
  Kept kept_;
};

TEST_F(LocalJobRunnerTest, a_link_planted_as_the_model_is_refused) {
  spec_.entry_point = "plant";
  const auto result = run();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::permission_denied);
  EXPECT_TRUE(kept_.model.empty());
}

TEST_F(LocalJobRunnerTest, an_image_whose_layer_was_changed_is_tampered_and_never_runs) {
  const auto path = folder_.path() / "images" / "blobs" / "sha256" / layer_.hex();
  std::filesystem::permissions(path, std::filesystem::perms::owner_all);
  std::fstream blob(path, std::ios::in | std::ios::out | std::ios::binary);
  blob.seekp(300'000);
  blob.put('!');
  blob.close();
  const auto result = run();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::tampered) << result.error().message;
  EXPECT_TRUE(kept_.events.empty());
}

TEST_F(LocalJobRunnerTest, a_layer_of_an_unknown_type_is_refused) {
  spec_.image = make_image("application/octet-stream");
  EXPECT_EQ(run().error().code, ErrorCode::invalid_argument);
}

TEST_F(LocalJobRunnerTest, a_worker_answers_on_its_socket_and_ends_at_its_end) {
  WorkerSpec spec;
  spec.image = spec_.image;
  spec.base = {file("config.json", "the model\n")};
  std::string log;
  spec.on_log = [&log](std::string_view line) { log += line; };
  const auto worker = Worker::start(spec, *images_);
  ASSERT_TRUE(worker) << worker.error().message;
  ASSERT_EQ(send((*worker)->socket(), "x", 1, MSG_NOSIGNAL), 1);
  char byte = 0;
  EXPECT_EQ(recv((*worker)->socket(), &byte, 1, 0), 1);
  EXPECT_EQ(byte, 'x');
  shutdown((*worker)->socket(), SHUT_WR);
  const auto exit = (*worker)->wait();
  ASSERT_TRUE(exit);
  EXPECT_EQ(exit->code, 0);
  EXPECT_EQ(log, "the model");
}

TEST_F(LocalJobRunnerTest, a_killed_worker_closes_its_socket) {
  WorkerSpec spec;
  spec.image = spec_.image;
  const auto worker = Worker::start(spec, *images_);
  ASSERT_TRUE(worker) << worker.error().message;
  (*worker)->kill();
  char byte = 0;
  EXPECT_EQ(recv((*worker)->socket(), &byte, 1, 0), 0);
  EXPECT_EQ((*worker)->wait()->ending, sandbox::Ending::killed);
}

}  // namespace
}  // namespace redoubt::provider::local
