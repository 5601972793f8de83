// SPDX-License-Identifier: Apache-2.0
#include "pipeline/config.h"

#include <gtest/gtest.h>

#include "base/file.h"
#include "crypto/sign.h"
#include "pipeline/providers.h"

namespace redoubt::pipeline {
namespace {

class ConfigTest : public ::testing::Test {
 protected:
  TemporaryFolder folder_ = *TemporaryFolder::create();

  void SetUp() override {
    write("training_config.yaml", "version: 1\nepochs: 2\n");
    write("thresholds.yaml", "version: 1\neval_loss_max: 1.25\n");
    write("policy.yaml", "version: 1\n");
    write("redoubt.yaml", "version: 1\nname: m\nmodel: {repository: o/n}\ndata: {file: d.jsonl}\n");
  }
  void write(const char* name, std::string_view text) { ASSERT_TRUE(write_file(folder_.path() / name, text)); }
  Result<Config> load() { return load_config(folder_.path() / "redoubt.yaml"); }
};

TEST_F(ConfigTest, reads_the_files_it_names_and_fills_in_defaults) {
  const auto config = load();
  ASSERT_TRUE(config) << config.error().message << config.error().where;
  EXPECT_EQ(config->training["epochs"], 2);
  EXPECT_EQ(config->training["lora_r"], 16);
  EXPECT_EQ(config->thresholds.eval_loss_max, 1.25);
  EXPECT_EQ(config->thresholds.perplexity_max, 20);
  EXPECT_EQ(config->policy.approvals_min, 1);
  EXPECT_EQ(config->data.file, folder_.path() / "d.jsonl");
  EXPECT_EQ(config->deploy.names, std::vector<std::string>{"localhost"});
}

TEST_F(ConfigTest, how_workers_serve_is_configured_recorded_and_has_the_engines_defaults) {
  EXPECT_EQ(load()->deploy.engine(), (Json{{"slots", 8}, {"context", 0}, {"weights", "bf16"}}));
  const std::string start = "version: 1\nname: m\nmodel: {repository: o/n}\ndata: {file: d.jsonl}\ndeploy: ";
  write("redoubt.yaml", start + "{slots: 4, context: 2048, weights: int8}\n");
  const auto config = load();
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->deploy.engine(), (Json{{"slots", 4}, {"context", 2048}, {"weights", "int8"}}));
  auto recorded = config->deploy.to_json();
  EXPECT_EQ(DeployOptions::from_json(recorded)->to_json(), recorded);
  for (const char* name : {"slots", "context", "weights"}) recorded.erase(name);  // as versions before had it
  EXPECT_EQ(DeployOptions::from_json(recorded)->engine(), (Json{{"slots", 8}, {"context", 0}, {"weights", "bf16"}}));
  for (const char* wrong : {"{slots: 0}", "{slots: 257}", "{slots: many}", "{context: -1}", "{weights: int2}"}) {
    write("redoubt.yaml", start + wrong + "\n");
    ASSERT_FALSE(load()) << wrong;
    EXPECT_EQ(load().error().where, (folder_.path() / "redoubt.yaml").string() + ":5") << wrong;
  }
}

TEST_F(ConfigTest, capture_is_yes_or_no_or_says_how_much_for_how_long) {
  const std::string start = "version: 1\nname: m\nmodel: {repository: o/n}\ndata: {file: d.jsonl}\ndeploy: ";
  const auto recorded = [&](const std::string& capture) {
    write("redoubt.yaml", start + "{capture: " + capture + "}\n");
    const auto config = load();
    EXPECT_TRUE(config) << config.error().message;
    const auto json = config->deploy.to_json();
    EXPECT_EQ(DeployOptions::from_json(json)->to_json(), json);
    EXPECT_EQ(DeployOptions::from_json(json)->capture.retention_days, config->deploy.capture.retention_days);
    return json["capture"];
  };
  EXPECT_EQ(load()->deploy.to_json()["capture"], Json(true));  // a statement of before stays the same
  EXPECT_EQ(recorded("true"), Json(true));
  EXPECT_EQ(recorded("false"), Json(false));
  EXPECT_EQ(recorded("{}"), Json(true));
  EXPECT_EQ(recorded("{share: 1, retention_days: 30}"), Json(true));
  EXPECT_EQ(recorded("{share: 0}"), Json(false));
  EXPECT_EQ(recorded("{share: 0.25}"), (Json{{"share", 0.25}, {"retention_days", 30}}));
  EXPECT_EQ(recorded("{retention_days: 7}"), (Json{{"share", 1.0}, {"retention_days", 7}}));
  EXPECT_EQ(recorded("{share: 0, retention_days: 3650}"), (Json{{"share", 0.0}, {"retention_days", 3650}}));
  for (const char* wrong : {"maybe", "1", "{share: 1.5}", "{share: -0.1}", "{share: .nan}", "{share: half}", "{retention_days: 0}", "{retention_days: 3651}", "{retention_days: 1.5}", "{rate: 1}"}) {
    write("redoubt.yaml", start + "{capture: " + wrong + "}\n");
    ASSERT_FALSE(load()) << wrong;
    EXPECT_EQ(load().error().code, ErrorCode::invalid_argument) << wrong;
    EXPECT_EQ(load().error().where, (folder_.path() / "redoubt.yaml").string() + ":5") << wrong;
    EXPECT_EQ(load().error().message.find("deploy.capture"), 0u) << load().error().message;
  }
  write("redoubt.yaml", start + "{}\n");
  auto statement = load()->deploy.to_json();
  for (const Json& wrong : {Json(), Json("yes"), Json{{"share", 2}}, Json{{"share", "all"}}, Json{{"retention_days", 0}}}) {
    statement["capture"] = wrong;
    EXPECT_EQ(DeployOptions::from_json(statement).error().code, ErrorCode::invalid_argument) << wrong;
  }
}

TEST_F(ConfigTest, scale_and_rollout_are_recorded_as_they_stand_and_only_where_they_are_given) {
  const std::string start = "version: 1\nname: m\nmodel: {repository: o/n}\ndata: {file: d.jsonl}\ndeploy: ";
  const auto plain = load()->deploy.to_json();
  for (const char* name : {"scale", "rollout", "hang_s", "drain_s"}) EXPECT_FALSE(plain.contains(name)) << name;  // a statement of before stays the same
  write("redoubt.yaml", start + "{scale: {min: 0, max: 3, queue_ms: 100}, rollout: {kind: canary, percent: 5}, hang_s: 20, drain_s: 60}\n");
  const auto config = load();
  ASSERT_TRUE(config) << config.error().message;
  const auto recorded = config->deploy.to_json();
  EXPECT_EQ(recorded["scale"], (Json{{"min", 0}, {"max", 3}, {"queue_ms", 100}}));
  EXPECT_EQ(recorded["rollout"], (Json{{"kind", "canary"}, {"percent", 5}}));
  EXPECT_EQ(DeployOptions::from_json(recorded)->to_json(), recorded);
  for (const char* wrong : {"{scale: {min: -1}}", "{scale: {most: 3}}", "{rollout: {percent: 5}}", "{rollout: {kind: linear}}", "{hang_s: 0}", "{drain_s: 901}"}) {
    write("redoubt.yaml", start + wrong + "\n");
    EXPECT_FALSE(load()) << wrong;
  }
}

TEST_F(ConfigTest, files_of_the_endpoint_are_whole_paths) {
  const std::string start = "version: 1\nname: m\nmodel: {repository: o/n}\ndata: {file: d.jsonl}\ndeploy: ";
  for (const char* file : {"chain.pem", "key.pem", "ca.pem", "rules.pack"}) write(file, "-");
  write("redoubt.yaml", start + "{access: {certificate_file: chain.pem, key_file: key.pem, oidc: {issuer: i, audience: a, key_set_file: ca.pem}, client_certificates: {ca_file: ca.pem}}, "
                                "guards: {packs: [{file: rules.pack, key_file: key.pem}]}, telemetry: {traces: {url: 'https://c.example/v1/traces', ca_file: ca.pem}}}\n");
  const auto config = load();
  ASSERT_TRUE(config) << config.error().message << config.error().where;
  const auto whole = [&](const char* name) { return (folder_.path() / name).string(); };
  EXPECT_EQ(config->deploy.access["certificate_file"], whole("chain.pem"));
  EXPECT_EQ(config->deploy.access["key_file"], whole("key.pem"));
  EXPECT_EQ(config->deploy.access["oidc"]["key_set_file"], whole("ca.pem"));
  EXPECT_EQ(config->deploy.access["client_certificates"]["ca_file"], whole("ca.pem"));
  EXPECT_EQ(config->deploy.guards["packs"][0], (Json{{"file", whole("rules.pack")}, {"key_file", whole("key.pem")}}));
  EXPECT_EQ(config->deploy.telemetry["traces"]["ca_file"], whole("ca.pem"));
  write("redoubt.yaml", start + "{access: {certificate_file: absent.pem, key_file: key.pem}}\n");
  EXPECT_EQ(load().error().where, whole("absent.pem"));
  EXPECT_EQ(load().error().message, "deploy.access.certificate_file is no file");
  write("redoubt.yaml", "version: 1\nname: m\nmodel: {repository: o/n}\ndata: {file: d.jsonl}\nwatch: {webhook: 'https://hooks.example/', webhook_ca_file: absent.pem}\n");
  EXPECT_EQ(load().error().message, "watch.webhook_ca_file is no file");
  write("redoubt.yaml", "version: 1\nname: m\nmodel: {repository: o/n}\ndata: {file: d.jsonl}\nwatch: {webhook: 'https://hooks.example/', webhook_ca_file: ca.pem}\n");
  EXPECT_EQ(load()->watch.webhook_ca_file, whole("ca.pem"));
}

TEST_F(ConfigTest, what_the_endpoint_could_not_start_with_is_told_with_its_place) {
  const std::string start = "version: 1\nname: m\nmodel: {repository: o/n}\ndata: {file: d.jsonl}\n";
  for (const auto& [wrong, field] : std::initializer_list<std::pair<const char*, const char*>>{
           {"deploy: {host: localhost}", "deploy.host"}, {"deploy: {host: 127.0.0.1.5}", "deploy.host"}, {"deploy: {names: []}", "deploy.names"}, {"deploy: {access: {key_file: redoubt.yaml}}", "deploy.access"},
           {"deploy: {access: {oidc: {issuer: 'https://i.example', audience: a, algorithms: [HS256]}}}", "deploy.access"}, {"deploy: {access: {client_certificates: {ca_file: redoubt.yaml, clients: [{name: a, scopes: [admin]}]}}}", "deploy.access"},
           {"deploy: {guards: {kinds: {NO_KIND: log}}}", "deploy.guards"}, {"deploy: {telemetry: {traces: {url: 'http://collector.example/v1/traces'}}}", "deploy.telemetry"}, {"deploy: {telemetry: {access_log: {file: ../access.log}}}", "deploy.telemetry"},
           {"deploy: {scale: {min: 2, max: 1}}", "deploy.scale"}, {"deploy: {scale: {max: 4}}", "deploy.scale"}, {"deploy: {requests_per_minute: 5000000000}", "deploy.requests_per_minute"}, {"watch: {webhook: 'http://example.com/hook'}", "watch.webhook"}}) {
    write("redoubt.yaml", start + wrong + "\n");
    ASSERT_FALSE(load()) << wrong;
    EXPECT_EQ(load().error().code, ErrorCode::invalid_argument) << wrong;
    EXPECT_EQ(load().error().where, (folder_.path() / "redoubt.yaml").string() + ":5") << wrong;
    EXPECT_TRUE(load().error().message.starts_with(field)) << load().error().message;
  }
}

TEST_F(ConfigTest, a_registry_that_is_asked_for_signatures_is_an_address_and_its_authority_a_whole_path) {
  const std::string pem = crypto::SigningKey::generate(crypto::SignatureAlgorithm::ecdsa_p256).public_key().to_pem();
  write("build.pub", pem);
  write("again.pub", pem);
  write("ca.pem", "-");
  const std::string start = "version: 1\nimages: {signed_by: [{name: build, key: build.pub}], signatures_from: ";
  write("policy.yaml", start + "{repository: 'https://registry.example:5000/team/app', ca_file: ca.pem, login_secret: registry/login}}\n");
  const auto config = load();
  ASSERT_TRUE(config) << config.error().message << config.error().where;
  ASSERT_TRUE(config->policy.signatures_from);
  EXPECT_EQ(config->policy.signatures_from->repository, "https://registry.example:5000/team/app");
  EXPECT_EQ(config->policy.signatures_from->ca_file, (folder_.path() / "ca.pem").string());
  EXPECT_EQ(config->policy.signatures_from->login_secret, "registry/login");
  for (const char* wrong : {"{repository: 'http://registry.example/team/app'}", "{repository: 'https://registry.example/team/app:1'}", "{repository: 'https://registry.example/Team'}",
                            "{repository: 'https://registry.example/a@sha256:00'}", "{ca_file: ca.pem}", "{repository: 'https://registry.example/a', ca_file: absent.pem}",
                            "{repository: 'https://registry.example/a', login: x}"}) {
    write("policy.yaml", start + wrong + "}\n");
    ASSERT_FALSE(load()) << wrong;
    EXPECT_EQ(load().error().code, ErrorCode::invalid_argument) << wrong;
  }
  write("policy.yaml", "version: 1\nimages: {signatures_from: {repository: 'https://registry.example/a'}}\n");
  EXPECT_NE(load().error().message.find("signed_by"), std::string::npos);
  write("policy.yaml", "version: 1\nimages: {signatures_min: 2, signed_by: [{name: build, key: build.pub}, {name: security, key: again.pub}]}\n");
  ASSERT_FALSE(load());
  EXPECT_NE(load().error().message.find("a key twice"), std::string::npos) << load().error().message;
}

TEST_F(ConfigTest, names_the_file_and_line_of_a_mistake_in_any_of_them) {
  write("training_config.yaml", "version: 1\n\nepoch: 2\n");
  EXPECT_EQ(load().error().where, (folder_.path() / "training_config.yaml").string() + ":3");
  EXPECT_EQ(load().error().hint, "did you mean 'epochs'?");
  write("training_config.yaml", "version: 2\n");
  EXPECT_EQ(load().error().code, ErrorCode::invalid_argument);
}

TEST_F(ConfigTest, a_checkpoint_after_each_epoch_alone_and_a_single_layer_can_be_asked_for) {
  write("training_config.yaml", "version: 1\ncheckpoint_steps: 0\nlayers_to_transform: 3\n");
  const auto config = load();
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->training["checkpoint_steps"], 0);
  EXPECT_EQ(config->training["layers_to_transform"], 3);
  write("training_config.yaml", "version: 1\nlayers_to_transform: -1\n");
  EXPECT_FALSE(load());
}

TEST_F(ConfigTest, where_an_endpoint_listens_and_what_it_is_called_is_known_before_anything_runs) {
  const std::string start = "version: 1\nname: m\nmodel: {repository: o/n}\ndata: {file: d.jsonl}\ndeploy: ";
  for (const char* right : {"{host: '::1', names: ['::1', models.example.org, 10.0.0.1, '*.example.org']}", "{host: 0.0.0.0, names: [a]}"}) {
    write("redoubt.yaml", start + right + "\n");
    EXPECT_TRUE(load()) << right << load().error().message;
  }
  for (const char* wrong : {"{host: localhost}", "{host: 127.0.0}", "{host: '127.0.0.1 '}", "{names: []}", "{names: ['a b']}", "{names: [a, 'https://a']}", "{names: ['']}", "{names: [-a]}"}) {
    write("redoubt.yaml", start + wrong + "\n");
    const auto config = load();
    ASSERT_FALSE(config) << wrong;
    EXPECT_EQ(config.error().code, ErrorCode::invalid_argument) << wrong;
    EXPECT_EQ(config.error().where, (folder_.path() / "redoubt.yaml").string() + ":5") << wrong;
    EXPECT_TRUE(config.error().message.starts_with("deploy.")) << config.error().message;
  }
}

TEST_F(ConfigTest, a_file_that_is_named_and_not_there_is_a_mistake_of_the_file_that_names_it) {
  const std::string start = "version: 1\nname: m\n", model = "model: {repository: o/n}\n", data = "data: {file: d.jsonl}\n";
  const std::pair<std::string, std::string> named[] = {{"train.config", start + model + data + "train: {config: gone.yaml}\n"}, {"evaluate.thresholds", start + model + data + "evaluate: {thresholds: gone.yaml}\n"},
                                                       {"policy", start + model + data + "policy: gone.yaml\n"}, {"model.signers", start + data + "model: {repository: o/n, signers: gone.yaml}\n"},
                                                       {"data.policy", start + model + "data: {file: d.jsonl, policy: gone.yaml}\n"}};
  for (const auto& [key, text] : named) {
    write("redoubt.yaml", text);
    const auto config = load();
    ASSERT_FALSE(config) << key;
    EXPECT_EQ(config.error().code, ErrorCode::invalid_argument) << key;
    EXPECT_TRUE(config.error().message.starts_with(key + ": ")) << config.error().message;
    EXPECT_EQ(config.error().where, (folder_.path() / "gone.yaml").string());
    EXPECT_NE(config.error().hint.find("redoubt.yaml"), std::string::npos);
  }
}

TEST_F(ConfigTest, a_folder_where_a_file_is_named_is_told_with_its_field) {
  write("redoubt.yaml", "version: 1\nname: m\nmodel: {repository: o/n}\ndata: {file: d.jsonl}\npolicy: ''\n");
  EXPECT_EQ(load().error().message, "policy: is a folder, not a file");
}

TEST_F(ConfigTest, a_number_that_nothing_can_hold_is_refused_and_not_cut) {
  const std::string start = "version: 1\nname: m\nmodel: {repository: o/n}\ndata: {file: d.jsonl}\n";
  for (const char* wrong : {"deploy: {requests_per_minute: 4294967296}", "watch: {critical_vulnerabilities_max: 4294967295}", "watch: {unauthorized_attempts_max: 4294967295}"}) {
    write("redoubt.yaml", start + wrong + "\n");
    EXPECT_FALSE(load()) << wrong;
  }
  write("redoubt.yaml", start);
  for (const char* wrong : {"evaluation_age_days_max: 4294967296", "vulnerabilities: {scan_age_hours_max: 4294967296}"}) {
    write("policy.yaml", std::string("version: 1\n") + wrong + "\n");
    EXPECT_FALSE(load()) << wrong;
  }
  write("policy.yaml", "version: 1\n");
  for (const char* wrong : {"hours_max: 600000", "memory_gib_max: 1e300", "warmup_steps: 4294967296", "checkpoint_steps: 4294967296"}) {
    write("training_config.yaml", std::string("version: 1\n") + wrong + "\n");
    EXPECT_FALSE(load()) << wrong;
  }
}

TEST_F(ConfigTest, plain_http_is_no_endpoint) {
  write("redoubt.yaml", "version: 1\nname: m\nmodel: {repository: o/n, endpoint: 'http://hub'}\ndata: {file: d.jsonl}\n");
  EXPECT_NE(load().error().message.find("model.endpoint"), std::string::npos);
}

TEST_F(ConfigTest, providers_stand_in_a_file_of_their_own_or_in_the_pipeline_file) {
  const std::string block = "providers:\n  objects:\n    s3: {bucket: models, kms_key: alias/x}\n";
  write("redoubt.yaml", "version: 1\nname: m\nmodel: {repository: o/n}\ndata: {file: d.jsonl}\n" + block);
  write("providers.yaml", "version: 1\n" + block);
  const auto config = load();
  ASSERT_TRUE(config) << config.error().message;
  ASSERT_TRUE(config->providers);
  EXPECT_EQ(*config->providers, *load_providers(folder_.path() / "providers.yaml"));
  const auto choice = choice_of(*config->providers, "objects");
  EXPECT_EQ(choice.kind, "s3");
  EXPECT_EQ(choice.options, (Json{{"bucket", "models"}, {"kms_key", "alias/x"}, {"prefix", ""}}));
  EXPECT_EQ(choice_of(*config->providers, "secrets").kind, "");
}

TEST_F(ConfigTest, a_mistake_in_the_providers_is_named_with_its_line) {
  write("providers.yaml", "version: 1\nproviders:\n  kms:\n    aws-kms: {key: 'no key'}\n");
  EXPECT_EQ(load_providers(folder_.path() / "providers.yaml").error().where, (folder_.path() / "providers.yaml").string() + ":4");
  write("providers.yaml", "version: 1\nproviders:\n  objects: {local: {}, s3: {bucket: abc, kms_key: k}}\n");
  EXPECT_EQ(load_providers(folder_.path() / "providers.yaml").error().message, "'objects' names several providers");
  write("redoubt.yaml", "version: 1\nname: m\nmodel: {repository: o/n}\ndata: {file: d.jsonl}\nproviders:\n  objects: {}\n");
  EXPECT_EQ(load().error().where, (folder_.path() / "redoubt.yaml").string() + ":6");
}

TEST_F(ConfigTest, the_files_of_the_repository_are_valid) {
  const auto config = load_config(std::filesystem::path(REDOUBT_SOURCE_DIR) / "config/redoubt.yaml");
  EXPECT_TRUE(config) << config.error().message << " " << config.error().where;
  const auto providers = load_providers(std::filesystem::path(REDOUBT_SOURCE_DIR) / "config/providers.aws.yaml");
  EXPECT_TRUE(providers) << providers.error().message << " " << providers.error().where;
}

}  // namespace
}  // namespace redoubt::pipeline
