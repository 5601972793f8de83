// SPDX-License-Identifier: Apache-2.0
//
// The reading half of the Hugging Face Hub's HTTP API. Nothing that the hub says is believed before a digest shows it.
#pragma once

#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/secret.h"
#include "http/client.h"

namespace redoubt::stages::acquire {

struct HubOptions {
  std::string endpoint = "https://huggingface.co";
  std::string ca_file;                     // PEM; empty: the system's authorities
  std::vector<std::string> allowed_hosts;  // that a download may be redirected to; the public hub's own stores always
  std::optional<Secret> token;
  // Asked once, when the hub refuses the token (401): it may have been rotated since it was read.
  std::function<Result<Secret>()> read_token_again = {};
};

struct HubFile {
  std::string path;
  std::uint64_t size = 0;
  std::string blob_id;          // git's id of a small file
  std::optional<Digest> sha256;  // of a large one
};

// A file without a SHA-256 is held in memory until its git id is known; the Hub keeps nothing as large as this without LFS.
inline constexpr std::uint64_t kSmallFileBytesMax = 32 << 20;

bool is_commit(const std::string& text);  // 40 hexadecimal digits

// Safe to use from several threads.
class HubClient {
 public:
  explicit HubClient(HubOptions options);

  // Whether the options and names can be asked for at all: https://, OWNER/NAME or NAME, a revision that git would take; else
  // invalid_argument.
  Status check(const std::string& repository, const std::string& revision) const;
  // The commit (40 hexadecimal digits) that a revision names now.
  Result<std::string> resolve(const std::string& repository, const std::string& revision) const;
  // All files of a commit. gate_refused: an unsafe path, a path that stands twice or is a folder's as well, an entry that is
  // neither file nor folder, a size that no file has.
  Result<std::vector<HubFile>> list(const std::string& repository, const std::string& commit) const;
  // `length` bytes of a file from `offset`. tampered when the hub has another number of bytes than it said.
  Status download(const std::string& repository, const std::string& commit, const HubFile& file, std::uint64_t offset, std::uint64_t length, Sink& into) const;

 private:
  http::ClientRequest request(std::string url) const;
  Result<std::pair<http::ClientResponse, std::string>> fetch(const std::string& url) const;
  bool has_newer_token(const Error& error, const std::optional<Secret>& used) const;
  http::ClientRequest request_file(const std::string& repository, const std::string& commit, const std::string& path) const;
  Status check_size(const http::ClientRequest& asked, const HubFile& file) const;
  HubOptions options_;
  std::optional<Secret> token() const;
  mutable std::mutex mutex_;  // guards the next two
  mutable std::optional<Secret> token_;  // the newest that was read
  mutable bool was_read_again_ = false;
  http::Client client_;
};

}  // namespace redoubt::stages::acquire
