// SPDX-License-Identifier: Apache-2.0
//
// redoubt image pull, copy, attach, referrers: images and what stands beside them, in registries.
#include "cli/image_registry_commands.h"

#include <fmt/format.h>

#include "attest/image_signature.h"
#include "base/file.h"
#include "cli/image_signing.h"
#include "provider/local/image_store.h"
#include "stages/image/push.h"
#include "stages/image/referrers.h"

namespace redoubt::cli {
namespace oci = stages::image::oci;
namespace {

struct ImageRegistryOptions {
  std::string from, to, layout, tag, platform = "linux/amd64", type, file;
  std::vector<std::string> keys;
  bool all = false;
  RegistryOptions registry;
};

stages::image::Platforms platforms_of(const ImageRegistryOptions& options) { return options.all ? stages::image::Platforms::all : stages::image::Platforms::one; }

// The tag under which a pulled image is kept: its address without the scheme.
std::string local_tag(const provider::registry::RemoteReference& reference, const Digest& image) {
  const std::string host = reference.origin.substr(reference.origin.find("//") + 2);
  return host + "/" + reference.repository + ":" + (reference.tag.empty() ? image.hex().substr(0, 12) : reference.tag);
}

Result<int> pull_into(Invocation& invocation, const ImageRegistryOptions& options, const Output& output, Session* session, provider::ImageStore& images) {
  const auto reference = TRY(provider::registry::parse_pinned_reference(options.from));
  if (reference.name().empty()) return fail(ErrorCode::invalid_argument, "the URL names neither a tag nor a digest", options.from, "write https://HOST/NAME:TAG or https://HOST/NAME@sha256:...");
  const auto registry = TRY(open_registry(session, reference, options.registry, {.push = false}));
  const auto platform = TRY(oci::Platform::parse(options.platform));
  const auto report = TRY(stages::image::pull_image(registry, reference.name(), images, platforms_of(options), platform, invocation.progress));
  Json signatures = nullptr;
  if (!options.keys.empty()) signatures = to_json(TRY(verify_signatures(registry, report.image.digest, TRY(read_public_keys(options.keys)))));
  const std::size_t brought = TRY(bring_signatures(registry, report.image, images));
  const std::string tag = options.tag.empty() ? local_tag(reference, report.image.digest) : options.tag;
  TRY(images.tag(tag, report.image));
  const Json facts = {{"digest", report.image.digest.tagged()}, {"tag", tag}, {"reference", reference.text()}, {"media_type", report.image.media_type}, {"blobs_fetched", report.blobs_fetched},
                      {"blobs_present", report.blobs_present}, {"bytes_fetched", report.bytes_fetched}, {"signatures", signatures}, {"signatures_brought", brought}};
  if (session != nullptr) TRY(session->record_event("pull", facts, {{"image", report.image.digest}}));
  output.result(facts, fmt::format("{} {}\n{} blobs fetched, {} were there; {} signatures beside it", tag, report.image.digest.tagged(), report.blobs_fetched, report.blobs_present, brought));
  return 0;
}

Result<int> pull_image(Invocation& invocation, const ImageRegistryOptions& options, const Output& output) {
  if (!options.layout.empty()) {
    const auto images = TRY(provider::local::LocalImageStore::open(options.layout));
    return pull_into(invocation, options, output, nullptr, *images);
  }
  auto session = TRY(Session::open(invocation.global, Duty::image));
  TRY(session->require(governance::Permission::run_pipeline));
  const auto lock = TRY(session->workspace().lock());
  return pull_into(invocation, options, output, session.get(), *TRY(session->images()));
}

Result<int> copy_between_registries(Invocation& invocation, const ImageRegistryOptions& options, const Output& output) {
  auto from = TRY(provider::registry::parse_pinned_reference(options.from));
  auto to = TRY(provider::registry::parse_remote_reference(options.to));
  if (from.name().empty()) return fail(ErrorCode::invalid_argument, "the first URL names neither a tag nor a digest", options.from);
  if (to.tag.empty()) to.tag = from.tag;
  if (to.tag.empty()) return fail(ErrorCode::invalid_argument, "the second URL names no tag", options.to, "write it as https://HOST/NAME:TAG");
  auto session = TRY(Session::open(invocation.global, Duty::image));
  TRY(session->require(governance::Permission::deploy));
  const auto source = TRY(open_registry(session.get(), from, options.registry, {.push = false}));
  provider::registry::RegistryAccess access;
  if (from.origin == to.origin && from.repository != to.repository) access.mount_from = from.repository;
  auto target = TRY(open_registry(session.get(), to, options.registry, access));
  if (!options.keys.empty()) {
    const auto image = TRY(source.manifest(from.name()));
    if (!image) return fail(ErrorCode::not_found, "the registry has no such image", from.text());
    TRY(verify_signatures(source, image->descriptor.digest, TRY(read_public_keys(options.keys))));
  }
  const auto platform = TRY(oci::Platform::parse(options.platform));
  const auto report = TRY(stages::image::copy_image(source, from.name(), target, to, platforms_of(options), platform, invocation.progress));
  const Json facts = {{"digest", report.digest.tagged()}, {"from", from.text()}, {"reference", report.reference}, {"unchanged", report.unchanged}, {"blobs_sent", report.blobs_sent},
                      {"blobs_present", report.blobs_present}, {"blobs_mounted", report.blobs_mounted}, {"bytes_sent", report.bytes_sent}};
  if (!report.unchanged) TRY(session->record_event("push", facts));
  output.result(facts, fmt::format("{} {}\n{} blobs sent, {} mounted, {} were there", report.reference, report.digest.tagged(), report.blobs_sent, report.blobs_mounted, report.blobs_present));
  return 0;
}

bool is_media_type(std::string_view text) {
  const auto slash = text.find('/');
  return slash != text.npos && slash > 0 && slash + 1 < text.size() && text.size() <= 255 && text.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$&^_.+-/;=") == text.npos;
}

Result<int> attach(Invocation& invocation, const ImageRegistryOptions& options, const Output& output) {
  if (!is_media_type(options.type)) return fail(ErrorCode::invalid_argument, "not a media type: " + options.type.substr(0, 80), "--type", "write application/vnd.cyclonedx+json, application/spdx+json or the like");
  auto contents = TRY(read_text_file(options.file, stages::image::kArtifactBytesMax));
  stages::image::Artifact artifact{options.type, std::move(contents), {}};
  artifact.annotations["org.opencontainers.image.title"] = std::filesystem::path(options.file).filename().string();
  auto place = TRY(open_place(invocation, options.from, options.registry, Writing::yes));
  const auto manifest = TRY(place.attach(artifact));
  const Json facts = {{"digest", manifest.digest.tagged()}, {"subject", place.image.digest.tagged()}, {"type", options.type}, {"reference", place.text}};
  TRY(place.session->record_event("attach", facts));
  output.result(facts, fmt::format("{} beside {}", manifest.digest.tagged(), place.image.digest.tagged()));
  return 0;
}

Result<int> list_referrers(Invocation& invocation, const ImageRegistryOptions& options, const Output& output) {
  const auto place = TRY(open_place(invocation, options.from, options.registry, Writing::no));
  Json values = Json::array();
  Table table{{"TYPE", "DIGEST", "SIZE"}, {}};
  for (const auto& one : TRY(place.referrers(options.type))) {
    values.push_back({{"digest", one.manifest.blob.digest.tagged()}, {"type", one.manifest.artifact_type}, {"size", one.manifest.blob.size}, {"annotations", one.manifest.annotations}});
    table.rows.push_back({one.manifest.artifact_type, one.manifest.blob.digest.tagged(), std::to_string(one.manifest.blob.size)});
  }
  output.result(values, render(table));
  return 0;
}

}  // namespace

void add_image_registry_commands(CLI::App& group, Invocation& invocation) {
  auto options = std::make_shared<ImageRegistryOptions>();
  const auto add = [&](const char* name, const char* help, auto body) {
    CLI::App* command = add_command(group, invocation, name, help, [&invocation, options, body](const Output& output) { return body(invocation, *options, output); });
    add_registry_options(*command, options->registry);
    return command;
  };
  const auto add_platform = [&](CLI::App* command) {
    command->add_option("--platform", options->platform, "of an index, the image to take")->capture_default_str();
    command->add_flag("--all", options->all, "the index with all its images");
    command->add_option("--key", options->keys, "PEM file of a public key: the image must be signed with one of these");
  };
  CLI::App* pull_command = add("pull", "Fetches an image from a registry over HTTPS, every byte checked by its digest", pull_image);
  pull_command->add_option("url", options->from, "https://HOST[:PORT]/REPOSITORY:TAG, or @sha256:DIGEST")->required();
  pull_command->add_option("-o,--layout", options->layout, "an OCI layout to fetch into, instead of the workspace's store");
  pull_command->add_option("-t,--tag", options->tag, "the tag it is kept under; else its address");
  add_platform(pull_command);
  CLI::App* copy_command = add("copy", "Copies an image between registries; within one, blobs are mounted and not sent", copy_between_registries);
  copy_command->add_option("from", options->from, "https://HOST[:PORT]/REPOSITORY:TAG, or @sha256:DIGEST")->required();
  copy_command->add_option("to", options->to, "https://HOST[:PORT]/REPOSITORY[:TAG]")->required();
  add_platform(copy_command);
  CLI::App* attach_command = add("attach", "Puts a file beside an image: a bill of materials, an attestation", attach);
  attach_command->add_option("image", options->from, "tag or digest here, or a registry's URL")->required();
  attach_command->add_option("file", options->file, "the file")->required();
  attach_command->add_option("--type", options->type, "its media type")->required();
  CLI::App* referrers_command = add("referrers", "What stands beside an image: signatures, bills of materials, attestations", list_referrers);
  referrers_command->add_option("image", options->from, "tag or digest here, or a registry's URL")->required();
  referrers_command->add_option("--type", options->type, "those of this media type alone");
}

}  // namespace redoubt::cli
