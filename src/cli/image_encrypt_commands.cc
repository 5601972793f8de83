// SPDX-License-Identifier: Apache-2.0
//
// redoubt image encrypt, decrypt: layers that only the named keys open, at rest here and in every registry.
#include <fmt/format.h>

#include "base/file.h"
#include "cli/image_registry_commands.h"
#include "cli/image_signing.h"
#include "cli/prompt.h"
#include "provider/local/image_store.h"
#include "stages/image/oci/encryption.h"

namespace redoubt::cli {
namespace oci = stages::image::oci;
namespace {

struct ImageEncryptOptions {
  std::string image, tag, key_file, layout;
  std::vector<std::string> recipients;
  RegistryOptions registry;
};

Result<crypto::SigningKey> own_key(Session& session) { return session.workspace_key("image-key", crypto::SignatureAlgorithm::ecdsa_p256); }

Result<int> change(Invocation& invocation, const ImageEncryptOptions& options, const Output& output, bool encrypting) {
  auto session = TRY(Session::open(invocation.global, Duty::image));
  TRY(session->require(governance::Permission::run_pipeline));
  const auto lock = TRY(session->workspace().lock());
  auto& store = *TRY(session->images());
  const auto named = TRY(ImageFinder(session.get(), borrowed(store), options.registry).find(options.image));
  const auto image = named.image;
  std::unique_ptr<provider::ImageStore> layout;
  if (!options.layout.empty()) layout = TRY(provider::local::LocalImageStore::open(options.layout));
  provider::ImageStore& from = *named.images;
  provider::ImageStore& images = layout ? *layout : store;
  provider::ImageDescriptor made;
  if (encrypting) {
    std::vector<crypto::PublicKey> keys = {TRY(own_key(*session)).public_key()};
    for (auto& recipient : TRY(read_public_keys(options.recipients))) keys.push_back(std::move(recipient.key));
    made = TRY(oci::encrypt_image(from, images, image, keys, invocation.progress));
  } else {
    const auto key = options.key_file.empty() ? TRY(own_key(*session)) : TRY(crypto::SigningKey::from_pem(TRY(read_secret_file(options.key_file))));
    made = TRY(oci::decrypt_image(from, images, image, key, invocation.progress));
  }
  TRY(images.tag(options.tag, made));
  const Json facts = {{"digest", made.digest.tagged()}, {"from", image.digest.tagged()}, {"tag", options.tag}};
  TRY(session->record_event(encrypting ? "image-encrypt" : "image-decrypt", facts, {{"image", made.digest}}));
  output.result(facts, fmt::format("{} {}", options.tag, made.digest.tagged()));
  return 0;
}

}  // namespace

void add_image_encrypt_commands(CLI::App& group, Invocation& invocation) {
  auto options = std::make_shared<ImageEncryptOptions>();
  const auto add = [&](const char* name, const char* help, bool encrypting) {
    CLI::App* command = add_command(group, invocation, name, help, [&invocation, options, encrypting](const Output& output) { return change(invocation, *options, output, encrypting); });
    command->add_option("image", options->image, "tag or digest, oci:FOLDER[:TAG], or HOST/NAME@sha256:...")->required();
    command->add_option("-t,--tag", options->tag, "the tag of what comes out")->required();
    command->add_option("-o,--layout", options->layout, "an OCI layout to write to, instead of the workspace's store");
    add_registry_options(*command, options->registry);
    return command;
  };
  add("encrypt", "Encrypts an image's layers for the workspace's key and others, as skopeo and podman read them", true)
      ->add_option("--recipient", options->recipients, "PEM file of a P-256 public key that opens it too; may stand several times");
  add("decrypt", "The image as it was before it was encrypted", false)->add_option("--key-file", options->key_file, "PEM file of a recipient's private key; else the workspace's own");
}

}  // namespace redoubt::cli
