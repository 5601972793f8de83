// SPDX-License-Identifier: Apache-2.0
//
// A private mirror: the Hugging Face Hub's HTTP API over a folder of models, as huggingface_hub and transformers use it to
// read. Every request needs the token. A folder is hashed when it is first asked for, on a thread of its own, so that other
// clients are served meanwhile.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <thread>

#include "base/secret.h"
#include "http/server.h"
#include "hub/repository.h"

namespace redoubt::hub {

struct Options {
  std::filesystem::path root;  // holds OWNER/NAME/...
  std::string host = "127.0.0.1";
  std::uint16_t port = 0;
  std::string certificate_pem;
  Secret private_key_pem;
  Secret token;
};

class HubServer final : public http::Handler {
 public:
  // not_found without the folder; the errors of http::Server::start.
  static Result<std::unique_ptr<HubServer>> start(Options options);
  ~HubServer() override;
  std::uint16_t port() const { return server_->port(); }
  void stop();

  std::optional<http::Response> on_head(const http::Request& request) override;
  void on_request(http::Request request, http::Responder responder) override;

 private:
  explicit HubServer(Options options) : options_(std::move(options)), repositories_(options_.root) {}
  http::Response answer(const http::Request& request);
  http::Response answer_api(const http::Request& request, const std::vector<std::string>& segments);
  http::Response answer_file(const http::Request& request, const Repository& repository, const std::string& path);
  bool is_allowed(const http::Request& request) const;
  void work();

  Options options_;
  Repositories repositories_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::pair<http::Request, http::Responder>> waiting_;
  bool stopping_ = false;
  std::thread worker_;
  std::unique_ptr<http::Server> server_;
};

}  // namespace redoubt::hub
