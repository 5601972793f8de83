// SPDX-License-Identifier: Apache-2.0
//
// Artifacts as the files of a job, and the other way round.
#pragma once

#include <filesystem>
#include <vector>

#include "provider/job_runner.h"
#include "vault/artifact_store.h"

namespace redoubt::vault {

// The files of an artifact, opened (and verified) as the job reads them. The store must outlive them.
Result<std::vector<provider::JobFile>> job_files(ArtifactStore& store, const Digest& artifact);
// The plain files of a folder (or the one file), for work outside a pipeline.
Result<std::vector<provider::JobFile>> job_files(const std::filesystem::path& folder);
// How long all files are together.
Result<std::uint64_t> bytes_of(const std::vector<provider::JobFile>& files);
// The digest that such files have as an artifact of that kind, without a store.
Result<Digest> artifact_digest(std::string_view kind, const std::vector<provider::JobFile>& files);
// Seals what a job gave back as an artifact of that kind.
Result<Digest> store_job_files(ArtifactStore& store, std::string_view kind, const std::vector<provider::JobFile>& files);

}  // namespace redoubt::vault
