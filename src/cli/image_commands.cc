// SPDX-License-Identifier: Apache-2.0
//
// redoubt image: build, push, list; the commands about its packages are in image_package_commands.cc.
#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/engine_image.h"
#include "cli/image_build_command.h"
#include "cli/image_check.h"
#include "cli/image_registry_commands.h"
#include "stages/image/push.h"
#include "stages/image/referrers.h"
#include "stages/image/step.h"

namespace redoubt::cli {
namespace {

struct ImageOptions {
  std::string reference, name = "redoubt-engine";
  std::vector<std::string> osv;
  std::string url;  // of push
  RegistryOptions registry;
};

Result<stages::image::ScanOptions> scan_options(Session& session, const ImageOptions& options) {
  stages::image::ScanOptions scan;
  for (const auto& path : options.osv) scan.osv.emplace_back(path);
  scan.database = TRY(advisory_database(session));
  return scan;
}

Result<int> build(Invocation& invocation, const ImageOptions& options, const Output& output) {
  auto session = TRY(Session::open(invocation.global, Duty::image));
  TRY(session->require(governance::Permission::run_pipeline));
  const auto lock = TRY(session->workspace().lock());
  stages::image::StepDeps deps{session->store(), *TRY(session->images()), *TRY(session->recorder()), session->clock(), invocation.progress, TRY(session->registry_findings())};
  const auto image = TRY(stages::image::build({TRY(find_engine()), options.name, REDOUBT_VERSION}, TRY(scan_options(*session, options)), deps));
  const std::string digest = TRY(image.output("image")).tagged(), tag = TRY(json_string(image.record().result, "tag", "image step"));
  output.result({{"digest", digest}, {"tag", tag}, {"layout", session->workspace().layout().images().string()}},
                fmt::format("{} {}\nread it with: skopeo inspect oci:{}:{}", tag, digest, session->workspace().layout().images().string(), tag));
  return 0;
}

// What follows the last ':' of the image's tag in the store.
Result<std::string> tag_here(provider::ImageStore& images, const Digest& image) {
  for (const auto& [tag, descriptor] : TRY(images.list())) {
    const auto colon = tag.rfind(':');
    if (descriptor.digest == image && colon != tag.npos && colon + 1 < tag.size()) return tag.substr(colon + 1);
  }
  return fail(ErrorCode::invalid_argument, "the URL names no tag, and the image has none here", image.tagged(), "write the URL as https://HOST/REPOSITORY:TAG");
}

Result<int> push(Invocation& invocation, const ImageOptions& options, const Output& output) {
  auto reference = TRY(provider::registry::parse_remote_reference(options.url));
  auto session = TRY(Session::open(invocation.global, Duty::image));
  TRY(session->require(governance::Permission::deploy));
  auto* images = TRY(session->images());
  const auto image = TRY(images->resolve(options.reference));
  if (reference.tag.empty()) reference = TRY(provider::registry::parse_remote_reference(options.url + ":" + TRY(tag_here(*images, image.digest))));
  http::ClientOptions client;
  client.ca_file = options.registry.ca_file;
  auto registry = TRY(provider::registry::RegistryClient::open(client, reference, TRY(login_of(session.get(), options.registry))));
  const auto report = TRY(stages::image::push_image(*images, image, registry, reference, invocation.progress));
  const std::size_t beside = TRY(stages::image::push_referrers(*images, image, registry));
  const Json facts = {{"digest", report.digest.tagged()}, {"reference", report.reference}, {"unchanged", report.unchanged}, {"referrers", beside},
                      {"blobs_sent", report.blobs_sent}, {"blobs_present", report.blobs_present}, {"bytes_sent", report.bytes_sent}};
  if (!report.unchanged) TRY(session->record_event("push", facts));
  output.result(facts, report.unchanged ? fmt::format("{} is there already: {}", report.reference, report.digest.tagged())
                                        : fmt::format("{} {}\n{} blobs sent, {} were there", report.reference, report.digest.tagged(), report.blobs_sent, report.blobs_present));
  return 0;
}

Result<int> list_images(Invocation& invocation, const Output& output) {
  auto session = TRY(Session::open(invocation.global));
  Json values = Json::array();
  Table table{{"TAG", "DIGEST"}, {}};
  auto* images = TRY(session->images());
  for (const auto& [tag, image] : TRY(images->list())) {
    if (stages::image::is_referrer_tag(tag)) continue;  // 'image referrers' lists those
    values.push_back({{"tag", tag}, {"digest", image.digest.tagged()}});
    table.rows.push_back({tag, image.digest.tagged()});
  }
  output.result(values, render(table));
  return 0;
}

}  // namespace

void add_image_commands(CLI::App& app, Invocation& invocation) {
  auto options = std::make_shared<ImageOptions>();
  CLI::App* group = app.add_subcommand("image", "Images: build, lint, scan, SBOM, registries")->require_subcommand(1);
  const auto add = [&](const char* name, const char* help, auto body) {
    return add_command(*group, invocation, name, help, [&invocation, options, body](const Output& output) { return body(invocation, *options, output); });
  };
  auto recipe = std::make_shared<ImageBuildOptions>();
  CLI::App* build_command = add("build", "Builds an image from a recipe, or the engine's own; the same files give the same digest", [recipe](Invocation& run, const ImageOptions& engine, const Output& output) {
    return recipe->folder.empty() && recipe->recipe.empty() ? build(run, engine, output) : build_from_recipe(run, *recipe, output);
  });
  add_image_build_options(*build_command, *recipe);
  build_command->add_option("--name", options->name, "the name of the engine's image");
  build_command->add_option("--osv", options->osv, "folders or archives of OSV records");
  add_image_lint_command(*group, invocation);
  add_image_registry_commands(*group, invocation);
  add_image_sign_commands(*group, invocation);
  add_image_encrypt_commands(*group, invocation);
  CLI::App* push_command = add("push", "Copies it to a registry over HTTPS; a tag there is never moved to another image", push);
  push_command->add_option("image", options->reference, "tag or digest")->required();
  push_command->add_option("url", options->url, "https://HOST[:PORT]/REPOSITORY[:TAG]")->required();
  add_registry_options(*push_command, options->registry);
  add_image_package_commands(*group, invocation);
  add_command(*group, invocation, "list", "Tags and digests", [&invocation](const Output& output) { return list_images(invocation, output); });
}

}  // namespace redoubt::cli
