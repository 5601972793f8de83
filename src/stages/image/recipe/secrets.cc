// SPDX-License-Identifier: Apache-2.0
#include "stages/image/recipe/secrets.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "stages/image/recipe/words.h"

namespace redoubt::stages::image::recipe {
namespace {

constexpr std::size_t kChunk = 1 << 20, kOverlap = 512;

constexpr const char* kUpperDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
constexpr const char* kAlphanumeric = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
constexpr const char* kWord = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
constexpr const char* kWordDot = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.";

// A token: what it starts with, what it goes on in, and how long that is. The forms are those that the issuers document.
struct Form {
  const char* kind;
  const char* prefix;
  const char* alphabet;
  std::size_t length_min, length_max;
};
constexpr Form kForms[] = {
    {"AWS access key", "AKIA", kUpperDigits, 16, 16},
    {"AWS access key", "ASIA", kUpperDigits, 16, 16},
    {"GitHub token", "ghp_", kAlphanumeric, 36, 255},
    {"GitHub token", "gho_", kAlphanumeric, 36, 255},
    {"GitHub token", "ghs_", kAlphanumeric, 36, 255},
    {"GitHub token", "ghu_", kAlphanumeric, 36, 255},
    {"GitHub token", "ghr_", kAlphanumeric, 36, 255},
    {"GitHub token", "github_pat_", kWord, 50, 255},
    {"GitLab token", "glpat-", kWord, 20, 64},
    {"Hugging Face token", "hf_", kAlphanumeric, 34, 40},
    {"Slack token", "xoxb-", kWord, 20, 255},
    {"Slack token", "xoxp-", kWord, 20, 255},
    {"Stripe key", "sk_live_", kAlphanumeric, 20, 255},
    {"Stripe key", "rk_live_", kAlphanumeric, 20, 255},
    {"OpenAI key", "sk-proj-", kWord, 40, 255},
    {"Anthropic key", "sk-ant-", kWord, 40, 255},
    {"Google API key", "AIza", kWord, 35, 35},
    {"npm token", "npm_", kAlphanumeric, 36, 36},
    {"PyPI token", "pypi-AgEI", kWord, 50, 1024},
    {"SendGrid key", "SG.", kWordDot, 60, 80},
    {"DigitalOcean token", "dop_v1_", kAlphanumeric, 64, 64},
};

bool is_in(const char* alphabet, char c) { return c != '\0' && std::strchr(alphabet, c) != nullptr; }

// Documentation's own example keys are nobody's.
bool is_example(std::string_view text) { return text.find("EXAMPLE") != text.npos || text.find("xxxxxxxx") != text.npos || text.find("00000000000") != text.npos; }

std::optional<std::size_t> find_form(std::string_view text, const Form& form) {
  const std::string_view prefix = form.prefix;
  for (auto at = text.find(prefix); at != text.npos; at = text.find(prefix, at + 1)) {
    if (at > 0 && is_in(kWord, text[at - 1])) continue;
    std::size_t length = 0;
    while (at + prefix.size() + length < text.size() && length <= form.length_max && is_in(form.alphabet, text[at + prefix.size() + length])) ++length;
    const bool fits = length >= form.length_min && length <= form.length_max;
    if (fits && !is_example(text.substr(at, prefix.size() + length))) return at;
  }
  return std::nullopt;
}

// "-----BEGIN ... PRIVATE KEY-----" (OpenPGP: "PRIVATE KEY BLOCK") with base64 below it: the words alone stand in every TLS library.
std::optional<std::size_t> find_private_key(std::string_view text) {
  constexpr std::string_view kKey = "PRIVATE KEY", kBlock = " BLOCK", kDashes = "-----";
  for (auto at = text.find("-----BEGIN "); at != text.npos; at = text.find("-----BEGIN ", at + 1)) {
    const auto words = text.substr(at, 64).find(kKey);
    if (words == text.npos) continue;
    auto body = text.substr(at + words + kKey.size());
    if (body.starts_with(kBlock)) body.remove_prefix(kBlock.size());
    if (!body.starts_with(kDashes)) continue;
    body.remove_prefix(kDashes.size());
    // JSON and YAML write the line's end as two characters.
    body.remove_prefix(std::min(body.starts_with("\\n") ? 2 : body.find_first_not_of(" \r\n"), body.size()));
    std::size_t length = 0;
    while (length < body.size() && length < 40 && (is_in(kAlphanumeric, body[length]) || body[length] == '+' || body[length] == '/' || body[length] == '=')) ++length;
    const bool has_header = body.starts_with("Proc-Type:");
    if (length >= 40 || has_header) return at;
  }
  return std::nullopt;
}

// "scheme://user:password@host".
std::optional<std::size_t> find_password_in_url(std::string_view text) {
  for (auto at = text.find("://"); at != text.npos; at = text.find("://", at + 1)) {
    const auto rest = text.substr(at + 3, 256);
    const auto end = std::min(rest.find_first_of(" \t\r\n/\"'<>`\\,;(){}|"), rest.size());
    const auto part = rest.substr(0, end);
    const auto sign = part.rfind('@'), colon = part.find(':');
    if (sign == part.npos || colon == part.npos || colon >= sign || colon == 0) continue;
    const auto password = part.substr(colon + 1, sign - colon - 1);
    const bool printable = std::all_of(part.begin(), part.end(), [](unsigned char c) { return c > 0x20 && c < 0x7f; });
    if (printable && password.size() >= 3 && is_secret_value(password) && password != "password" && password != "pass" && password != "passwd" && password != "pwd") return at;
  }
  return std::nullopt;
}

}  // namespace

std::vector<FoundSecret> secrets_in(std::string_view text) {
  std::vector<FoundSecret> found;
  const auto add = [&](const char* kind, std::optional<std::size_t> at) {
    const bool known = std::any_of(found.begin(), found.end(), [&](const FoundSecret& other) { return other.kind == kind; });
    if (at && !known) found.push_back({kind, *at});
  };
  for (const auto& form : kForms) add(form.kind, find_form(text, form));
  add("private key", find_private_key(text));
  add("password in a URL", find_password_in_url(text));
  return found;
}

Result<std::vector<FoundSecret>> secrets_in(Source& contents) {
  std::vector<FoundSecret> found;
  std::string window;
  std::uint64_t start = 0;
  Bytes chunk(kChunk);
  while (true) {
    const std::size_t count = TRY(contents.read(chunk));
    window.append(text_of(ByteView(chunk).first(count)));
    if (count > 0 && window.size() < kChunk) continue;  // a sparse file comes in pieces of a few bytes
    for (auto& secret : secrets_in(window)) {
      const bool known = std::any_of(found.begin(), found.end(), [&](const FoundSecret& other) { return other.kind == secret.kind; });
      if (!known) found.push_back({secret.kind, start + secret.offset});
    }
    if (count == 0) return found;
    start += window.size() - kOverlap;
    window.erase(0, window.size() - kOverlap);
  }
}

bool is_secret_name(std::string_view name) {
  const std::string text = upper(name);
  for (std::string_view place : {"_FILE", "_PATH", "_DIR", "_URL", "_NAME", "_ID"}) {
    if (text.ends_with(place)) return false;
  }
  for (std::string_view word : {"PASSWORD", "PASSWD", "SECRET", "TOKEN", "APIKEY", "API_KEY", "PRIVATE_KEY", "ACCESS_KEY", "CREDENTIAL", "PASSPHRASE", "AUTH_KEY", "ENCRYPTION_KEY", "SIGNING_KEY"}) {
    const auto at = text.find(word);
    if (at == text.npos) continue;
    // "TOKENIZER" and "MAX_TOKENS" are of another trade.
    if (word == "TOKEN" && text.size() > at + 5 && text[at + 5] != '_') continue;
    return true;
  }
  return text == "PWD_DB" || text.ends_with("_PW") || text.ends_with("_PASS");
}

bool is_secret_value(std::string_view value) {
  if (value.empty() || value.find('$') != value.npos || value.starts_with('/') || value.starts_with('<') || value.starts_with('{')) return false;
  const std::string text = upper(value);
  return text != "TRUE" && text != "FALSE" && text != "NONE" && text != "NULL" && text != "0" && text != "1" && text.find_first_not_of('*') != text.npos && text.find_first_not_of('X') != text.npos;
}

std::optional<std::string> credential_file(std::string_view path) {
  static constexpr std::array<std::string_view, 19> kNames = {".env", ".netrc", ".pypirc", ".npmrc", ".dockercfg", ".git-credentials", ".pgpass", ".htpasswd", "id_rsa", "id_dsa", "id_ecdsa",
                                                              "id_ed25519", ".aws/credentials", ".docker/config.json", ".kube/config", ".config/gcloud", ".vault-token", "credentials.json", ".git"};
  while (path.ends_with('/')) path.remove_suffix(1);
  for (auto name : kNames) {
    const bool whole = path == name || path.ends_with("/" + std::string(name));
    const bool within = path.starts_with(std::string(name) + "/") || path.find("/" + std::string(name) + "/") != path.npos;
    if (whole || within) return std::string(name);
  }
  const auto slash = path.rfind('/');
  const auto last = path.substr(slash == path.npos ? 0 : slash + 1);
  if (last.starts_with(".env.") && last != ".env.example" && last != ".env.sample" && last != ".env.template") return ".env";
  if (last.ends_with(".p12") || last.ends_with(".pfx") || last.ends_with(".jks") || last.ends_with(".kdbx")) return std::string(last.substr(last.rfind('.')));
  return std::nullopt;
}

}  // namespace redoubt::stages::image::recipe
