// SPDX-License-Identifier: Apache-2.0
//
// What SageMaker, its scaling and Route 53 are asked for an endpoint, and what their refusals mean.
#pragma once

#include "provider/aws/sagemaker_endpoint.h"

namespace redoubt::provider::aws {

Status check_endpoint_options(const SagemakerEndpointOptions& options);

// Of all that is made for an environment's endpoint: whose it is, and the stack's own tag, by which the account's costs are told apart.
Json tags_of_environment(const std::string& environment, const SagemakerEndpointOptions& options);
// "production/<release>/": where a release's files lie below models_uri.
std::string release_prefix(const EndpointSpec& spec);
// The S3 prefix below which SageMaker writes what the endpoint was asked: the configuration's place, then the endpoint's name.
std::string captures_of(const std::string& endpoint, const EndpointSpec& spec, const SagemakerEndpointOptions& options);
// CreateModel's and CreateEndpointConfig's members but name and tags.
Json model_request(const EndpointSpec& spec, const SagemakerEndpointOptions& options);
Json config_request(const std::string& model, const EndpointSpec& spec, const SagemakerEndpointOptions& options);
// Blue/green: a canary first where the fleet can be divided, all at once for one instance or a way back.
Json deployment_config(const std::string& endpoint, const SagemakerEndpointOptions& options, bool rollback);
// How long a change may take, with its waits.
int change_s_max(const SagemakerEndpointOptions& options);
// PutMetricAlarm's members for each alarm over what SageMaker measures of the endpoint.
std::vector<Json> endpoint_alarms(const std::string& endpoint, const EndpointSpec& spec, const SagemakerEndpointOptions& options);
Json endpoint_alarm_names(const std::string& endpoint);
// Whether a name is one that was made for the endpoint: its start and sixteen hexadecimal digits.
bool is_of_endpoint(const std::string& name, const std::string& start);

Status set_scaling(Client& client, const std::string& endpoint, const SagemakerEndpointOptions& options);
Status unscale(Client& client, const std::string& endpoint);
Json record_change(const FailoverOptions& failover, const std::string& endpoint, const Client& client, const char* action);

// A refused request about a named thing: which resource it is, and the cure.
Error explain_endpoint_refusal(Error error, const std::string& name, const SagemakerEndpointOptions& options);
// The cure of an endpoint's FailureReason.
std::string cure_of_failure(const std::string& reason, const std::string& logs, const SagemakerEndpointOptions& options);

void pause_ms(int milliseconds);

}  // namespace redoubt::provider::aws
