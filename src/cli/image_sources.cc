// SPDX-License-Identifier: Apache-2.0
#include "cli/image_sources.h"

#include "cli/prompt.h"
#include "provider/local/layout_folder.h"
#include "provider/registry/registry_image_store.h"

namespace redoubt::cli {
namespace {

// "oci:FOLDER[:TAG]": a tag holds no '/', so what follows the last ':' is one where it holds none.
Result<NamedImage> find_in_layout(const std::string& name) {
  std::string folder = name.substr(4), tag;
  std::error_code error;
  if (const auto colon = folder.rfind(':'); colon != folder.npos && !std::filesystem::is_directory(folder, error)) {
    tag = folder.substr(colon + 1);
    folder.resize(colon);
    // "NAME:TAG" is a tag too, as this program's own store has them.
    if (const auto second = folder.rfind(':'); second != folder.npos && !std::filesystem::is_directory(folder, error)) {
      tag = folder.substr(second + 1) + ":" + tag;
      folder.resize(second);
    }
  }
  std::shared_ptr<provider::ImageStore> layout = TRY(provider::local::LayoutFolder::open(folder));
  auto image = TRY(layout->resolve(tag));
  return NamedImage{std::move(layout), std::move(image)};
}

bool names_a_host(const std::string& name) {
  const auto slash = name.find('/');
  if (slash == name.npos) return false;
  const auto host = name.substr(0, slash);
  return host.find('.') != host.npos || host.find(':') != host.npos || host == "localhost";
}

}  // namespace

void add_registry_options(CLI::App& command, RegistryOptions& options) {
  command.add_option("--ca", options.ca_file, "PEM file of the authority that signed the registry's certificate; else the system's");
  auto* secret = command.add_option("--login-secret", options.login_secret, "name of a secret that holds USER:PASSWORD or a bearer token");
  command.add_option("--login-file", options.login_file, "file that holds USER:PASSWORD or a bearer token")->excludes(secret);
}

Result<provider::registry::RegistryLogin> login_of(Session* session, const RegistryOptions& options) {
  if (!options.login_secret.empty() && session == nullptr) return fail(ErrorCode::invalid_argument, "a secret's name needs a workspace", "--login-secret", "name a file with --login-file");
  if (!options.login_secret.empty()) return provider::registry::RegistryLogin{TRY(session->secrets().get(options.login_secret))};
  if (!options.login_file.empty()) return provider::registry::RegistryLogin{TRY(read_secret_file(options.login_file))};
  return provider::registry::RegistryLogin{};
}

Result<NamedImage> ImageFinder::find(const std::string& name) const {
  if (name.starts_with("oci:")) return find_in_layout(name);
  const auto at = name.find('@');
  if (at != name.npos && names_a_host(name)) {
    auto repository = name.substr(0, at);
    const auto digest = TRY(Digest::parse(name.substr(at + 1)));
    // A tag beside a digest is for people.
    if (const auto colon = repository.rfind(':'); colon != repository.npos && repository.find('/', colon) == repository.npos) repository.resize(colon);
    provider::registry::RegistryImageStoreOptions options{TRY(provider::registry::parse_remote_reference("https://" + repository))};
    options.http.ca_file = registry_.ca_file;
    options.login = [session = session_, registry = registry_] { return login_of(session, registry); };
    static const SystemClock clock;
    std::shared_ptr<provider::ImageStore> images = std::make_shared<provider::registry::RegistryImageStore>(std::move(options), clock);
    auto image = TRY(images->resolve(digest.tagged()));
    return NamedImage{std::move(images), std::move(image)};
  }
  if (store_ != nullptr) {
    auto found = store_->resolve(name);
    if (found) return NamedImage{store_, std::move(*found)};
    if (found.error().code != ErrorCode::not_found || !names_a_host(name)) return fail(std::move(found.error()));
  }
  if (names_a_host(name)) return fail(ErrorCode::invalid_argument, "an image of a registry is named by its digest, since a tag moves: " + name.substr(0, 200), {}, "write HOST/NAME@sha256:..., or fetch it first with 'redoubt image pull'");
  return fail(ErrorCode::not_found, "no such image: " + name.substr(0, 200), {}, "name scratch, an image of the workspace, oci:FOLDER[:TAG], or HOST/NAME@sha256:...");
}

}  // namespace redoubt::cli
