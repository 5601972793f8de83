// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/cloudwatch_audit_sink.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "provider/aws/about.h"

namespace redoubt::provider::aws {
namespace {

// What PutLogEvents takes in one call: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
constexpr std::size_t kBatchBytesMax = 1'048'576, kEventOverheadBytes = 26, kEventBytesMax = 262'144 - kEventOverheadBytes, kBatchEventsMax = 10'000;
constexpr auto kBatchSpanMax = std::chrono::hours(24);
// Events older than 14 days, or than the group keeps them, are not stored.
constexpr auto kAgeMax = std::chrono::days(14);
constexpr auto kMargin = std::chrono::hours(1);
constexpr int kTailPagesMax = 100;
static_assert(kAuditEventBytesMax <= kEventBytesMax);

constexpr std::array kSteps = {"acquire", "data", "image", "train", "evaluate", "register", "review", "deploy", "alarm"};
constexpr std::array kRetentions = {1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653};
constexpr const char* kNameCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/#";
constexpr const char* kLedgerCure = "make the log groups (config/cloudformation_template.yaml), or allow logs:CreateLogGroup, CreateLogStream, PutRetentionPolicy, PutLogEvents, GetLogEvents and DescribeLogGroups";

TimePoint event_time(const Json& event) { return TimePoint(std::chrono::milliseconds(json_or(event, "timestamp", std::int64_t{0}))); }

}  // namespace

Result<std::unique_ptr<CloudWatchAuditSink>> CloudWatchAuditSink::create(CloudWatchAuditSinkOptions options, Client& client, const Clock& clock) {
  if (options.stream.empty()) options.stream = options.origin;
  if (options.group_prefix.empty() || options.group_prefix.size() > 400 || options.group_prefix.find_first_not_of(kNameCharacters) != std::string::npos) {
    return fail(ErrorCode::invalid_argument, "not the start of log groups' names", options.group_prefix, "use letters, digits and ._-/#");
  }
  if (options.stream.empty() || options.stream.size() > 512 || options.stream.find_first_of(":*") != std::string::npos) {
    return fail(ErrorCode::invalid_argument, "not a log stream's name", options.stream, "no ':' and no '*', 512 characters at most");
  }
  if (std::find(kRetentions.begin(), kRetentions.end(), options.retention_days) == kRetentions.end()) {
    return fail(ErrorCode::invalid_argument, fmt::format("logs cannot be kept for {} days", options.retention_days), options.group_prefix, fmt::format("choose one of {}", fmt::join(kRetentions, ", ")));
  }
  return std::unique_ptr<CloudWatchAuditSink>(new CloudWatchAuditSink(std::move(options), client, clock));
}

std::string CloudWatchAuditSink::group_of(const std::string& step) const {
  return std::find(kSteps.begin(), kSteps.end(), step) == kSteps.end() ? "" : options_.group_prefix + "/" + step;
}

Result<CloudWatchAuditSink::Tail> CloudWatchAuditSink::read_tail(const std::string& group) {
  Tail tail;
  Json input = {{"logGroupName", group}, {"logStreamName", options_.stream}, {"startFromHead", false}, {"limit", 25}};
  for (int page = 0; page < kTailPagesMax; ++page) {
    const auto answer = client_.call("logs", "GetLogEvents", input);
    if (!answer && is_service_error(answer.error(), "ResourceNotFoundException")) return tail;
    if (!answer) return fail_about(where(group), answer.error(), kLedgerCure);
    tail.is_there = true;
    const Json events = json_or(*answer, "events", Json::array());
    for (const auto& event : events) {
      const auto entry = parse_event(json_or(event, "message", ""), where(group));
      const bool is_ours = entry && entry->origin == options_.origin;
      if (!is_ours) return fail(ErrorCode::tampered, "the log stream holds what is not of this ledger", where(group), "name another stream or group_prefix in the providers' block 'audit'");
      tail.next = std::max(tail.next, entry->index + 1);
      tail.newest = std::max(tail.newest, event_time(event));
    }
    const std::string token = json_or(*answer, "nextBackwardToken", "");
    // An empty page is the end only when it leads back to itself.
    if (!events.empty() || token.empty() || token == json_or(input, "nextToken", "")) return tail;
    input["nextToken"] = token;
  }
  return fail(ErrorCode::unavailable, "the log stream answers with nothing but empty pages", where(group), "try again later");
}

Result<std::optional<Json>> CloudWatchAuditSink::find_group(const std::string& group) {
  for (auto& found : TRY(about(group, client_.call_all("logs", "DescribeLogGroups", {{"logGroupNamePrefix", group}}, "logGroups"), kLedgerCure))) {
    if (json_or(found, "logGroupName", "") == group) return std::optional(std::move(found));
  }
  return std::nullopt;
}

Status CloudWatchAuditSink::make_group(const std::string& group, Stream& stream) {
  Json input = {{"logGroupName", group}};
  if (!options_.kms_key.empty()) input["kmsKeyId"] = options_.kms_key;
  // Where the template made the groups, nobody needs the right to make one. What a kill or another maker left out is made good; what
  // somebody chose stays.
  auto found = TRY(find_group(group));
  if (!found && !stream.tail.is_there) {
    const auto made = client_.call("logs", "CreateLogGroup", input);
    if (!made && made.error().code != ErrorCode::already_exists) return fail_about(group, made.error(), kLedgerCure);
    found = TRY(find_group(group));
  }
  if (found) {
    stream.retention_days = static_cast<int>(json_or(*found, "retentionInDays", std::int64_t{0}));
    if (!options_.kms_key.empty() && json_or(*found, "kmsKeyId", "").empty()) {
      const auto encrypted = client_.call("logs", "AssociateKmsKey", input);
      if (!encrypted) return fail_about(group, encrypted.error(), "let the key's policy allow the logs service of this region: " + options_.kms_key);
    }
  }
  if (stream.retention_days == 0) {
    const auto kept = client_.call("logs", "PutRetentionPolicy", {{"logGroupName", group}, {"retentionInDays", options_.retention_days}});
    if (!kept) return fail_about(group, kept.error(), kLedgerCure);
    stream.retention_days = options_.retention_days;
  }
  if (stream.tail.is_there) return {};
  const auto made = client_.call("logs", "CreateLogStream", {{"logGroupName", group}, {"logStreamName", options_.stream}});
  if (!made && made.error().code != ErrorCode::already_exists) return fail_about(where(group), made.error(), kLedgerCure);
  return {};
}

Result<CloudWatchAuditSink::Stream*> CloudWatchAuditSink::open(const std::string& group) {
  if (const auto known = streams_.find(group); known != streams_.end()) return &known->second;
  Stream stream;
  stream.tail = TRY(read_tail(group));
  TRY(make_group(group, stream));
  return &streams_.emplace(group, std::move(stream)).first->second;
}

Result<std::uint64_t> CloudWatchAuditSink::next_index() {
  const Tail tail = TRY(read_tail(audit_group()));
  const auto known = streams_.find(audit_group());
  // Readers see an event some seconds after it was taken; what was taken here counts at once.
  return known == streams_.end() ? tail.next : std::max(tail.next, known->second.tail.next);
}

Status CloudWatchAuditSink::append(const std::vector<AuditEntry>& entries) {
  const auto wanted = TRY(entries_to_append(entries, TRY(next_index())));
  if (wanted.empty()) return {};
  std::map<std::string, std::vector<const AuditEntry*>> by_group;
  std::vector<const AuditEntry*> all;
  for (const auto& entry : wanted) {
    all.push_back(&entry);
    if (const auto group = group_of(entry.step); !group.empty()) by_group[group].push_back(&entry);
  }
  for (const auto& [group, some] : by_group) TRY(write(group, some));
  return write(audit_group(), all);
}

// Each event at its entry's time, moved as little as CloudWatch asks for: not too old, not in the future, and after the one before.
Status CloudWatchAuditSink::write(const std::string& group, const std::vector<const AuditEntry*>& entries) {
  Stream& stream = *TRY(open(group));
  const TimePoint now = clock_.now();
  const TimePoint oldest = now - std::min<std::chrono::milliseconds>(kAgeMax, std::chrono::days(stream.retention_days)) + kMargin;
  std::vector<Event> batch;
  std::size_t bytes = 0;
  TimePoint newest = stream.tail.newest;
  std::uint64_t next = stream.tail.next;
  const auto flush = [&]() -> Status {
    if (batch.empty()) return {};
    if (auto done = put(group, batch); !done) {
      streams_.erase(group);  // some of it may be there: the stream is asked again
      return done;
    }
    stream.tail = {next, newest, true};
    batch.clear();
    bytes = 0;
    return {};
  };
  for (const auto* entry : entries) {
    Event event{std::max(std::clamp(entry->time, oldest, now), newest + std::chrono::milliseconds(1)), dump_json(to_event(*entry))};
    const std::size_t size = event.message.size() + kEventOverheadBytes;
    const bool is_full = bytes + size > kBatchBytesMax || batch.size() == kBatchEventsMax || (!batch.empty() && event.time - batch.front().time >= kBatchSpanMax);
    if (is_full) TRY(flush());
    newest = event.time;
    next = entry->index + 1;
    bytes += size;
    batch.push_back(std::move(event));
  }
  return flush();
}

Status CloudWatchAuditSink::put(const std::string& group, const std::vector<Event>& events) {
  Json list = Json::array();
  for (const auto& event : events) list.push_back({{"timestamp", event.time.time_since_epoch().count()}, {"message", event.message}});
  const auto answer = client_.call("logs", "PutLogEvents", {{"logGroupName", group}, {"logStreamName", options_.stream}, {"logEvents", std::move(list)}});
  if (!answer) return fail_about(where(group), answer.error(), kLedgerCure);
  const Json rejected = json_or(*answer, "rejectedLogEventsInfo", Json::object());
  if (rejected.empty()) return {};
  return fail(ErrorCode::unavailable, fmt::format("CloudWatch did not store some of {} events, for their time: {}", events.size(), dump_json(rejected)), where(group),
              "check this machine's clock and the log group's retention; they are sent again");
}

}  // namespace redoubt::provider::aws
