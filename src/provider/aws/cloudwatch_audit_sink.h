// SPDX-License-Identifier: Apache-2.0
//
// The audit trail in CloudWatch Logs: every event in the group <prefix>/audit, and those of a pipeline's step in <prefix>/<step>
// too. One stream a ledger in each. The stream of <prefix>/audit says where to go on, so it is written last.
#pragma once

#include <map>
#include <memory>

#include "provider/audit_sink.h"
#include "provider/aws/api/client.h"

namespace redoubt::provider::aws {

struct CloudWatchAuditSinkOptions {
  std::string group_prefix = "/redoubt";  // of the log groups' names
  std::string stream = {};                     // in each group; empty: made from the origin
  std::string origin = {};                     // of the ledger whose trail it is; another one's stream is tampered
  int retention_days = 90;                // of groups that have none yet; one of the numbers that CloudWatch takes
  std::string kms_key = {};                    // ARN; encrypts the groups that have none yet; empty: the service's own key
};

class CloudWatchAuditSink final : public AuditSink {
 public:
  // Groups and streams are made at the first append when they are not there. invalid_argument for options that CloudWatch never
  // takes. The client and the clock outlive the sink.
  static Result<std::unique_ptr<CloudWatchAuditSink>> create(CloudWatchAuditSinkOptions options, Client& client, const Clock& clock);

  Result<std::uint64_t> next_index() override;
  Status append(const std::vector<AuditEntry>& entries) override;

  // "/redoubt/train"; empty for what no step of a pipeline did.
  std::string group_of(const std::string& step) const;
  std::string audit_group() const { return options_.group_prefix + "/audit"; }
  const std::string& stream() const { return options_.stream; }

 private:
  CloudWatchAuditSink(CloudWatchAuditSinkOptions options, Client& client, const Clock& clock) : options_(std::move(options)), client_(client), clock_(clock) {}
  // How far a stream reaches. Timestamps only grow in it, so that a reader gets its events in the ledger's order.
  struct Tail {
    std::uint64_t next = 0;
    TimePoint newest{};
    bool is_there = false;
  };
  struct Stream {
    Tail tail;
    int retention_days = 0;
  };
  struct Event {
    TimePoint time;
    std::string message;
  };
  Result<Tail> read_tail(const std::string& group);
  Result<Stream*> open(const std::string& group);
  Result<std::optional<Json>> find_group(const std::string& group);
  Status make_group(const std::string& group, Stream& stream);
  Status write(const std::string& group, const std::vector<const AuditEntry*>& entries);
  Status put(const std::string& group, const std::vector<Event>& events);
  std::string where(const std::string& group) const { return group + ":" + options_.stream; }

  const CloudWatchAuditSinkOptions options_;
  Client& client_;
  const Clock& clock_;
  std::map<std::string, Stream> streams_;  // by group, as far as this sink knows them
};

}  // namespace redoubt::provider::aws
