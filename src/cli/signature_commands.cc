// SPDX-License-Identifier: Apache-2.0
//
// redoubt model sign, verify: by the workspace's key or one of the user's own, in a file or in a PKCS#11 token, with
// certificates or without; against a key, authorities, or a policy of signers.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "attest/model_signature.h"
#include "base/file.h"
#include "base/log.h"
#include "cli/commands.h"
#include "cli/prompt.h"
#include "cli/session.h"
#include "crypto/pkcs11.h"
#include "pipeline/config.h"

namespace redoubt::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kPemBytesMax = 1 << 20;

struct SignatureOptions {
  std::string path, name, signature, private_key, pkcs11_uri, pkcs11_module, pin_file, certificate;
  std::vector<std::string> chain, ignored;
  std::string public_key, policy, model;
};

// A folder that was named as "DIR", "DIR/" or ".".
Result<fs::path> folder_of(const std::string& named) {
  fs::path path = fs::absolute(named).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  std::error_code error;
  if (!fs::exists(path, error)) return fail(ErrorCode::not_found, "no such folder", named);
  if (!fs::is_directory(path, error)) return fail(ErrorCode::invalid_argument, "not a folder", named, "name the model's folder");
  return path;
}

Result<std::string> read_pem(const std::string& file, const char* what, const char* option) {
  const auto reader = FileReader::open_regular(file);
  if (!reader) return fail(reader.error().code, fmt::format("{} can't be read: {}", what, reader.error().message), file, fmt::format("name it with '{} FILE'", option));
  return to_text(TRY(read_all(**reader, kPemBytesMax)));
}

Result<std::vector<Bytes>> read_certificates(const std::string& file) {
  auto certificates = crypto::certificates_from_pem(TRY(read_pem(file, "a certificate", "--certificate-chain")));
  if (!certificates) return fail(certificates.error().code, certificates.error().message, file, "name a file with certificates in PEM");
  return certificates;
}

// Paths of the command line, as they stand below the folder, and the signature itself where it lies there under another name.
Result<std::vector<std::string>> ignored_of(const SignatureOptions& options, const fs::path& folder) {
  std::vector<std::string> ignored;
  const std::string signature = options.signature.empty() ? "" : fs::absolute(options.signature).lexically_normal().lexically_relative(folder).generic_string();
  if (is_safe_relative_path(signature)) ignored.push_back(signature);
  for (std::string path : options.ignored) {
    while (path.ends_with('/')) path.pop_back();
    if (!is_safe_relative_path(path)) return fail(ErrorCode::invalid_argument, "not a path below the model's folder", path, "name it relative to the folder");
    ignored.push_back(std::move(path));
  }
  return ignored;
}

fs::path signature_of(const SignatureOptions& options, const fs::path& folder) {
  return options.signature.empty() ? folder / attest::kModelSignatureName : fs::path(options.signature);
}

// --- sign

struct SigningMaterial {
  std::unique_ptr<Session> session;  // of a workspace, where its key signs
  std::optional<crypto::SigningKey> key;
  std::unique_ptr<crypto::TokenKey> token;

  attest::ModelSigner signer() const {
    if (token == nullptr) return attest::signer_of(*key);
    return {.key = token->public_key(), .sign = [this](ByteView message) { return token->sign(message); }};
  }
};

Result<std::unique_ptr<crypto::TokenKey>> open_token(const SignatureOptions& options) {
  auto uri = TRY(crypto::parse_pkcs11_uri(options.pkcs11_uri));
  if (!options.pkcs11_module.empty()) uri.module_path = fs::absolute(options.pkcs11_module).string();
  const std::string pin_file = options.pin_file.empty() ? uri.pin_file : options.pin_file;
  const Secret pin = pin_file.empty() ? TRY(read_secret("PIN of the token")) : TRY(read_secret_file(pin_file));
  return crypto::TokenKey::open(uri, pin);
}

Result<SigningMaterial> open_material(Invocation& invocation, const SignatureOptions& options) {
  SigningMaterial material;
  if (!options.private_key.empty() && !options.pkcs11_uri.empty()) return fail(ErrorCode::invalid_argument, "a key in a file and one in a token", "--private-key, --pkcs11-uri", "name one of them");
  if (!options.pkcs11_uri.empty()) {
    material.token = TRY(open_token(options));
  } else if (!options.private_key.empty()) {
    auto key = crypto::SigningKey::from_pem(Secret(TRY(read_pem(options.private_key, "the private key", "--private-key"))));
    if (!key) return fail(key.error().code, key.error().message, options.private_key, "name a PEM file with an unencrypted P-256, P-384 or P-521 key");
    material.key = std::move(*key);
  } else {
    if (!options.certificate.empty()) return fail(ErrorCode::invalid_argument, "a signing certificate without its private key", "--signing-certificate", "name the key with '--private-key FILE' or '--pkcs11-uri URI'");
    material.session = TRY(Session::open(invocation.global, Duty::acquire));
    TRY(material.session->require(governance::Permission::run_pipeline));
    material.key = TRY(material.session->model_key());
  }
  return material;
}

// The signing certificate, then what leads from it to an authority.
Result<std::vector<Bytes>> chain_to_sign_with(const SignatureOptions& options) {
  if (options.certificate.empty()) {
    if (options.chain.empty()) return std::vector<Bytes>{};
    return fail(ErrorCode::invalid_argument, "a certificate chain without the signing certificate", "--certificate-chain", "name that with '--signing-certificate FILE'");
  }
  auto chain = TRY(read_certificates(options.certificate));
  for (const auto& file : options.chain) {
    for (auto& certificate : TRY(read_certificates(file))) {
      if (std::find(chain.begin(), chain.end(), certificate) == chain.end()) chain.push_back(std::move(certificate));
    }
  }
  if (chain.size() > crypto::kChainCertificatesMax) return fail(ErrorCode::limit_exceeded, "too many certificates", "--certificate-chain");
  const auto signer = TRY(crypto::read_signer(chain[0]));
  const auto now = SystemClock().now();
  if (now < signer.not_before || now > signer.not_after) {
    return fail(ErrorCode::invalid_argument, fmt::format("the signing certificate is valid from {} to {}, not now", to_rfc3339(signer.not_before), to_rfc3339(signer.not_after)), options.certificate, "have a new one issued");
  }
  return chain;
}

// git's own files, as a clone from a hub has them: OpenSSF's tool leaves them out, and here every file counts that nobody ignores. Answers
// the options that leave them out here, too.
std::string options_for_git(const std::vector<std::string>& paths) {
  std::string options;
  for (const std::string name : {".git", ".gitattributes", ".github", ".gitignore"}) {
    const bool is_there = std::any_of(paths.begin(), paths.end(), [&](const std::string& path) { return path == name || path.starts_with(name + "/"); });
    if (is_there) options += " --ignore " + name;
  }
  return options;
}

Result<int> sign_model_folder(Invocation& invocation, const SignatureOptions& options, const Output& output) {
  const fs::path folder = TRY(folder_of(options.path));
  const auto ignored = TRY(ignored_of(options, folder));
  auto chain = TRY(chain_to_sign_with(options));
  const auto material = TRY(open_material(invocation, options));
  auto signer = material.signer();
  signer.chain = std::move(chain);
  auto files = TRY(attest::hash_model_folder(folder, ignored));
  if (files.empty()) return fail(ErrorCode::invalid_argument, "a model without files", options.path);
  std::vector<std::string> paths;
  for (const auto& file : files) paths.push_back(file.path);
  if (const auto git = options_for_git(paths); !git.empty()) spdlog::warn("git's own files are signed too; 'model_signing verify' takes that with '--no-ignore-git-paths' alone; to leave them out, sign and verify with{}", git);
  const fs::path signature = signature_of(options, folder), public_key = folder.string() + ".pub";
  const std::string name = options.name.empty() ? folder.filename().string() : options.name;
  TRY(write_file(signature, TRY(attest::sign_model(name, std::move(files), signer, ignored)), FileMode::readable_by_all));
  if (!signer.chain.empty()) {
    const auto subject = TRY(crypto::read_signer(signer.chain[0])).subject;
    output.result({{"signature", signature.string()}, {"subject", subject}}, fmt::format("{}\nsigned as {}", signature.string(), subject));
    return 0;
  }
  TRY(write_file(public_key, signer.key.to_pem(), FileMode::readable_by_all));
  output.result({{"signature", signature.string()}, {"public_key", public_key.string()}}, fmt::format("{}\npublic key: {}", signature.string(), public_key.string()));
  return 0;
}

// --- verify

struct Verified {
  Json who;
  std::vector<attest::ModelResource> files;
};

Result<crypto::PublicKey> read_public_key(const std::string& file) {
  auto key = crypto::PublicKey::from_pem(TRY(read_pem(file, "the signer's public key", "--public-key")));
  if (!key) return fail(key.error().code, key.error().message, file, "name a PEM file with the signer's public key");
  return key;
}

Result<Verified> verify_by_policy(const SignatureOptions& options, std::string_view bundle) {
  if (options.model.empty()) return fail(ErrorCode::invalid_argument, "the policy needs the model's name", "--model", "add '--model OWNER/NAME'");
  const auto policy = TRY(pipeline::load_signers(options.policy));
  auto verdict = TRY(policy.judge(options.model, bundle, SystemClock().now()));
  return Verified{verdict.to_json(), std::move(verdict.files)};
}

Result<Verified> verify_bundle(const SignatureOptions& options, const fs::path& folder, std::string_view bundle, const std::string& where) {
  if (!options.policy.empty()) return verify_by_policy(options, bundle);
  attest::CertificateTrust authorities{{}, SystemClock().now()};
  for (const auto& file : options.chain) {
    for (auto& certificate : TRY(read_certificates(file))) authorities.authorities.push_back(std::move(certificate));
  }
  auto model = options.chain.empty() ? TRY(attest::verify_model_signature(bundle, TRY(read_public_key(options.public_key.empty() ? folder.string() + ".pub" : options.public_key)), where))
                                     : TRY(attest::verify_model_signature(bundle, std::move(authorities), where));
  Json who = {{"key_id", model.key_id}};
  if (model.signer) who.update(Json{{"identity", model.signer->subject}, {"names", model.signer->names}, {"not_after", to_rfc3339(model.signer->not_after)}});
  return Verified{std::move(who), std::move(model.files)};
}

Result<int> verify_model_folder(const SignatureOptions& options, const Output& output) {
  const int ways = (options.public_key.empty() ? 0 : 1) + (options.chain.empty() ? 0 : 1) + (options.policy.empty() ? 0 : 1);
  if (ways > 1) return fail(ErrorCode::invalid_argument, "several ways to verify", "--public-key, --certificate-chain, --policy", "name one of them");
  const fs::path folder = TRY(folder_of(options.path));
  const auto ignored = TRY(ignored_of(options, folder));
  const fs::path signature = signature_of(options, folder);
  const bool is_signed = is_there(signature);
  if (!is_signed && options.policy.empty()) {
    return fail(ErrorCode::not_found, "the folder has no signature (model.sig)", options.path, "sign it with 'redoubt model sign DIR'");
  }
  const std::string bundle = is_signed ? TRY(read_text_file(signature, attest::kModelSignatureBytesMax)) : "";
  auto verified = TRY(verify_bundle(options, folder, bundle, signature.string()));
  if (!is_signed || verified.files.empty()) {
    output.result({{"ok", true}, {"problems", Json::array()}, {"signature", verified.who}}, "no signature, and the policy does not ask for one");
    return 0;
  }
  auto files = TRY(attest::hash_model_folder(folder, ignored));
  const auto problems = attest::compare_model({.name = "", .digest = {}, .files = std::move(verified.files)}, std::move(files));
  Json list = Json::array();
  std::string lines;
  std::vector<std::string> extra;
  for (const auto& problem : problems) {
    if (problem.kind == "extra") extra.push_back(problem.object);
    list.push_back({{"kind", problem.kind}, {"object", problem.object}, {"detail", problem.detail}});
    lines += fmt::format("{} {}: {}\n", problem.kind, problem.object, problem.detail);
  }
  if (const auto git = options_for_git(extra); !git.empty()) spdlog::warn("git's own files are not signed, as OpenSSF's tool leaves them out; if they matter to nobody, verify with{}", git);
  const std::string by = json_or(verified.who, "identity", json_or(verified.who, "signer", "").c_str());
  output.result({{"ok", problems.empty()}, {"problems", list}, {"signature", verified.who}}, problems.empty() ? "every file is as it was signed" + (by.empty() ? "" : " by " + by) : lines);
  return problems.empty() ? 0 : exit_code_of(ErrorCode::tampered);
}

}  // namespace

void add_signature_commands(CLI::App& group, Invocation& invocation) {
  auto options = std::make_shared<SignatureOptions>();
  CLI::App* sign_command = add_command(group, invocation, "sign", "Signs every file (OpenSSF Model Signing)", [&invocation, options](const Output& output) { return sign_model_folder(invocation, *options, output); });
  sign_command->add_option("folder", options->path, "a model's folder")->required();
  sign_command->add_option("--private-key", options->private_key, "PEM file with a P-256, P-384 or P-521 key (default: the workspace's)");
  sign_command->add_option("--pkcs11-uri", options->pkcs11_uri, "a key in a token: pkcs11:token=T;object=O?module-path=/path/of/module.so");
  sign_command->add_option("--pkcs11-module", options->pkcs11_module, "the token's module, where the URI names none");
  sign_command->add_option("--pin-file", options->pin_file, "a file with the token's PIN (default: the URI's pin-source, else asked for)");
  sign_command->add_option("--signing-certificate", options->certificate, "PEM file with the key's certificate, for signing by certificate");
  sign_command->add_option("--certificate-chain", options->chain, "PEM file with certificates that lead to an authority; may stand several times");
  sign_command->add_option("--signature", options->signature, "where to write it (default: FOLDER/model.sig)");
  sign_command->add_option("--name", options->name, "the model's name in the signature (default: the folder's)");
  sign_command->add_option("--ignore", options->ignored, "a path below the folder that is not signed; may stand several times");
  CLI::App* verify_command = add_command(group, invocation, "verify", "Checks model.sig; exit status 4 when a file was changed", [options](const Output& output) { return verify_model_folder(*options, output); });
  verify_command->add_option("folder", options->path, "a model's folder")->required();
  verify_command->add_option("--public-key", options->public_key, "PEM file (default: FOLDER.pub)");
  verify_command->add_option("--certificate-chain", options->chain, "PEM file with the authorities that may vouch for the signer; may stand several times");
  verify_command->add_option("--policy", options->policy, "whose signatures are accepted for which models: a file as config/signers.yaml; exit status 3 for another's");
  verify_command->add_option("--model", options->model, "OWNER/NAME, as which the policy judges the folder");
  verify_command->add_option("--signature", options->signature, "the signature's file (default: FOLDER/model.sig)");
  verify_command->add_option("--ignore", options->ignored, "a path below the folder that need not be signed; may stand several times");
}

}  // namespace redoubt::cli
