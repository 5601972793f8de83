// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/api/client.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <thread>

#include "crypto/hash.h"
#include "crypto/random.h"
#include "provider/aws/api/caller.h"
#include "provider/aws/api/credential_sources.h"
#include "provider/aws/api/protocol.h"

namespace redoubt::provider::aws {
namespace {

constexpr int kPagesMax = 10'000;
constexpr std::string_view kPageTokens[] = {"NextToken", "nextToken", "NextMarker", "Marker", "NextPageToken"};

// Eight random groups as UUIDs have them; services ask for nothing more of a token than that it is new.
std::string fresh_token() {
  const auto hex = to_hex(crypto::random_bytes(16));
  return fmt::format("{}-{}-{}-{}-{}", hex.substr(0, 8), hex.substr(8, 4), hex.substr(12, 4), hex.substr(16, 4), hex.substr(20));
}

// A caller's own hash or checksum spares reading an upload twice; TLS keeps the rest from being changed on the way.
Result<std::string> payload_hash_of(const RestRequest& request, const Endpoint& endpoint) {
  if (const auto* given = request.headers.find("x-amz-content-sha256")) return *given;
  if (request.upload == nullptr) return crypto::sha256(request.body).hex();
  const bool has_checksum = std::any_of(request.headers.begin(), request.headers.end(), [](const http::Header& header) {
    return header.name.starts_with("x-amz-checksum-") || header.name == "content-md5";
  });
  if (has_checksum && endpoint.url.starts_with("https://")) return std::string(kUnsignedPayload);
  crypto::Sha256 hash;
  Bytes buffer(1 << 20);
  for (std::uint64_t done = 0; done < request.upload_bytes;) {
    const auto count = std::min<std::uint64_t>(buffer.size(), request.upload_bytes - done);
    TRY(request.upload->read_at(request.upload_offset + done, MutableByteView(buffer).first(count)));
    hash.update(ByteView(buffer).first(count));
    done += count;
  }
  return hash.finish().hex();
}

void move_to_bucket(const std::string& bucket, Endpoint& endpoint) {
  const auto address = address_of(endpoint, bucket);
  endpoint.url = endpoint.url.substr(0, endpoint.url.find("://") + 3) + address.host;
  endpoint.host = address.host;
  endpoint.base_path += address.path_prefix;
}

// The table's rows name the bucket in the path. S3 wants a checksum of every document that sets something.
void address_bucket(const std::string& bucket, WireRequest& wire, Endpoint& endpoint) {
  const auto prefix = "/" + uri_encode(bucket);
  if (!bucket.empty() && wire.path.starts_with(prefix)) {
    wire.path = wire.path.size() == prefix.size() ? "/" : wire.path.substr(prefix.size());
    move_to_bucket(bucket, endpoint);
  }
  if (wire.body.empty()) return;
  wire.headers.add("x-amz-sdk-checksum-algorithm", "SHA256");
  wire.headers.add("x-amz-checksum-sha256", to_base64(crypto::sha256(wire.body).bytes()));
}

class AwsClient final : public Client {
 public:
  AwsClient(ClientOptions options, Environment environment, Profiles profiles, const Clock& clock)
      : options_(std::move(options)),
        partition_(partition_of(options_.region).name),
        profiles_(std::move(profiles)),
        http_({.ca_file = options_.ca_file, .connect_s_max = 10}),
        caller_(http_, clock, {.attempts_max = options_.attempts_max}),
        environment_(std::move(environment)),
        endpoints_(endpoints_in(options_.region)),
        clock_(clock) {}

  Status find_credentials(bool profile_is_option) {
    const bool must_exist = profile_is_option || environment_.variable("AWS_PROFILE");
    context_.emplace(CredentialContext{environment_, profiles_, options_.profile, must_exist, profile_is_option, options_.assume_role_arn, clock_, http_,
                                       [this](const Credentials* signer, const std::string& in_region, std::string_view service, std::string_view operation,
                                              const Json& input) { return call_with(signer, in_region, service, operation, input); }});
    held_.emplace("", std::make_unique<CredentialCache>(TRY(find_credential_source(*context_)), clock_));
    return act_as("");
  }

  Status act_as(const std::string& role_arn) override {
    auto& cache = held_[role_arn];
    if (cache == nullptr) {
      auto* found = held_.at("").get();
      cache = std::make_unique<CredentialCache>(role_source(*context_, {role_arn, {}, {}, {}, "aws.roles"}, [found] { return found->get(); }), clock_);
    }
    TRY(cache->get());  // now, so that what is wrong with them is said before anything has begun
    credentials_ = cache.get();
    return {};
  }

  Result<Json> call(std::string_view service, std::string_view operation, const Json& input) override {
    return call_through(credentials_, options_.region, service, operation, input);
  }

  Result<Json> call_all(std::string_view service, std::string_view operation, const Json& input, std::string_view items) override;
  Result<Json> wait_until(std::string_view service, std::string_view operation, const Json& input,
                          const std::function<Result<bool>(const Json&)>& is_done, const WaitOptions& options) override;
  Result<RestAnswer> send(const RestRequest& request, Sink& body) override;
  void give_up() override { http_.give_up(); }
  const std::string& region() const override { return options_.region; }
  const std::string& partition() const override { return partition_; }
  Result<std::string> account() override;

 private:
  const Section* services_section() const {
    const auto* profile = profiles_.profile(options_.profile);
    const auto* name = profile != nullptr ? profile->find("services") : nullptr;
    return name != nullptr ? profiles_.services(*name) : nullptr;
  }

  Endpoints endpoints_in(const std::string& in_region) const {
    return {{in_region, options_.endpoint_url, options_.use_fips, options_.use_dual_stack}, environment_,
            profiles_.profile(options_.profile), services_section()};
  }

  // On the way to credentials: with others, or with none.
  Result<Json> call_with(const Credentials* signer, const std::string& in_region, std::string_view service, std::string_view operation, const Json& input) {
    const auto& at = in_region.empty() ? options_.region : in_region;
    if (signer == nullptr) return call_through(nullptr, at, service, operation, input);
    CredentialCache given([signer]() -> Result<Credentials> { return *signer; }, clock_);
    return call_through(&given, at, service, operation, input);
  }

  Result<Json> call_through(CredentialCache* credentials, const std::string& in_region, std::string_view service, std::string_view operation, Json input);

  const ClientOptions options_;
  const std::string partition_;
  const Profiles profiles_;
  http::KeepAliveClient http_;
  Caller caller_;
  const Environment environment_;
  const Endpoints endpoints_;
  const Clock& clock_;
  std::optional<CredentialContext> context_;
  std::map<std::string, std::unique_ptr<CredentialCache>> held_;  // by role; "": what was found
  CredentialCache* credentials_ = nullptr;                        // those in use
  std::mutex account_mutex_;
  std::string account_;
};

Result<Json> AwsClient::call_through(CredentialCache* credentials, const std::string& in_region, std::string_view service_name, std::string_view operation, Json input) {
  const auto* service = TRY(find_service(service_name));
  const auto token = std::string(idempotency_token_of(*service, operation));
  if (!token.empty() && !input.contains(token)) input[token] = fresh_token();
  auto wire = TRY(write_request(*service, operation, input));
  Outgoing request{service, std::string(operation), TRY(in_region == options_.region ? endpoints_.of(*service) : endpoints_in(in_region).of(*service))};
  if (service->name == "s3") address_bucket(json_or(input, "Bucket", ""), wire, request.endpoint);
  request.method = std::move(wire.method);
  request.path = std::move(wire.path);
  request.query = std::move(wire.query);
  request.headers = std::move(wire.headers);
  request.body = &wire.body;
  request.payload_hash = crypto::sha256(wire.body).hex();
  request.repeatable = !token.empty() || is_repeatable(*service, operation);
  request.is_signed = credentials != nullptr;
  MemorySink body;
  request.forget_body = [&body] { (void)body.take(); };
  const auto response = TRY(caller_.send(request, credentials, body));
  const auto bytes = body.take();
  return read_answer(*service, operation, response, text_of(bytes));
}

Result<Json> AwsClient::call_all(std::string_view service, std::string_view operation, const Json& input, std::string_view items) {
  Json page_input = input, all = Json::array();
  for (int page = 0; page < kPagesMax; ++page) {
    auto answer = TRY(call(service, operation, page_input));
    if (const auto found = answer.find(std::string(items)); found != answer.end() && found->is_array()) {
      for (auto& item : *found) all.push_back(std::move(item));
    }
    std::string next;
    for (const auto name : kPageTokens) {
      const auto token = json_or(answer, std::string(name).c_str(), "");
      if (token.empty()) continue;
      const std::string member = name == "NextMarker" ? "Marker" : std::string(name);
      if (json_or(page_input, member.c_str(), "") == token) return fail(ErrorCode::unavailable, "the listing gives the same page again and again", fmt::format("{}.{}", service, operation));
      page_input[member] = next = token;
      break;
    }
    if (next.empty()) return all;
  }
  return fail(ErrorCode::limit_exceeded, "the listing has too many pages", fmt::format("{}.{}", service, operation));
}

Result<Json> AwsClient::wait_until(std::string_view service, std::string_view operation, const Json& input,
                                   const std::function<Result<bool>(const Json&)>& is_done, const WaitOptions& options) {
  using Steady = std::chrono::steady_clock;
  const auto end = Steady::now() + std::chrono::seconds(options.total_s_max);
  for (int pause_ms = options.first_pause_ms;; pause_ms = std::min(pause_ms * 2, options.pause_ms_max)) {
    auto answer = TRY(call(service, operation, input));
    if (TRY(is_done(answer))) return answer;
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Steady::now()).count();
    if (left <= 0) {
      return fail(ErrorCode::limit_exceeded, fmt::format("not done after {} s; the last answer was {}", options.total_s_max, dump_json(answer).substr(0, 500)),
                  fmt::format("{}.{}", service, operation), "look at it in the console, then run this again");
    }
    const auto jitter = crypto::random_bytes(1)[0] % 32;  // up to an eighth more, so that many waiters spread
    std::this_thread::sleep_for(std::chrono::milliseconds(std::min<long>(left, pause_ms + pause_ms * jitter / 256)));
  }
}

Result<RestAnswer> AwsClient::send(const RestRequest& given, Sink& body) {
  const auto* service = TRY(find_service(given.service));
  Outgoing request{service, given.operation, TRY(endpoints_.of(*service))};
  if (!given.bucket.empty()) move_to_bucket(given.bucket, request.endpoint);
  request.method = given.method;
  request.path = uri_encode(given.path, true);
  request.query = given.query;
  request.headers = given.headers;
  request.body = &given.body;
  request.upload = given.upload;
  request.upload_offset = given.upload_offset;
  request.upload_bytes = given.upload_bytes;
  request.bytes_max = given.bytes_max;
  request.repeatable = given.method != "POST" || given.may_be_repeated;
  request.payload_hash = TRY(payload_hash_of(given, request.endpoint));
  auto response = TRY(caller_.send(request, credentials_, body));
  return RestAnswer{response.status, std::move(response.headers)};
}

Result<std::string> AwsClient::account() {
  const std::lock_guard lock(account_mutex_);
  if (account_.empty()) account_ = TRY(json_string(TRY(call("sts", "GetCallerIdentity", Json::object())), "Account", "sts.GetCallerIdentity"));
  return account_;
}

// The region of the options, the environment or the profile, in that order.
Result<std::string> region_of(const ClientOptions& options, const Environment& environment, const Section* profile, const std::string& files) {
  std::string region = options.region;
  if (region.empty()) region = environment.text("AWS_REGION");
  if (region.empty()) region = environment.text("AWS_DEFAULT_REGION");
  const auto* of_profile = profile != nullptr ? profile->find("region") : nullptr;
  if (region.empty() && of_profile != nullptr) region = *of_profile;
  if (region.empty()) {
    return fail(ErrorCode::invalid_argument, "no AWS region is set", "AWS_REGION, " + files, "set AWS_REGION, or 'region' in the profile");
  }
  TRY(check_region(region));
  return region;
}

}  // namespace

Result<std::unique_ptr<Client>> Client::create(ClientOptions options, const Clock& clock) {
  const auto environment = Environment::of_process();
  auto profiles = TRY(Profiles::load(environment));
  // Keys in the environment come before a profile that only the environment names, but not before one named here.
  const bool profile_is_option = !options.profile.empty();
  if (options.profile.empty()) options.profile = environment.variable("AWS_PROFILE").value_or("default");
  const auto* profile = profiles.profile(options.profile);
  options.region = TRY(region_of(options, environment, profile, profiles.files()));
  const auto* ca_bundle = profile != nullptr ? profile->find("ca_bundle") : nullptr;
  if (options.ca_file.empty()) options.ca_file = environment.variable("AWS_CA_BUNDLE").value_or(ca_bundle != nullptr ? *ca_bundle : "");
  auto client = std::make_unique<AwsClient>(std::move(options), environment, std::move(profiles), clock);
  TRY(client->find_credentials(profile_is_option));
  return client;
}

}  // namespace redoubt::provider::aws
