// SPDX-License-Identifier: Apache-2.0
//
// The storage providers as other languages' tests drive them: a JSON request a line on stdin, a JSON answer a line on stdout.
//   {"do": "s3", "bucket", "prefix", "kms_key", "owner", "part_bytes", "block_bytes", "start_bytes"}  -> the store of what follows
//   {"do": "put" | "get" | "list" | "remove", "key", "file", "replace"}
//   {"do": "put_folder" | "get_folder", "folder", "at_once"}             many objects side by side, for measurements
//   {"do": "wrap" | "unwrap" | "create_key" | "rotate_key" | "destroy_key", "uri", "text" (base64), "context"}
//   {"do": "secret_put" | "secret_get" | "secret_previous" | "secret_list" | "secret_remove", "name", "value"}
//   {"do": "vault_import" | "vault_export" | "vault_verify", "folder", "uri", "digest"}
#include <atomic>
#include <iostream>
#include <thread>

#include "base/file.h"
#include "provider/aws/aws_kms.h"
#include "provider/aws/s3_object_store.h"
#include "provider/aws/secrets_manager_store.h"
#include "vault/artifact_store.h"

namespace redoubt {
namespace {

using namespace provider::aws;
namespace fs = std::filesystem;

Json error_json(const Error& error) {
  return {{"error", {{"code", to_string(error.code)}, {"message", error.message}, {"where", error.where}, {"hint", error.hint}}}};
}

class Tool {
 public:
  Result<Json> run(const Json& order) {
    const auto what = json_or(order, "do", "");
    if (!client_) client_ = TRY(Client::create({}, clock_));
    if (!kms_) kms_ = std::make_unique<AwsKms>(*client_);
    if (what == "s3") return use_bucket(order);
    if (what.starts_with("secret_")) return secret(what, order);
    if (what.starts_with("vault_")) return vault(what, order);
    if (what.ends_with("_folder")) return folder(what == "put_folder", order);
    if (what.ends_with("wrap") || what.ends_with("_key")) return key(what, order);
    return object(what, order);
  }

 private:
  Result<Json> use_bucket(const Json& order) {
    S3ObjectStoreOptions options;
    options.bucket = json_or(order, "bucket", "");
    options.prefix = json_or(order, "prefix", "");
    options.kms_key = json_or(order, "kms_key", "");
    options.owner = json_or(order, "owner", "");
    const auto bytes = [&](const char* name, std::size_t fallback) { return static_cast<std::size_t>(json_or(order, name, static_cast<std::int64_t>(fallback))); };
    options.part_bytes = bytes("part_bytes", options.part_bytes);
    options.block_bytes = bytes("block_bytes", options.block_bytes);
    options.start_bytes = bytes("start_bytes", options.start_bytes);
    store_ = TRY(S3ObjectStore::create(options, *client_));
    return Json::object();
  }

  Status put(const std::string& key, const fs::path& file, provider::PutMode mode) {
    const auto reader = TRY(FileReader::open(file));
    RandomAccessSource source(*reader);
    return store_->put(key, source, mode);
  }

  Status get(const std::string& key, const fs::path& file) {
    const auto object = TRY(store_->open(key));
    RandomAccessSource source(*object);
    auto out = TRY(AtomicFile::create(file));
    TRY(copy(source, *out));
    return out->commit();
  }

  Result<Json> object(const std::string& what, const Json& order) {
    const auto key = json_or(order, "key", ""), file = json_or(order, "file", "");
    if (what == "put") TRY(put(key, file, json_or(order, "replace", false) ? provider::PutMode::replace : provider::PutMode::create_only));
    if (what == "get") TRY(get(key, file));
    if (what == "remove") TRY(store_->remove(key));
    if (what == "list") return Json{{"keys", TRY(store_->list(json_or(order, "key", "")))}};
    return Json::object();
  }

  Result<Json> folder(bool up, const Json& order) {
    const fs::path at = json_or(order, "folder", "");
    const auto names = up ? TRY(list_files(at)) : TRY(store_->list(""));
    std::atomic<std::size_t> next{0};
    std::atomic<int> failed{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < json_or(order, "at_once", std::int64_t{1}); ++t) {
      threads.emplace_back([&] {
        for (std::size_t i = next++; i < names.size(); i = next++) failed += !(up ? put(names[i], at / names[i], provider::PutMode::replace) : get(names[i], at / names[i]));
      });
    }
    for (auto& thread : threads) thread.join();
    return Json{{"objects", names.size()}, {"failed", failed.load()}};
  }

  Result<Json> key(const std::string& what, const Json& order) {
    const auto uri = json_or(order, "uri", "");
    const auto text = TRY(from_base64(json_or(order, "text", "")));
    provider::EncryptionContext context;
    const auto pairs = json_or(order, "context", Json::object());
    for (const auto& [name, value] : pairs.items()) context[name] = value.get<std::string>();
    if (what == "wrap") return Json{{"text", to_base64(TRY(kms_->wrap(uri, Secret(text), context)))}};
    if (what == "unwrap") return Json{{"text", to_base64(TRY(kms_->unwrap(uri, text, context)).reveal(SecretAccess::for_user()))}};
    if (what == "create_key") TRY(kms_->create_key(uri));
    if (what == "rotate_key") TRY(kms_->rotate_key(uri));
    if (what == "destroy_key") TRY(kms_->destroy_key(uri));
    return Json::object();
  }

  Result<Json> secret(const std::string& what, const Json& order) {
    SecretsManagerStoreOptions options;
    options.prefix = json_or(order, "prefix", "redoubt/");
    options.kms_key = json_or(order, "kms_key", "");
    options.recovery_days = static_cast<int>(json_or(order, "recovery_days", std::int64_t{30}));
    const auto store = TRY(SecretsManagerStore::create(options, *client_));
    const auto name = json_or(order, "name", "");
    const auto shown = [](const Secret& value) { return Json{{"value", to_text(value.reveal(SecretAccess::for_user()))}}; };
    if (what == "secret_put") return Json{{"version", TRY(store->put(name, Secret(json_or(order, "value", "")))).version}};
    if (what == "secret_get") return shown(TRY(store->get(name)));
    if (what == "secret_previous") return shown(TRY(store->get_previous(name)));
    if (what == "secret_remove") TRY(store->remove(name, json_or(order, "at_once", false) ? provider::Removal::at_once : provider::Removal::recoverable));
    Json names = Json::array();
    if (what == "secret_list") {
      for (const auto& info : TRY(store->list())) names.push_back({info.name, info.version});
    }
    return Json{{"secrets", names}};
  }

  Result<Json> vault(const std::string& what, const Json& order) {
    const fs::path at = json_or(order, "folder", "");
    vault::ArtifactStore artifacts(*store_, {"w", {kms_.get(), json_or(order, "uri", "")}, fs::temp_directory_path()});
    if (what == "vault_import") return Json{{"digest", TRY(artifacts.import_folder(at, "model")).tagged()}};
    const auto digest = TRY(Digest::parse(json_or(order, "digest", "")));
    if (what == "vault_export") TRY(artifacts.export_folder(digest, at));
    if (what == "vault_verify") TRY(artifacts.verify(digest));
    return Json::object();
  }

  const SystemClock clock_;
  std::unique_ptr<Client> client_;
  std::unique_ptr<AwsKms> kms_;
  std::unique_ptr<S3ObjectStore> store_;
};

}  // namespace
}  // namespace redoubt

int main() {
  redoubt::Tool tool;
  for (std::string line; std::getline(std::cin, line);) {
    const auto order = redoubt::parse_json(line, "stdin");
    const auto answer = order ? tool.run(*order) : redoubt::Result<redoubt::Json>(redoubt::fail(order.error()));
    std::cout << redoubt::dump_json(answer ? *answer : redoubt::error_json(answer.error())) << std::endl;
  }
}
