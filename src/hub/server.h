// SPDX-License-Identifier: Apache-2.0
//
// A private mirror: the Hugging Face Hub's HTTP API over a folder of models, as huggingface_hub and transformers use it.
// Every request needs a token and is answered within that token's scopes; a model is served once it has been scanned, and as
// long as it is what was scanned; each download is in the audit file before its first byte is sent. Models come from the folder,
// from uploads by tokens that may write, and, where an upstream is given, from another hub when they are first asked for.
//
// Quick answers and slow ones (a model that has to be hashed and scanned first) have threads of their own, so that one client's
// new model does not hold up the others.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <thread>
#include <variant>

#include "base/secret.h"
#include "http/server.h"
#include "hub/audit.h"
#include "hub/pull_through.h"
#include "hub/repository.h"
#include "hub/tokens.h"
#include "hub/uploads.h"

namespace redoubt::hub {

struct Options {
  std::filesystem::path root;   // holds OWNER/NAME/...
  std::filesystem::path state;  // tokens, gates, what the scans said, the audit file; empty: ROOT/.hub
  std::string host = "127.0.0.1";
  std::uint16_t port = 0;
  std::string certificate_pem;
  Secret private_key_pem;
  Secret token;        // reads everything; empty: only the tokens of the state folder count
  Scan scan;           // what is wrong with a model; must be there
  std::string scanner;  // its version
  std::filesystem::path audit_file;  // empty: STATE/audit.jsonl
  std::filesystem::path access_log;  // empty: none
  PullThrough::Options upstream;     // without an Upstream: none
};

class HubServer final : public http::Handler {
 public:
  // not_found without the folder; invalid_argument where nobody could have a token; the errors of http::Server::start.
  static Result<std::unique_ptr<HubServer>> start(Options options);
  ~HubServer() override;
  std::uint16_t port() const { return server_->port(); }
  void stop();
  AuditLog::Since take_audit() { return audit_log_->take(); }

  std::optional<http::Response> on_head(http::Request& request) override;
  void on_request(http::Request request, http::Responder responder) override;

 private:
  struct Call {
    http::Request request;
    http::Responder responder;
    Token caller;
    std::vector<std::string> segments;  // of the path
  };
  // Threads that take calls from a queue.
  struct Pool {
    std::deque<Call> waiting;
    std::condition_variable changed;
    std::vector<std::thread> threads;
  };
  enum class Patience { quick, slow };

  explicit HubServer(Options options);
  Status open_files();
  std::optional<Token> caller_of(const http::Request& request);
  bool push(Pool& pool, Call call);
  void work(Pool& pool, Patience patience);
  // Nothing when a quick thread would have to wait.
  std::optional<http::Response> answer(const Call& call, Patience patience);
  std::optional<http::Response> answer_api(const Call& call, Patience patience);
  std::optional<http::Response> answer_models(const Call& call, Patience patience);
  std::optional<http::Response> answer_resolve(const Call& call, Patience patience);
  http::Response answer_revision(const Call& call, const Commit& commit);
  http::Response answer_file(const Call& call, const Repository& repository, const std::string& path);
  http::Response answer_who(const Token& caller) const;
  // A revision of a repository, or the answer that there is none for this caller.
  using Found = std::variant<Commit, http::Response>;
  std::optional<Found> find(const Call& call, const std::string& owner, const std::string& name, const std::string& revision, Patience patience);
  std::optional<Found> find_in_folder(const std::string& owner, const std::string& name, const std::string& revision, Patience patience);
  std::optional<Found> find_in_store(const std::string& id, const std::string& revision, Patience patience);
  std::optional<Found> find_kept(const std::string& id, const std::string& revision, Patience patience);  // no upstream is asked
  Result<Refs> refs_of_repository(const Commit& commit) const;

  // write_routes.cc: what changes a repository, for tokens that may.
  static bool is_upload_address(const std::vector<std::string>& segments);
  std::optional<Token> uploader(const http::Request& request) const;
  http::Response answer_write(const Call& call);
  http::Response answer_repository_write(const Call& call, const std::string& id);
  http::Response create_repository(const Call& call);
  http::Response preupload(const Call& call);
  http::Response batch(const Call& call, const std::string& id);
  http::Response upload(const Call& call);
  http::Response make_commit(const Call& call, const std::string& id);
  http::Response change_ref(const Call& call, const std::string& id);
  Status audit(const Call& call, const Repository& repository, const RepositoryFile& file, const http::Response& response, GuardedFile& guarded);
  void log_access(const Call& call, int status);

  Options options_;
  SystemClock clock_;
  Access access_;
  Repositories repositories_;
  Store store_;
  Uploads uploads_;
  std::optional<PullThrough> pull_;
  std::shared_ptr<AuditLog> audit_log_;
  std::mutex access_log_mutex_;  // a line that does not go in whole is taken off again
  Fd access_log_;

  std::mutex mutex_;
  Pool quick_, slow_;
  bool stopping_ = false;
  std::unique_ptr<http::Server> server_;
};

}  // namespace redoubt::hub
