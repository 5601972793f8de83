// SPDX-License-Identifier: Apache-2.0
//
// Who may ask a mirror for what (docs/formats/hub.md): tokens with scopes, kept as hashes, and the models that are gated. Both
// files are read again when they change, so that a revocation counts at once.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/json.h"
#include "base/secret.h"

namespace redoubt::hub {

enum class Role { read, write };
const char* to_string(Role role);

struct Token {
  std::string id;    // 8 hexadecimal digits: how people and logs name it
  std::string name;  // whose it is
  Digest hash;       // SHA-256 of the token, which has 256 random bits
  Role role = Role::read;
  std::vector<std::string> repositories;  // patterns of OWNER/NAME; a model that none fits is not there for it
  TimePoint created{};
  std::optional<TimePoint> expires;
  bool is_revoked = false;
};

// Whether the token may see that model at all.
bool covers(const Token& token, const std::string& repository);

class TokenFile {
 public:
  // A file that is not there has no tokens.
  static Result<std::vector<Token>> read(const std::filesystem::path& file);
  static Status write(const std::filesystem::path& file, const std::vector<Token>& tokens);
  // Adds a token and answers its text, which is kept nowhere. already_exists for a name that a living token has.
  static Result<Secret> create(const std::filesystem::path& file, Token token);
  // By id or name; not_found.
  static Status revoke(const std::filesystem::path& file, const std::string& id_or_name);
};

// Models whose files need a grant beside a token: OWNER/NAME -> the names of tokens that have one.
using Gates = std::map<std::string, std::set<std::string>>;
class GateFile {
 public:
  static Result<Gates> read(const std::filesystem::path& file);
  // Reads, lets `body` change, and writes, while no other process does.
  static Status change(const std::filesystem::path& file, const std::function<Status(Gates&)>& body);
};

// The two files as a server asks them. Safe to call from several threads.
class Access {
 public:
  // `everything` is a token that reads all models, gated ones too (--token-file); empty: none.
  Access(std::filesystem::path folder, Secret everything, const Clock& clock);
  // The errors of the files.
  Status load();
  // Whose token it is; nothing for one that is unknown, revoked or expired. Takes the same time for all that are unknown.
  std::optional<Token> find(std::string_view bearer);
  bool is_gated(const std::string& repository);
  // Whether it is covered, and where the model is gated has a grant.
  bool may_read(const Token& caller, const std::string& repository);

 private:
  struct Loaded {
    std::filesystem::path file;
    std::optional<std::filesystem::file_time_type> modified;
    std::uint64_t size = 0;
    bool changed();
  };
  void refresh();

  const Clock& clock_;
  std::optional<Digest> everything_;
  std::mutex mutex_;
  Loaded tokens_file_, gates_file_;
  std::vector<Token> tokens_;
  Gates gates_;
  bool is_broken_ = false;  // a file can't be read: nobody is let in
};

inline constexpr const char* kTokensName = "tokens.json";
inline constexpr const char* kGatesName = "gates.json";

}  // namespace redoubt::hub
