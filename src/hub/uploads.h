// SPDX-License-Identifier: Apache-2.0
//
// What huggingface_hub's create_commit, upload_file, upload_folder, create_repo and create_tag ask for. Large files come through
// Git LFS's batch protocol at addresses that are signed for a while, since clients send no token there; nothing that comes is
// visible before it has been scanned as part of a whole commit.
#pragma once

#include <set>

#include "base/secret.h"
#include "hub/commit_request.h"
#include "hub/store.h"

namespace redoubt::hub {

class Uploads {
 public:
  Uploads(Store& store, Repositories& folders, Scan scan, const Clock& clock);

  // Makes a repository with an empty commit; already_exists.
  Status create(const std::string& id, const std::string& author);
  // The new commit's id. unavailable when `parent` is another than the branch's commit; gate_refused with the findings in `where`.
  Result<std::string> commit(const std::string& id, const std::string& branch, const CommitRequest& request, const std::string& author);
  Status tag(const std::string& id, const std::string& name, const std::string& revision);
  Status untag(const std::string& id, const std::string& name);
  Status branch(const std::string& id, const std::string& name, const std::string& revision);
  Status unbranch(const std::string& id, const std::string& name);

  // How a large file may be sent.
  static constexpr std::uint64_t kPartBytes = 16 << 20;
  struct Ticket {
    std::string id;  // the repository
    Digest oid;
    std::uint64_t size = 0;
    std::uint64_t part = 0;  // 0: the whole file at once, or the end of its parts
    std::int64_t expires = 0;
  };
  // Whether the file is part of the repository already, so that it need not be sent.
  bool has(const std::string& id, const Digest& oid);
  // "/api/uploads/OWNER/NAME/OID/PART?size=&expires=&signature="
  std::string address_of(Ticket ticket) const;
  // permission_denied for an address that this mirror did not make, or that has ended.
  Result<Ticket> check(const std::vector<std::string>& segments, std::string_view query) const;
  // One part's bytes; invalid_argument for another length than the ticket's.
  Status put_part(const Ticket& ticket, ByteView bytes);
  // Joins the parts; tampered when they are not the file that was announced.
  Status finish(const Ticket& ticket);

 private:
  Status adopt(const std::string& id);
  Status apply(const CommitOperation& operation, const std::string& id, Repository& repository);
  Result<RepositoryFile> keep_bytes(ByteView bytes, const std::string& path);
  std::filesystem::path folder_of(const Ticket& ticket) const;
  Digest sign(const Ticket& ticket) const;
  Status change_refs(const std::string& id, const std::function<Status(Refs&)>& body);

  Store& store_;
  Repositories& folders_;
  Scan scan_;
  const Clock& clock_;
  Secret key_;  // of the addresses, as long as the process runs
  std::mutex mutex_;
  std::map<std::string, std::set<Digest>> sent_;  // to a repository, not yet part of a commit
};

}  // namespace redoubt::hub
