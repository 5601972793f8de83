// SPDX-License-Identifier: Apache-2.0
#include "cli/compose.h"

#include "provider/local/image_store.h"
#include "provider/local/job_runner.h"
#include "provider/local/sqlite_registry.h"
#include "provider/local/webhook_notifier.h"

namespace redoubt::cli {

struct Providers::State {
  Json config;
  governance::Workspace& workspace;
  const Clock& clock;
  std::unique_ptr<provider::ImageStore> images;
  std::unique_ptr<provider::JobRunner> runner;
  std::unique_ptr<provider::ModelRegistry> registry;
};

Providers::Providers(std::unique_ptr<State> state) : state_(std::move(state)) {}
Providers::~Providers() = default;

Result<std::unique_ptr<Providers>> Providers::create(const Json& config, governance::Workspace& workspace, const Clock& clock) {
  return std::unique_ptr<Providers>(new Providers(std::unique_ptr<State>(new State{config, workspace, clock, nullptr, nullptr, nullptr})));
}

const Json& Providers::config() const { return state_->config; }
provider::ObjectStore& Providers::objects() { return state_->workspace.objects(); }
vault::ArtifactStore& Providers::artifacts() { return state_->workspace.artifacts(); }
provider::SecretStore& Providers::secrets() { return state_->workspace.secrets(); }

Result<provider::ImageStore*> Providers::images() {
  if (state_->images == nullptr) state_->images = TRY(provider::local::LocalImageStore::open(state_->workspace.layout().images()));
  return state_->images.get();
}

Result<provider::JobRunner*> Providers::runner() {
  if (state_->runner == nullptr) state_->runner = std::make_unique<provider::local::LocalJobRunner>(provider::local::LocalJobRunnerOptions{}, *TRY(images()));
  return state_->runner.get();
}

Result<provider::ModelRegistry*> Providers::registry() {
  if (state_->registry == nullptr) {
    auto mac_key = TRY(state_->workspace.named_key("registry-mac"));
    state_->registry = TRY(provider::local::SqliteRegistry::open({state_->workspace.layout().registry(), std::move(mac_key)}));
  }
  return state_->registry.get();
}

Status Providers::discard_registry() {
  state_->registry.reset();
  return provider::local::SqliteRegistry::discard(state_->workspace.layout().registry());
}

Result<std::unique_ptr<provider::Notifier>> Providers::notifier(const std::string& url, const std::string& ca_file, const std::string& secret_name) {
  if (url.empty()) return std::unique_ptr<provider::Notifier>();
  provider::local::WebhookOptions options;
  options.url = url;
  options.ca_file = ca_file;
  options.secret_name = secret_name;
  return std::unique_ptr<provider::Notifier>(TRY(provider::local::WebhookNotifier::create(std::move(options), secrets(), state_->clock)));
}

}  // namespace redoubt::cli
