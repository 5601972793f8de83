// SPDX-License-Identifier: Apache-2.0
//
// What the endpoint's process is made of besides the gateway: its certificate, its keys, its captures, its workers.
#pragma once

#include <mutex>

#include "cli/session.h"
#include "crypto/x509.h"
#include "gateway/api_key.h"
#include "gateway/budget.h"
#include "gateway/router.h"
#include "pipeline/config.h"
#include "stages/deploy/deployment.h"

namespace redoubt::cli {

// The workspace's own authority, made at first use; its certificate is left in ca.pem for clients.
Result<crypto::CertificateAndKey> endpoint_authority(Session& session);
std::filesystem::path authority_file(const Session& session, const GlobalOptions& options);
Result<crypto::CertificateAndKey> endpoint_certificate(Session& session, const pipeline::DeployOptions& endpoint);

// API keys of an environment, sealed.
Result<std::unique_ptr<gateway::ApiKeys>> open_api_keys(Session& session, const std::string& environment);

// What keys and tenants of an environment have used, sealed; saved in the background.
Result<std::unique_ptr<gateway::BudgetBook>> open_budgets(Session& session, const std::string& environment);

// The captured prompts, oldest first, at most `count` of the newest.
Result<std::vector<std::string>> captured_prompts(Session& session, const std::string& environment, std::size_t count);
// The prompts that the deployed model was trained on: the drift monitor's baseline.
Result<std::vector<std::string>> training_prompts(Session& session, const Digest& training_data);

// What the workers of a deploy statement run and how: the same text is the same workers.
std::string content_of(const stages::deploy::CurrentDeployment& deployment, const pipeline::DeployOptions& endpoint);
// The release of a deploy statement with its workers started and ready, heard on the reactor's thread. The session outlives the release.
Result<gateway::Release> start_release(Session& session, std::shared_ptr<http::Reactor> reactor, const stages::deploy::CurrentDeployment& deployment, const pipeline::DeployOptions& endpoint);

}  // namespace redoubt::cli
