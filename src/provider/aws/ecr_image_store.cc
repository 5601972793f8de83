// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/ecr_image_store.h"

#include <fmt/format.h>

#include "provider/aws/about.h"

namespace redoubt::provider::aws {
namespace {

constexpr const char* kRepositoryCure = "allow the action on the repository in the role's policy";

tl::unexpected<Error> fail_ecr(const EcrImageStoreOptions& options, Error error) { return fail_about("ECR repository " + options.repository, std::move(error), kRepositoryCure); }

Result<Json> make_repository(const EcrImageStoreOptions& options, Client& client) {
  Json encryption = {{"encryptionType", "KMS"}};
  if (!options.kms_key.empty()) encryption["kmsKey"] = options.kms_key;
  auto made = client.call("ecr", "CreateRepository", {{"repositoryName", options.repository}, {"imageTagMutability", "IMMUTABLE"},
                                                      {"imageScanningConfiguration", {{"scanOnPush", true}}}, {"encryptionConfiguration", encryption},
                                                      {"tags", Json::array({{{"Key", "redoubt"}, {"Value", "images"}}})}});
  if (!made) return fail_ecr(options, std::move(made.error()));
  return json_or(*made, "repository", Json::object());
}

Result<Json> find_repository(const EcrImageStoreOptions& options, Client& client) {
  auto found = client.call("ecr", "DescribeRepositories", {{"repositoryNames", {options.repository}}});
  if (!found && is_service_error(found.error(), "RepositoryNotFoundException")) return Json(nullptr);
  if (!found) return fail_ecr(options, std::move(found.error()));
  const auto repositories = TRY(json_array(*found, "repositories", "ecr.DescribeRepositories"));
  return repositories.empty() ? Json(nullptr) : Json(repositories[0]);
}

// What would let an image change after it was reviewed, or lie there unseen.
Status check_repository(const EcrImageStoreOptions& options, const Json& repository) {
  const auto refuse = [&](const char* what, const std::string& cure) { return fail(ErrorCode::gate_refused, what, "ECR repository " + options.repository, cure); };
  const auto mutability = json_or(repository, "imageTagMutability", "");
  if (mutability != "IMMUTABLE") return refuse("its tags can be moved to other images", "aws ecr put-image-tag-mutability --image-tag-mutability IMMUTABLE --repository-name " + options.repository);
  if (!json_or(json_or(repository, "imageScanningConfiguration", Json::object()), "scanOnPush", false)) {
    return refuse("it does not scan what is pushed", "aws ecr put-image-scanning-configuration --image-scanning-configuration scanOnPush=true --repository-name " + options.repository);
  }
  const auto encryption = json_or(json_or(repository, "encryptionConfiguration", Json::object()), "encryptionType", "AES256");
  if (!encryption.starts_with("KMS")) return refuse("no KMS key encrypts it, which can't be changed later", "name another repository, or delete this one and let it be made");
  return {};
}

}  // namespace

Result<registry::RegistryLogin> ecr_login(Client& client) {
  const auto answer = TRY(client.call("ecr", "GetAuthorizationToken"));
  const auto data = TRY(json_array(answer, "authorizationData", "ecr.GetAuthorizationToken"));
  if (data.empty()) return fail(ErrorCode::unavailable, "ECR gave no token", "ecr.GetAuthorizationToken");
  return registry::RegistryLogin{Secret(TRY(from_base64(TRY(json_string(data[0], "authorizationToken", "ecr.GetAuthorizationToken")))))};
}

Result<std::unique_ptr<registry::RegistryImageStore>> open_ecr_image_store(EcrImageStoreOptions options, Client& client, const Clock& clock) {
  Json repository = TRY(find_repository(options, client));
  if (repository.is_null()) repository = TRY(make_repository(options, client));
  TRY(check_repository(options, repository));
  const auto uri = TRY(json_string(repository, "repositoryUri", "ecr.DescribeRepositories"));
  const auto slash = uri.find('/');
  if (slash == uri.npos) return fail(ErrorCode::unavailable, "ECR names no address of the repository: " + uri, "ECR repository " + options.repository);
  const std::string origin = options.registry_url.empty() ? "https://" + uri.substr(0, slash) : options.registry_url;
  registry::RegistryImageStoreOptions store;
  store.repository = TRY(registry::parse_remote_reference(origin + uri.substr(slash)));
  store.http.ca_file = options.ca_file;
  // Layers lie in a bucket of ECR's own, to which its registry points.
  if (uri.substr(0, slash).find(".amazonaws.com") != uri.npos) store.http.allowed_hosts = {fmt::format("*.s3.{}.amazonaws.com{}", client.region(), client.partition() == "aws-cn" ? ".cn" : "")};
  store.login = [&client] { return ecr_login(client); };
  return std::make_unique<registry::RegistryImageStore>(std::move(store), clock);
}

}  // namespace redoubt::provider::aws
