// SPDX-License-Identifier: Apache-2.0
//
// One CloudFormation stack: what a template would change in it, the change itself, and its end.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "provider/aws/api/client.h"
#include "provider/aws/stack/template.h"

namespace redoubt::provider::aws::stack {

struct StackState {
  std::string id, status, reason;  // "UPDATE_COMPLETE"
  Parameters parameters = {}, outputs = {};
  bool is_protected = false;  // from deletion
};

struct ResourceChange {
  std::string action;  // "Add", "Modify", "Remove"
  std::string logical_id, type, physical_id;
  std::string replacement;         // "True", "False", "Conditional"; empty where it is new
  std::vector<std::string> causes;  // properties that differ: "Properties.RetentionInDays"
  // Whether it takes away or replaces what holds data, keys or records.
  bool loses_data() const;
};

// What a stack is made of: where the template lies, and with what.
struct StackInput {
  std::string template_url;
  Parameters parameters = {}, tags = {};
};

struct StackResource {
  std::string logical_id, physical_id, type, status;
};

// Told of each step of a resource: "CREATE_COMPLETE DataKey (AWS::KMS::Key)".
using OnStackEvent = std::function<void(const std::string& line)>;

class Stack {
 public:
  // invalid_argument for a name that is no stack's. The client outlives it.
  static Result<Stack> create(std::string name, Client& client, const WaitOptions& waits = {1'000, 5'000, 3600});

  const std::string& name() const { return name_; }
  // Empty where there is none.
  Result<std::optional<StackState>> state();
  Result<std::vector<StackResource>> resources();

  // Errors where it can't be changed now: unavailable while somebody else changes it, gate_refused with the cure where it failed earlier.
  static Status check_can_change(const std::optional<StackState>& now, const std::string& name);
  // What the input would change in the stack that is there, by a change set that is taken back at once; one that an earlier plan could
  // not take back goes first.
  Result<std::vector<ResourceChange>> changes(const StackInput& input);

  // Both wait for the end. An end that is not the one hoped for is an error that names the first resource that failed, and why; a stack
  // that can't be made is taken away again, one that can't be changed is put back as it was.
  Result<StackState> make(const StackInput& input, const OnStackEvent& on_event);
  Result<StackState> change(const StackInput& input, const OnStackEvent& on_event);
  Status remove(const OnStackEvent& on_event);
  Status protect(bool is_protected);

 private:
  Stack(std::string name, Client& client, const WaitOptions& waits) : name_(std::move(name)), client_(&client), waits_(waits) {}
  Result<Json> call(std::string_view operation, Json input);
  Result<Json> make_change_set(const StackInput& input);
  Result<std::vector<ResourceChange>> read_changes(const Json& change_set);
  Result<Json> wait_known(std::string_view operation, const Json& input, const std::function<Result<bool>(const Json&)>& is_done);
  Result<StackState> carry_out(const char* operation, Json input, const std::string& hoped_for, const OnStackEvent& on_event);
  Result<StackState> wait_for_end(const std::string& id, const std::string& after_event, const OnStackEvent& on_event);
  Result<std::string> newest_event(const std::string& id);
  Result<std::vector<Json>> events_after(const std::string& id, const std::string& event);

  std::string name_;
  Client* client_;
  WaitOptions waits_;
};

}  // namespace redoubt::provider::aws::stack
