// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/sns_notifier.h"

#include "crypto/hash.h"
#include "provider/aws/about.h"

namespace redoubt::provider::aws {
namespace {

constexpr std::size_t kSubjectCharactersMax = 99;

std::vector<std::string> parts_of(const std::string& arn) {
  std::vector<std::string> parts;
  for (std::size_t from = 0; from <= arn.size();) {
    const auto end = std::min(arn.find(':', from), arn.size());
    parts.push_back(arn.substr(from, end - from));
    from = end + 1;
  }
  return parts;
}

bool is_fifo(const std::string& topic) { return topic.ends_with(".fifo"); }

}  // namespace

std::string sns_subject(const std::string& subject) {
  std::string out;
  for (const char c : subject) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x80 && byte < 0xc0) continue;  // the rest of a character that one '?' stands for
    if (out.empty() && c == ' ') continue;
    out += byte >= 0x20 && byte < 0x7f ? c : '?';
    if (out.size() == kSubjectCharactersMax) break;
  }
  return out.empty() ? "?" : out;
}

Result<std::unique_ptr<SnsNotifier>> SnsNotifier::create(SnsNotifierOptions options, Client& client, const Clock& clock) {
  const auto parts = parts_of(options.topic_arn);
  if (parts.size() != 6 || parts[0] != "arn" || parts[2] != "sns" || parts[5].empty()) {
    return fail(ErrorCode::invalid_argument, "not the ARN of an SNS topic", options.topic_arn, "write arn:" + client.partition() + ":sns:" + client.region() + ":ACCOUNT:NAME");
  }
  if (parts[3] != client.region()) {
    return fail(ErrorCode::invalid_argument, "the topic is in the region " + parts[3] + ", the client in " + client.region(), options.topic_arn, "name a topic of the region, or set the region in the block 'aws'");
  }
  return std::unique_ptr<SnsNotifier>(new SnsNotifier(std::move(options), client, clock));
}

Result<std::function<Status()>> SnsNotifier::prepare(const std::string& subject, const Json& body) {
  TRY(check_notification(subject, body));
  Json payload = body;
  payload["version"] = 1;
  payload["subject"] = subject;
  payload["sent"] = to_rfc3339(clock_.now());
  Json input = {{"TopicArn", options_.topic_arn}, {"Subject", sns_subject(subject)}, {"Message", dump_json(payload)}};
  Json attributes = Json::object();
  for (const char* name : {"name", "state", "environment"}) {
    if (const auto value = json_or(body, name, ""); !value.empty()) attributes[name] = {{"DataType", "String"}, {"StringValue", value}};
  }
  if (!attributes.empty()) input["MessageAttributes"] = std::move(attributes);
  if (is_fifo(options_.topic_arn)) {
    // One order for all, and a message that is sent again is recognised by its change.
    const std::string id = json_or(body, "id", "");
    input["MessageGroupId"] = "redoubt";
    input["MessageDeduplicationId"] = crypto::sha256(id.empty() ? dump_json(body) : id).hex();
  }
  return [&client = client_, topic = options_.topic_arn, input = std::move(input)]() -> Status {
    const auto answer = client.call("sns", "Publish", input);
    if (!answer) {
      return fail_about(topic, answer.error(),
                        answer.error().code == ErrorCode::not_found ? "make the topic (config/cloudformation_template.yaml), or name one that is there" : "allow sns:Publish on the topic, and the use of its KMS key");
    }
    return {};
  };
}

}  // namespace redoubt::provider::aws
