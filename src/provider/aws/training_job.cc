// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/training_job.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <regex>

#include "base/file.h"
#include "crypto/hash.h"
#include "provider/object_store.h"

namespace redoubt::provider::aws {
namespace {

constexpr std::size_t kJobNameBytesMax = 63;
constexpr std::size_t kHyperparametersMax = 100, kKeyBytesMax = 256, kValueBytesMax = 2500;
constexpr std::size_t kChannelsMax = 20;
constexpr int kInstancesMax = 100;
constexpr int kTimeMax = 28 * 24 * 3600;
constexpr std::uint64_t kGiB = 1ull << 30;

bool matches(const std::string& text, const char* pattern) { return std::regex_match(text, std::regex(pattern)); }

Status check(const std::string& value, const char* pattern, const char* name, const char* looks_like) {
  if (value.size() <= 2048 && matches(value, pattern)) return {};
  return fail(ErrorCode::invalid_argument, fmt::format("{} is not one", name), value.substr(0, 200), fmt::format("it looks like {}", looks_like));
}

// Letters, digits and single dashes, as every name in SageMaker has to be.
std::string as_name(std::string_view text, std::size_t bytes_max) {
  std::string name;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (plain) name += c;
    else if (!name.empty() && name.back() != '-') name += '-';
  }
  name = name.substr(0, bytes_max);
  while (!name.empty() && name.back() == '-') name.pop_back();
  return name;
}

Status check_files(const std::string& channel, const std::vector<JobFile>& files) {
  for (const JobFile& file : files) {
    // What a key cannot hold cannot be a file of the job either: SageMaker makes one out of the other.
    if (!is_safe_relative_path(file.path) || !is_object_key(channel + "/" + file.path)) {
      return fail(ErrorCode::invalid_argument, "not a file's name that a job in SageMaker can have", channel + "/" + file.path,
                  "use letters, digits, '.', '_' and '-', and no name that starts with '.'");
    }
  }
  return {};
}

Result<std::uint64_t> bytes_of(const std::vector<JobFile>& files) {
  std::uint64_t bytes = 0;
  for (const JobFile& file : files) bytes += TRY(file.open())->size();
  return bytes;
}

// Every value as text, which is all that SageMaker hands to a container.
Result<Json> hyperparameters_of(const JobSpec& spec) {
  Json out = Json::object();
  for (const auto& [key, value] : spec.hyperparameters.items()) {
    const std::string text = value.is_string() ? value.get<std::string>() : dump_json(value);
    if (key.size() > kKeyBytesMax || text.size() > kValueBytesMax || text.find('\n') != text.npos) {
      return fail(ErrorCode::invalid_argument, fmt::format("a hyperparameter in SageMaker is one line of at most {} bytes", kValueBytesMax), key);
    }
    out[key] = text;
  }
  if (out.size() > kHyperparametersMax) {
    return fail(ErrorCode::invalid_argument, fmt::format("a job in SageMaker has at most {} hyperparameters, not {}", kHyperparametersMax, out.size()));
  }
  return out;
}

// Our event lines, whose keys are sorted and whose numbers stand plainly.
Json metric_definitions() {
  Json metrics = Json::array();
  for (const char* name : {"loss", "eval_loss", "perplexity", "accuracy", "tokens_per_second"}) {
    metrics.push_back({{"Name", name}, {"Regex", fmt::format(R"re("{}": ?([0-9.eE+-]+))re", name)}});
  }
  return metrics;
}

bool is_ecr(const std::string& repository) { return matches(repository, R"([0-9]{12}\.dkr[.-]ecr(-fips)?\..*)"); }

Json algorithm(const JobSpec& spec, const SagemakerJobOptions& options) {
  Json made = {{"TrainingImage", options.image_repository + "@" + spec.image}, {"TrainingInputMode", "File"}, {"MetricDefinitions", metric_definitions()}};
  if (spec.entry_point != "train") {  // which is what SageMaker itself says to an image
    made["ContainerEntrypoint"] = options.program;
    made["ContainerArguments"] = Json::array({spec.entry_point});
  }
  if (!is_ecr(options.image_repository)) made["TrainingImageConfig"] = {{"TrainingRepositoryAccessMode", "Vpc"}};
  return made;
}

Json channels(const std::string& job, const JobSpec& spec, const SagemakerJobOptions& options) {
  Json made = Json::array();
  for (const auto& [name, files] : spec.channels) {
    const Json source = {{"S3DataType", "S3Prefix"}, {"S3Uri", options.staging_uri + inputs_of(job) + name + "/"}, {"S3DataDistributionType", "FullyReplicated"}};
    made.push_back({{"ChannelName", name}, {"DataSource", {{"S3DataSource", source}}}, {"CompressionType", "None"}, {"RecordWrapperType", "None"},
                    {"InputMode", "File"}});
  }
  return made;
}

Result<Json> resources(const JobSpec& spec, const SagemakerJobOptions& options) {
  Json made = {{"InstanceType", options.instance_type}, {"InstanceCount", spec.instances}};
  if (has_own_disks(options.instance_type)) return made;
  std::uint64_t bytes = TRY(bytes_of(spec.checkpoints)) + 2 * spec.output_bytes_max;  // the outputs and their archives
  for (const auto& [name, files] : spec.channels) bytes += TRY(bytes_of(files));
  made["VolumeSizeInGB"] = options.volume_gib != 0 ? options.volume_gib : std::max<std::uint64_t>(30, bytes / kGiB + 10);
  made["VolumeKmsKeyId"] = options.kms_key;
  return made;
}

Json tags(const JobSpec& spec, const SagemakerJobOptions& options) {
  std::map<std::string, std::string> all = options.tags;
  all["redoubt:workspace"] = options.workspace;
  all["redoubt:step"] = spec.entry_point;
  all["redoubt:run"] = spec.key.substr(0, 256);
  Json made = Json::array();
  for (const auto& [key, value] : all) made.push_back({{"Key", key}, {"Value", value}});
  return made;
}

}  // namespace

Status check_options(const SagemakerJobOptions& options) {
  TRY(check(options.image_repository, R"([a-z0-9][a-z0-9.-]*\.[a-z0-9.-]+(:[0-9]{1,5})?/[a-z0-9._/-]+)", "the repository of images",
            "123456789012.dkr.ecr.eu-central-1.amazonaws.com/redoubt"));
  TRY(check(options.role_arn, R"(arn:aws[a-z\-]*:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+)", "the jobs' role", "arn:aws:iam::123456789012:role/redoubt-training"));
  TRY(check(options.staging_uri, R"(s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/([A-Za-z0-9._-]+/)*)", "the staging place", "s3://BUCKET/PREFIX/"));
  TRY(check(options.kms_key, R"([a-zA-Z0-9:/_-]{1,2048})", "the key of volumes and outputs", "alias/redoubt or a key's ARN"));
  TRY(check(options.instance_type, R"(ml\.[a-z0-9-]+\.[a-z0-9]+)", "the instance type", "ml.m5.2xlarge"));
  TRY(check(options.name_prefix, R"([a-zA-Z0-9](-?[a-zA-Z0-9]){0,19})", "the prefix of names", "redoubt"));
  TRY(check(options.experiment, R"(([a-zA-Z0-9](-?[a-zA-Z0-9]){0,59})?)", "the experiment", "redoubt"));
  if (options.subnets.empty() != options.security_groups.empty()) {
    return fail(ErrorCode::invalid_argument, "subnets and security groups go together", "jobs.sagemaker", "name both, or neither");
  }
  if (!is_ecr(options.image_repository) && options.subnets.empty()) {
    return fail(ErrorCode::invalid_argument, "a registry other than ECR is only reached from a VPC", options.image_repository, "name subnets and security groups, or a repository of ECR");
  }
  for (const auto& subnet : options.subnets) TRY(check(subnet, "subnet-[0-9a-zA-Z]{1,25}", "a subnet", "subnet-0123456789abcdef0"));
  for (const auto& group : options.security_groups) TRY(check(group, "sg-[0-9a-zA-Z]{1,29}", "a security group", "sg-0123456789abcdef0"));
  if (options.security_groups.size() > 5 || options.subnets.size() > 16) {
    return fail(ErrorCode::invalid_argument, "a job has at most 16 subnets and 5 security groups", "jobs.sagemaker");
  }
  if (options.program.empty()) return fail(ErrorCode::invalid_argument, "the image's program is not named", "jobs.sagemaker");
  return {};
}

Status check_job(const JobSpec& spec) {
  TRY(Digest::parse(spec.image));
  if (spec.channels.empty() || spec.channels.size() > kChannelsMax) {
    return fail(ErrorCode::invalid_argument, fmt::format("a job in SageMaker has 1 to {} channels, not {}", kChannelsMax, spec.channels.size()));
  }
  for (const auto& [name, files] : spec.channels) {
    if (!matches(name, R"([A-Za-z0-9][A-Za-z0-9._-]{0,63})")) return fail(ErrorCode::invalid_argument, "not a channel's name", name);
    if (files.empty()) return fail(ErrorCode::invalid_argument, "a channel without a file, which SageMaker refuses", name);
    TRY(check_files(name, files));
  }
  TRY(check_files("checkpoints", spec.checkpoints));
  if (spec.instances < 1 || spec.instances > kInstancesMax) {
    return fail(ErrorCode::invalid_argument, fmt::format("a job in SageMaker has 1 to {} instances", kInstancesMax), std::to_string(spec.instances), "change instance_count");
  }
  if (spec.time_s_max < 1 || spec.time_s_max > kTimeMax) {
    return fail(ErrorCode::invalid_argument, "a job in SageMaker has between 1 second and 28 days", std::to_string(spec.time_s_max), "change hours_max");
  }
  TRY(hyperparameters_of(spec));
  return {};
}

Result<std::string> job_family(const JobSpec& spec, const SagemakerJobOptions& options) {
  // Checkpoints are no part of it: the attempt that goes on from one is an attempt at the same job.
  Json identity = {{"workspace", options.workspace}, {"image", spec.image}, {"entry_point", spec.entry_point}, {"hyperparameters", spec.hyperparameters},
                   {"key", spec.key}};
  if (spec.instances != 1) identity["instances"] = spec.instances;
  for (const auto& [name, files] : spec.channels) {
    for (const JobFile& file : files) {
      const auto contents = TRY(file.open());
      RandomAccessSource source(*contents);
      identity["channels"][name][file.path] = spec.key.empty() ? Json(TRY(crypto::sha256_of(source)).hex()) : Json(contents->size());
    }
  }
  const std::string hash = crypto::sha256(dump_json(identity)).hex().substr(0, 16);
  return fmt::format("{}-{}-{}", options.name_prefix, as_name(spec.entry_point, 16), hash);
}

std::string job_name(const std::string& family, int attempt) { return fmt::format("{}-{}", family, attempt).substr(0, kJobNameBytesMax); }

int attempt_of(const std::string& family, const std::string& name) {
  if (!name.starts_with(family + "-")) return 0;
  int attempt = 0;
  const char* end = name.data() + name.size();
  const auto [rest, error] = std::from_chars(name.data() + family.size() + 1, end, attempt);
  return error == std::errc() && rest == end && attempt > 0 ? attempt : 0;
}

std::string inputs_of(const std::string& job) { return "jobs/" + job + "/input/"; }
std::string checkpoints_of(const std::string& job) { return "jobs/" + job + "/checkpoints/"; }
std::string outputs_of(const std::string& job) { return "jobs/" + job + "/output/"; }

Result<Json> training_job_request(const std::string& job, const JobSpec& spec, const SagemakerJobOptions& options) {
  TRY(check_job(spec));
  Json request = {{"TrainingJobName", job},
                  {"HyperParameters", TRY(hyperparameters_of(spec))},
                  {"AlgorithmSpecification", algorithm(spec, options)},
                  {"RoleArn", options.role_arn},
                  {"InputDataConfig", channels(job, spec, options)},
                  {"OutputDataConfig", {{"KmsKeyId", options.kms_key}, {"S3OutputPath", options.staging_uri + outputs_of(job).substr(0, outputs_of(job).size() - 1)}}},
                  {"ResourceConfig", TRY(resources(spec, options))},
                  {"StoppingCondition", {{"MaxRuntimeInSeconds", spec.time_s_max}}},
                  {"CheckpointConfig", {{"S3Uri", options.staging_uri + checkpoints_of(job)}, {"LocalPath", "/opt/ml/checkpoints"}}},
                  {"EnableNetworkIsolation", options.network_isolation},
                  {"EnableInterContainerTrafficEncryption", options.encrypt_traffic},
                  {"EnableManagedSpotTraining", options.spot},
                  {"Tags", tags(spec, options)}};
  if (options.spot) request["StoppingCondition"]["MaxWaitTimeInSeconds"] = 2 * spec.time_s_max;
  if (!options.subnets.empty()) request["VpcConfig"] = {{"Subnets", options.subnets}, {"SecurityGroupIds", options.security_groups}};
  if (!options.experiment.empty()) {
    request["ExperimentConfig"] = {{"ExperimentName", options.experiment}, {"TrialName", trial_of(options)},
                                   {"TrialComponentDisplayName", as_name(job, 120)}};
  }
  return request;
}

std::string trial_of(const SagemakerJobOptions& options) { return as_name(options.experiment + "-" + options.workspace, 120); }

bool has_own_disks(std::string_view instance_type) {
  constexpr std::string_view kFamilies[] = {"g4dn", "g5", "g6", "g6e", "g7", "g7e", "p3dn", "p4d", "p4de", "p5", "p5e", "p5en", "p6", "p6e", "r5d", "trn1", "trn1n", "trn2"};
  std::string_view family = instance_type.substr(std::min<std::size_t>(3, instance_type.size()));
  family = family.substr(0, family.find_first_of(".-"));
  return std::find(std::begin(kFamilies), std::end(kFamilies), family) != std::end(kFamilies);
}

}  // namespace redoubt::provider::aws
