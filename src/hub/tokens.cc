// SPDX-License-Identifier: Apache-2.0
#include "hub/tokens.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/file.h"
#include "base/log.h"
#include "base/pattern.h"
#include "crypto/hash.h"
#include "crypto/random.h"

namespace redoubt::hub {
namespace fs = std::filesystem;
namespace {

constexpr std::uint64_t kTokensFileBytesMax = 16 << 20;
constexpr std::size_t kTokensMax = 10'000;
constexpr const char* kEverything = "token-file";

Json to_json(const Token& token) {
  Json json = {{"id", token.id}, {"name", token.name}, {"sha256", token.hash.hex()}, {"role", to_string(token.role)}, {"repositories", token.repositories},
               {"created", to_rfc3339(token.created)}, {"revoked", token.is_revoked}};
  if (token.expires) json["expires"] = to_rfc3339(*token.expires);
  return json;
}

Result<Token> parse_token(const Json& json, const std::string& where) {
  Token token;
  token.id = TRY(json_string(json, "id", where));
  token.name = TRY(json_string(json, "name", where));
  token.hash = TRY(Digest::parse(TRY(json_string(json, "sha256", where))));
  const auto role = TRY(json_string(json, "role", where));
  if (role != "read" && role != "write") return fail(ErrorCode::invalid_argument, "a token's role is read or write", where);
  token.role = role == "write" ? Role::write : Role::read;
  for (const auto& pattern : TRY(json_array(json, "repositories", where))) {
    if (!pattern.is_string()) return fail(ErrorCode::invalid_argument, "a pattern of repositories is a text", where);
    token.repositories.push_back(pattern);
  }
  token.created = TRY(parse_rfc3339(TRY(json_string(json, "created", where))));
  if (json.contains("expires")) token.expires = TRY(parse_rfc3339(TRY(json_string(json, "expires", where))));
  token.is_revoked = TRY(json_bool(json, "revoked", where));
  return token;
}

Result<Json> read_versioned(const fs::path& file, const char* member) {
  const auto text = read_text_file(file, kTokensFileBytesMax);
  if (!text && text.error().code == ErrorCode::not_found) return Json();
  if (!text) return fail(text.error());
  const Json json = TRY(parse_json(*text, file.string()));
  if (TRY(json_integer(json, "version", file.string())) != 1) return fail(ErrorCode::unsupported, "written by a later program", file.string());
  if (!json.contains(member)) return fail(ErrorCode::invalid_argument, fmt::format("'{}' is missing", member), file.string());
  return json.at(member);
}

bool is_named(const Token& token, const std::string& id_or_name) { return token.id == id_or_name || token.name == id_or_name; }

// Writers of one folder take turns.
Result<FileLock> lock_of(const fs::path& file) {
  TRY(make_folder(file.parent_path()));
  return FileLock::acquire(file.parent_path() / ".access.lock");
}

}  // namespace

const char* to_string(Role role) { return role == Role::write ? "write" : "read"; }

bool covers(const Token& token, const std::string& repository) {
  return std::any_of(token.repositories.begin(), token.repositories.end(), [&](const std::string& pattern) { return fits_pattern(pattern, repository); });
}

Result<std::vector<Token>> TokenFile::read(const fs::path& file) {
  const Json list = TRY(read_versioned(file, "tokens"));
  std::vector<Token> tokens;
  if (list.is_null()) return tokens;
  if (!list.is_array() || list.size() > kTokensMax) return fail(ErrorCode::invalid_argument, "'tokens' is no list of at most 10,000", file.string());
  for (const auto& entry : list) tokens.push_back(TRY(parse_token(entry, file.string())));
  return tokens;
}

Status TokenFile::write(const fs::path& file, const std::vector<Token>& tokens) {
  Json list = Json::array();
  for (const auto& token : tokens) list.push_back(to_json(token));
  return write_file(file, Json{{"version", 1}, {"tokens", std::move(list)}}.dump(1) + "\n");
}

Result<Secret> TokenFile::create(const fs::path& file, Token token) {
  const auto lock = TRY(lock_of(file));
  auto tokens = TRY(read(file));
  if (token.name.empty() || token.name == kEverything) return fail(ErrorCode::invalid_argument, "a token has a name", "name");
  if (tokens.size() >= kTokensMax) return fail(ErrorCode::limit_exceeded, "the mirror has as many tokens as it takes", file.string());
  const bool is_taken = std::any_of(tokens.begin(), tokens.end(), [&](const Token& other) { return !other.is_revoked && other.name == token.name; });
  if (is_taken) return fail(ErrorCode::already_exists, "a token of that name is there", token.name, "revoke it first, or choose another name");
  const std::string text = "hf_" + to_base64url(crypto::random_bytes(32));
  token.hash = crypto::sha256(text);
  token.id = to_hex(crypto::random_bytes(4));
  tokens.push_back(std::move(token));
  TRY(write(file, tokens));
  return Secret(std::string_view(text));
}

Status TokenFile::revoke(const fs::path& file, const std::string& id_or_name) {
  const auto lock = TRY(lock_of(file));
  auto tokens = TRY(read(file));
  const auto found = std::find_if(tokens.begin(), tokens.end(), [&](const Token& token) { return !token.is_revoked && is_named(token, id_or_name); });
  if (found == tokens.end()) return fail(ErrorCode::not_found, "no such token", id_or_name, "list them with 'redoubt hub token list'");
  found->is_revoked = true;
  return write(file, tokens);
}

Result<Gates> GateFile::read(const fs::path& file) {
  const Json json = TRY(read_versioned(file, "gated"));
  Gates gates;
  if (json.is_null()) return gates;
  if (!json.is_object()) return fail(ErrorCode::invalid_argument, "'gated' is no object", file.string());
  for (const auto& [repository, names] : json.items()) {
    auto& grants = gates[repository];
    if (!names.is_array()) return fail(ErrorCode::invalid_argument, "the grants of a model are a list", file.string());
    for (const auto& name : names) {
      if (!name.is_string()) return fail(ErrorCode::invalid_argument, "a grant names a token", file.string());
      grants.insert(name.get<std::string>());
    }
  }
  return gates;
}

Status GateFile::change(const fs::path& file, const std::function<Status(Gates&)>& body) {
  const auto lock = TRY(lock_of(file));
  auto gates = TRY(read(file));
  TRY(body(gates));
  return write_file(file, Json{{"version", 1}, {"gated", gates}}.dump(1) + "\n");
}

Access::Access(fs::path folder, Secret everything, const Clock& clock) : clock_(clock) {
  tokens_file_.file = folder / kTokensName;
  gates_file_.file = folder / kGatesName;
  if (!everything.empty()) everything_ = crypto::sha256(everything.reveal(SecretAccess::for_crypto()));
}

bool Access::Loaded::changed() {
  std::error_code error;
  const auto now = fs::last_write_time(file, error);
  const std::optional<fs::file_time_type> seen = error ? std::nullopt : std::optional(now);
  const std::uint64_t bytes = error ? 0 : fs::file_size(file, error);
  const bool is_other = seen != modified || bytes != size;
  modified = seen;
  size = bytes;
  return is_other;
}

Status Access::load() {
  const std::scoped_lock lock(mutex_);
  (void)tokens_file_.changed();
  (void)gates_file_.changed();
  tokens_ = TRY(TokenFile::read(tokens_file_.file));
  gates_ = TRY(GateFile::read(gates_file_.file));
  return {};
}

void Access::refresh() {
  const bool tokens_changed = tokens_file_.changed(), gates_changed = gates_file_.changed();
  if (!tokens_changed && !gates_changed && !is_broken_) return;
  auto tokens = TokenFile::read(tokens_file_.file);
  auto gates = GateFile::read(gates_file_.file);
  is_broken_ = !tokens || !gates;
  if (!tokens) spdlog::error("hub: {} ({}); nobody is let in", tokens.error().message, tokens.error().where);
  if (!gates) spdlog::error("hub: {} ({}); nobody is let in", gates.error().message, gates.error().where);
  if (is_broken_) return;
  tokens_ = std::move(*tokens);
  gates_ = std::move(*gates);
}

std::optional<Token> Access::find(std::string_view bearer) {
  const std::scoped_lock lock(mutex_);
  refresh();
  const Digest hash = crypto::sha256(bearer);
  std::optional<Token> found;
  if (everything_ && equal_constant_time(hash.value, everything_->value)) {
    found = Token{.id = kEverything, .name = kEverything, .hash = hash, .role = Role::read, .repositories = {"*/*"}, .created = {}, .expires = {}, .is_revoked = false};
  }
  // To the end, whatever fits: where a token stands in the list does not show in the time.
  for (const auto& token : tokens_) {
    if (equal_constant_time(hash.value, token.hash.value)) found = token;
  }
  if (is_broken_ || (found && (found->is_revoked || (found->expires && *found->expires <= clock_.now())))) return std::nullopt;
  return found;
}

bool Access::is_gated(const std::string& repository) {
  const std::scoped_lock lock(mutex_);
  return std::any_of(gates_.begin(), gates_.end(), [&](const auto& gate) { return fits_pattern(gate.first, repository); });
}

bool Access::may_read(const Token& caller, const std::string& repository) {
  if (!covers(caller, repository)) return false;
  if (caller.id == kEverything) return true;
  const std::scoped_lock lock(mutex_);
  return std::all_of(gates_.begin(), gates_.end(), [&](const auto& gate) { return !fits_pattern(gate.first, repository) || gate.second.contains(caller.name) || gate.second.contains(caller.id); });
}

}  // namespace redoubt::hub
