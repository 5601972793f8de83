// SPDX-License-Identifier: Apache-2.0
//
// The AWS client as other languages' tests drive it: a JSON request a line on stdin, a JSON answer a line on stdout.
//   {"do": "call", "service", "operation", "input"}                      -> {"answer"} or {"error": {"code", "message", ...}}
//   {"do": "call_all", ..., "items"}
//   {"do": "send", "method", "bucket", "path", "query", "headers", "body", "upload" (a file)}  -> {"status", "headers", "body"}
//   {"do": "client", "region", "profile", ...}                            -> a new client for what follows
//   {"do": "sign", ...}                                                   -> the three stages of a signature
#include <iostream>

#include "base/file.h"
#include "provider/aws/api/client.h"
#include "provider/aws/api/sigv4.h"

namespace redoubt {
namespace {

using namespace provider::aws;

Json error_json(const Error& error) {
  return {{"error", {{"code", to_string(error.code)}, {"message", error.message}, {"where", error.where}, {"hint", error.hint}}}};
}

Query query_of(const Json& pairs) {
  Query out;
  for (const auto& pair : pairs) out.emplace_back(pair[0].get<std::string>(), pair[1].get<std::string>());
  return out;
}

http::Headers headers_of(const Json& pairs) {
  http::Headers out;
  for (const auto& [name, value] : query_of(pairs)) out.add(name, value);
  return out;
}

Json json_of(const http::Headers& headers) {
  Json out = Json::object();
  for (const auto& header : headers) out[header.name] = header.value;
  return out;
}

Json sign(const Json& order) {
  SignableRequest request{order["method"], order["path"], query_of(order["query"]), headers_of(order["headers"]), order["payload_hash"], order["service"] == "s3"};
  const SigningScope scope{order["region"], order["service"], *parse_rfc3339(order["time"].get<std::string>())};
  Credentials credentials{order["access_key_id"], Secret(order["secret_access_key"].get<std::string>())};
  if (order.contains("session_token")) credentials.session_token = Secret(order["session_token"].get<std::string>());
  if (order.contains("expires")) return {{"query", presigned_query(request, scope, credentials, order["expires"])}};
  return {{"canonical_request", canonical_request(request)},
          {"string_to_sign", string_to_sign(request, scope)},
          {"signature", signature(request, scope, credentials.secret_access_key)},
          {"headers", json_of(signed_headers(request, scope, credentials))}};
}

class Tool {
 public:
  Json run(const Json& order) {
    const auto what = json_or(order, "do", "");
    if (what == "sign") return sign(order);
    if (what == "client") client_.reset();
    if (const auto made = client_for(order); !made) return error_json(made.error());
    if (what == "client") return {{"region", client_->region()}, {"partition", client_->partition()}};
    if (what == "send") return send(order);
    const auto input = json_or(order, "input", Json::object());
    const std::string service = order["service"], operation = order["operation"];
    const auto answer = what == "call_all" ? client_->call_all(service, operation, input, order["items"].get<std::string>()) : client_->call(service, operation, input);
    return answer ? Json{{"answer", *answer}} : error_json(answer.error());
  }

 private:
  Status client_for(const Json& order) {
    if (client_) return {};
    ClientOptions options;
    options.region = json_or(order, "region", "");
    options.profile = json_or(order, "profile", "");
    options.endpoint_url = json_or(order, "endpoint_url", "");
    options.assume_role_arn = json_or(order, "assume_role_arn", "");
    options.attempts_max = static_cast<int>(json_or(order, "attempts_max", std::int64_t{5}));
    client_ = TRY(Client::create(options, clock_));
    return {};
  }

  Json send(const Json& order) {
    RestRequest request;
    request.operation = json_or(order, "operation", "Test");
    request.method = json_or(order, "method", "GET");
    request.bucket = json_or(order, "bucket", "");
    request.path = json_or(order, "path", "/");
    request.query = query_of(json_or(order, "query", Json::array()));
    request.headers = headers_of(json_or(order, "headers", Json::array()));
    request.body = json_or(order, "body", "");
    std::unique_ptr<FileReader> file;
    if (const auto path = json_or(order, "upload", ""); !path.empty()) {
      file = *FileReader::open(path);
      request.upload = file.get();
      request.upload_bytes = file->size();
    }
    MemorySink body;
    const auto answer = client_->send(request, body);
    if (!answer) return error_json(answer.error());
    return {{"status", answer->status}, {"headers", json_of(answer->headers)}, {"body", to_base64(body.take())}};
  }

  const SystemClock clock_;
  std::unique_ptr<Client> client_;
};

int main_tool() {
  Tool tool;
  for (std::string line; std::getline(std::cin, line);) std::cout << dump_json(tool.run(Json::parse(line))) << std::endl;
  return 0;
}

}  // namespace
}  // namespace redoubt

int main() { return redoubt::main_tool(); }
