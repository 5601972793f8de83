// SPDX-License-Identifier: Apache-2.0
//
// The channel by which the instances of one training job know each other (docs/distributed.md): a CA made for this job alone, whose
// key is gone when this returns, and one certificate of it for all ranks.
#pragma once

#include <vector>

#include "base/clock.h"
#include "provider/job_runner.h"

namespace redoubt::provider::aws {

constexpr const char* kCertificatesChannel = "certificates";

// ca.pem, rank.pem and rank-key.pem, valid from some minutes before `now` until a day after the job's longest time.
Result<std::vector<JobFile>> rank_certificates(TimePoint now, int time_s_max);

}  // namespace redoubt::provider::aws
