// SPDX-License-Identifier: Apache-2.0
//
// The pipeline file and the files it names, read and checked before anything runs.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "attest/signer_policy.h"
#include "base/clock.h"
#include "base/json.h"
#include "governance/policy.h"
#include "rows/row.h"
#include "stages/data/policy.h"
#include "stages/evaluate/gate.h"

namespace redoubt::pipeline {

struct ModelOptions {
  std::string repository, revision, endpoint, ca_file, token_secret, license;
  std::optional<attest::SignerPolicy> signers;  // whose signature the model has to carry
  std::vector<std::string> allowed_hosts;
  std::uint64_t size_gib_max = 256;
};

struct DataOptions {
  std::filesystem::path file;
  std::string vault;  // "vault:NAME[@VERSION][#FILE]" instead of a file
  double eval_fraction = 0.1;
  std::uint64_t seed = 7;
  rows::Question question = rows::Question::user;
  stages::data::Policy policy;
};

struct ImageOptions {
  std::string name;
  bool apt_security = true;
  std::vector<std::filesystem::path> osv, debian_tracker, epss, kev;
  int feed_age_days_max = 14;
  Json accepted_findings = Json::array();  // {id, package, reason, expires}
  struct Document {
    std::filesystem::path file;
    std::string text;
  };
  std::vector<Document> vex;
  std::optional<TimePoint> vex_until;  // the end of statements that name none
};

// What an endpoint keeps of requests and answers, and for how long: `true` or `false` where that says it, else an object.
struct CaptureRules {
  double share = 1;  // of the answered requests, drawn by chance; 0: none
  int retention_days = 30;
  Json to_json() const;
  // `where` names what the value stands in; invalid_argument with the field.
  static Result<CaptureRules> from_json(const Json& value, const std::string& where);
};

struct DeployOptions {
  std::string environment, host;
  int port = 0;
  std::vector<std::string> names;  // in the certificate
  int workers = 1;
  int requests_per_minute = 600;
  int answer_tokens_max = 1024;
  CaptureRules capture;
  int slots = 8;                // requests that a worker answers together
  int context = 0;              // tokens of a prompt and its answer at most; 0: what the model has
  std::string weights = "bf16"; // or "int8", "int4"
  int hang_s = 120;             // without a word of a request its worker hangs
  int drain_s = 30;             // requests under way have so long when the endpoint stops
  Json scale = Json::object();  // how many workers, by the load (gateway/scaling.h); empty: `workers`
  Json rollout = Json::object(); // how a new version comes into service (gateway/rollout.h); empty: at once
  Json access = Json::object(); // who may come besides the keys, and what tenants may use (gateway/access.h)
  Json guards = Json::object(); // what requests may hold and answers may tell (guards/options.h)
  Json telemetry = Json::object();  // the access log and traces (telemetry/options.h)
  Json to_json() const;
  // What each engine worker is started with: the hyperparameters of `serve`.
  Json engine() const;
  static Result<DeployOptions> from_json(const Json& value);
};

struct WatchOptions {
  std::string webhook, webhook_ca_file, webhook_secret;
  int interval_s = 30;
  double rescan_hours = 24;
  int failures_max = 3;  // looks in a row that could not measure something, before its alarm is undecided
  double error_rate_per_minute_max = 10, latency_p99_ms_max = 1000;
  int critical_vulnerabilities_max = 0, unauthorized_attempts_max = 5;
  Json to_json() const;
  static Result<WatchOptions> from_json(const Json& value);
};

struct Config {
  std::filesystem::path file;
  std::string name, description;
  ModelOptions model;
  DataOptions data;
  ImageOptions image;
  Json training;  // training_config.yaml, checked, without its version
  stages::evaluate::Thresholds thresholds;
  int generations = 5;
  std::string bump, intended_use, limitations;
  DeployOptions deploy;
  WatchOptions watch;
  governance::Policy policy;
  std::optional<Json> providers;  // see providers.h; none: those that the workspace used last
};

// invalid_argument with FILE:LINE for whatever is wrong in any of the files.
Result<Config> load_config(const std::filesystem::path& file);

// One of the smaller files alone, for the commands that take it.
Result<Json> load_training_config(const std::filesystem::path& file);
// A policy of signers (docs/formats/signers.md), with the keys that it names.
Result<attest::SignerPolicy> load_signers(const std::filesystem::path& file);
Result<Json> load_policy(const std::filesystem::path& file);  // what its readers take from it
Result<stages::evaluate::Thresholds> load_thresholds(const std::filesystem::path& file);

}  // namespace redoubt::pipeline
