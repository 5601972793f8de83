// SPDX-License-Identifier: Apache-2.0
//
// For tests of the AWS providers: a client that keeps every call, and answers what the test's function says.
#pragma once

#include <functional>
#include <vector>

#include "provider/aws/api/client.h"

namespace redoubt::provider::aws {

class TestingClient final : public Client {
 public:
  struct Call {
    std::string service, operation;
    Json input;
  };
  std::function<Result<Json>(const std::string& service, const std::string& operation, const Json& input)> answer =
      [](const auto&, const auto&, const auto&) { return Json::object(); };
  std::vector<Call> calls;

  // A refusal as the client tells it.
  static tl::unexpected<Error> refuse(const std::string& service_code, ErrorCode code) { return fail(code, service_code + ": no (test, request id 1)", "test"); }
  int count(std::string_view operation) const {
    int found = 0;
    for (const auto& call : calls) found += call.operation == operation;
    return found;
  }
  const Json& last(std::string_view operation) const {
    static const Json kNone = Json::object();
    for (auto call = calls.rbegin(); call != calls.rend(); ++call) {
      if (call->operation == operation) return call->input;
    }
    return kNone;
  }

  Result<Json> call(std::string_view service, std::string_view operation, const Json& input) override {
    calls.push_back({std::string(service), std::string(operation), input});
    return answer(calls.back().service, calls.back().operation, calls.back().input);
  }
  Result<Json> call_all(std::string_view service, std::string_view operation, const Json& input, std::string_view items) override {
    return json_or(TRY(call(service, operation, input)), std::string(items).c_str(), Json::array());
  }
  Result<Json> wait_until(std::string_view service, std::string_view operation, const Json& input, const std::function<Result<bool>(const Json&)>& is_done, const WaitOptions&) override {
    for (int i = 0; i < 100; ++i) {
      Json got = TRY(call(service, operation, input));
      if (TRY(is_done(got))) return got;
    }
    return fail(ErrorCode::limit_exceeded, "it took too long", "test");
  }
  Result<RestAnswer> send(const RestRequest&, Sink&) override { return fail(ErrorCode::unsupported, "no streams in this test"); }
  Status act_as(const std::string&) override { return {}; }
  void give_up() override {}
  const std::string& region() const override { return region_; }
  const std::string& partition() const override { return partition_; }
  Result<std::string> account() override { return std::string("123456789012"); }

 private:
  std::string region_ = "eu-central-1", partition_ = "aws";
};

}  // namespace redoubt::provider::aws
