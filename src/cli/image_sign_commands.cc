// SPDX-License-Identifier: Apache-2.0
//
// redoubt image sign, verify: signatures that `cosign verify --key` takes, and the check of cosign's.
#include <fmt/format.h>

#include "attest/image_signature.h"
#include "base/file.h"
#include "cli/image_registry_commands.h"
#include "cli/image_signing.h"
#include "cli/prompt.h"

namespace redoubt::cli {
namespace {

struct SignOptions {
  std::string image, key_file, public_key, form = "both";
  std::vector<std::string> keys;
  RegistryOptions registry;
};

Result<crypto::SigningKey> signing_key(Session& session, const SignOptions& options) {
  if (options.key_file.empty()) return session.model_key();
  return crypto::SigningKey::from_pem(TRY(read_secret_file(options.key_file)));
}

Result<int> sign_image(Invocation& invocation, const SignOptions& options, const Output& output) {
  auto place = TRY(open_place(invocation, options.image, options.registry, Writing::yes));
  const auto key = TRY(signing_key(*place.session, options));
  Json forms = Json::array();
  // The store keeps what is beside an image as artifacts; the older form has its place in registries alone.
  if (place.registry && options.form != "bundle") {
    const auto made = TRY(attest::sign_simple(place.repository, place.image.digest, key));
    TRY(put_simple_signature(*place.registry, place.image.digest, made.payload, made.signature));
    forms.push_back("simple");
  }
  if (options.form == "simple" && !place.registry) return fail(ErrorCode::invalid_argument, "the simple form is for images in a registry", options.image, "push the image, then sign it there");
  Json bundle = nullptr;
  if (options.form != "simple") {
    auto contents = TRY(attest::sign_image_bundle(place.image.digest, place.repository, attest::kCosignPredicateType, Json::object(), key));
    stages::image::Artifact artifact{attest::kBundleType, std::move(contents), {}};
    artifact.annotations = {{"dev.sigstore.bundle.content", "dsse-envelope"}, {"dev.sigstore.bundle.predicateType", attest::kCosignPredicateType}};
    bundle = TRY(place.attach(artifact)).digest.tagged();
    forms.push_back("bundle");
  }
  const std::string pem = key.public_key().to_pem();
  if (!options.public_key.empty()) TRY(write_file(options.public_key, pem, FileMode::readable_by_all));
  const Json facts = {{"digest", place.image.digest.tagged()}, {"reference", place.text}, {"forms", forms}, {"bundle", bundle}, {"key_id", key.public_key().key_id()}};
  TRY(place.session->record_event("image-sign", facts));
  Json told = facts;
  told["public_key"] = pem;
  output.result(told, fmt::format("{} is signed\n{}", place.image.digest.tagged(), pem));
  return 0;
}

Result<int> verify_image(Invocation& invocation, const SignOptions& options, const Output& output) {
  const auto keys = TRY(read_public_keys(options.keys));
  const auto place = TRY(open_place(invocation, options.image, options.registry, Writing::no));
  const auto found = place.registry ? TRY(verify_signatures(*place.registry, place.image.digest, keys)) : TRY(verify_signatures(*place.images, place.image.digest, keys));
  std::string text = fmt::format("{} is signed\n", place.image.digest.tagged());
  for (const auto& one : found) text += fmt::format("{} by {}{}\n", one.form, one.key, one.predicate_type.empty() ? "" : " (" + one.predicate_type + ")");
  output.result({{"digest", place.image.digest.tagged()}, {"verified", true}, {"signatures", to_json(found)}}, text);
  return 0;
}

}  // namespace

void add_image_sign_commands(CLI::App& group, Invocation& invocation) {
  auto options = std::make_shared<SignOptions>();
  CLI::App* sign_command = add_command(group, invocation, "sign", "Signs an image as cosign does with a key: both forms, here or in a registry", [&invocation, options](const Output& output) { return sign_image(invocation, *options, output); });
  sign_command->add_option("image", options->image, "tag or digest here, or a registry's URL")->required();
  sign_command->add_option("--key-file", options->key_file, "PEM file of a P-256 key; else the workspace's own");
  sign_command->add_option("--public-key", options->public_key, "file to write the public key to");
  sign_command->add_option("--form", options->form, "simple (a tag, for older cosigns), bundle (a referrer) or both")->check(CLI::IsMember({"simple", "bundle", "both"}))->capture_default_str();
  add_registry_options(*sign_command, options->registry);
  CLI::App* verify_command = add_command(group, invocation, "verify", "Whether an image is signed with one of these keys; exit status 4 where it is not", [&invocation, options](const Output& output) { return verify_image(invocation, *options, output); });
  verify_command->add_option("image", options->image, "tag or digest here, or a registry's URL")->required();
  verify_command->add_option("--key", options->keys, "PEM file of a public key; may stand several times")->required();
  add_registry_options(*verify_command, options->registry);
}

}  // namespace redoubt::cli
