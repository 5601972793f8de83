// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/rank_certificates.h"

#include "base/memory_object.h"
#include "crypto/x509.h"

namespace redoubt::provider::aws {
namespace {

constexpr int kDaySeconds = 24 * 3600;
constexpr const char* kRankNames = "*.job.internal";

JobFile file_of(std::string path, Bytes bytes) {
  return {std::move(path), [bytes = std::move(bytes)]() -> Result<std::unique_ptr<RandomAccess>> {
            return std::make_unique<MemoryObject>(bytes);
          }};
}

}  // namespace

Result<std::vector<JobFile>> rank_certificates(TimePoint now, int time_s_max) {
  // A job may wait as long again for capacity before it runs.
  const int days = 2 * (time_s_max / kDaySeconds + 1) + 1;
  const TimePoint not_before = now - std::chrono::minutes(15);
  const auto ca = TRY(crypto::make_ca({.common_name = "training job", .not_before = not_before, .days = days}));
  const auto leaf = TRY(crypto::issue_leaf(ca, {.use = crypto::LeafUse::peer, .common_name = "rank", .dns_names = {kRankNames},
                                                .not_before = not_before, .days = days}));
  const Secret key = leaf.key.to_pem();
  const ByteView key_bytes = key.reveal(SecretAccess::for_crypto());
  std::vector<JobFile> files;
  files.push_back(file_of("ca.pem", to_bytes(ca.certificate)));
  files.push_back(file_of("rank.pem", to_bytes(leaf.certificate)));
  files.push_back(file_of("rank-key.pem", Bytes(key_bytes.begin(), key_bytes.end())));
  return files;
}

}  // namespace redoubt::provider::aws
