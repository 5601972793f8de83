// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/api/query_members.h"

#include "provider/aws/api/member_names.h"

namespace redoubt::provider::aws {
namespace {

// Only names that have one type wherever they stand in these services' answers.
constexpr Name kQueryNumbers[] = {
    // sts, cloudformation, iam
    "PackedPolicySize", "DriftedStackInstancesCount", "DriftedStackResourceCount", "FailedStackInstancesCount", "MonitoringTimeInMinutes",
    "PercentageCompleted", "TimeoutInMinutes", "TotalStackInstancesCount", "AttachmentCount", "Column", "Line", "MaxPasswordAge", "MaxSessionDuration",
    "MinimumPasswordLength", "PasswordReusePrevention", "PermissionsBoundaryUsageCount", "SummaryMap", "TotalAuthenticatedEntities",
    // ec2
    "availableIpAddressCount", "deviceIndex", "fromPort", "maxAggregationInterval", "maxEntries", "ruleNumber", "toPort", "defaultVCpus", "sizeInMiB",
};

constexpr Name kQueryBooleans[] = {
    // sns, cloudformation, iam
    "IsInSandbox", "DisableRollback", "EnableTerminationProtection", "IncludeNestedStacks", "ImportExistingResources", "IsDefaultVersion",
    "ManagedByStack", "NoEcho", "RetainExceptOnCreate", "UsePreviousValue", "AllowUsersToChangePassword", "AllowedByOrganizations",
    "AllowedByPermissionsBoundary", "ExpirePasswords", "HardExpiry", "IsAttachable", "IsTruncated", "PasswordResetRequired",
    "RequireLowercaseCharacters", "RequireNumbers", "RequireSymbols", "RequireUppercaseCharacters",
    // ec2
    "acceptanceRequired", "assignIpv6AddressOnCreation", "default", "defaultForAz", "deleteOnTermination", "ebsEncryptionByDefault", "egress",
    "isDefault", "isEgress", "main", "enableDns64", "enableResourceNameDnsARecord", "enableResourceNameDnsAAAARecord", "ipv6Native", "mapPublicIpOnLaunch", "privateDnsEnabled", "requesterManaged", "sourceDestCheck", "vpcEndpointPolicySupported",
};

constexpr Name kQueryTimes[] = {
    "Expiration", "CreatedAt", "CreationTime", "CreationTimestamp", "DeletionTime", "DriftDetectionTimestamp", "EndTimestamp", "InvokedAt",
    "LastCheckTimestamp", "LastDriftCheckTimestamp", "LastUpdatedTime", "LastUpdatedTimestamp", "TimeCreated", "Timestamp", "CreateDate",
    "GeneratedTime", "JobCompletionDate", "JobCreationDate", "LastAuthenticated", "LastAccessedTime", "LastUsedDate", "PasswordLastUsed", "UpdateDate", "UploadDate",
    "attachTime", "createTime", "creationTime", "creationTimestamp", "deleteTime",
};

// Empty, they would be taken for an empty text.
constexpr Name kQueryLists[] = {
    "AccessKeyMetadata", "AccountAliases", "AttachedPolicies", "Capabilities", "Changes", "Certificates", "ContextKeyNames", "DeclaredTransforms",
    "EvaluationResults", "Exports", "Groups", "InstanceProfiles", "MFADevices", "MatchedStatements", "MissingContextValues", "NotificationARNs",
    "OpenIDConnectProviderList", "Outputs", "Parameters", "PhysicalResourceIdContext", "Policies", "PoliciesGrantingServiceAccess", "PolicyGroups",
    "PolicyNames", "PolicyRoles", "PolicyUsers", "PropertyDifferences", "ResourceIdentifierSummaries", "ResourceSpecificResults", "ResourceTypes",
    "RoleDetailList", "RolePolicyList", "Roles", "RollbackTriggers", "SAMLProviderList", "ServerCertificateMetadataList", "ServicesLastAccessed",
    "StackEvents", "StackResourceDrifts", "StackResourceSummaries", "StackResources", "StackSummaries", "Stacks", "Subscriptions", "Summaries", "Tags",
    "ThumbprintList", "Topics", "UserDetailList", "UserPolicyList", "Users", "Versions", "VirtualMFADevices",
};

struct Ec2Renamed {
  Name wire, member;
};

// What no rule gives.
constexpr Ec2Renamed kEc2Renamed[] = {
    {"securityGroupInfo", "SecurityGroups"}, {"groups", "UserIdGroupPairs"}, {"groupDescription", "Description"}, {"default", "IsDefault"},
    {"availabilityZoneInfo", "AvailabilityZones"}, {"zoneState", "State"}, {"regionInfo", "Regions"}, {"regionEndpoint", "Endpoint"},
    {"spotPriceHistorySet", "SpotPriceHistory"}, {"cidrBlockAssociationSet", "CidrBlockAssociationSet"},
    {"ipv6CidrBlockAssociationSet", "Ipv6CidrBlockAssociationSet"},
};

constexpr Name kEc2Lists[] = {"ipPermissions", "ipPermissionsEgress", "ipRanges", "ipv6Ranges", "prefixListIds", "groups", "unsuccessful", "routes", "cidrs",
                              "securityGroups"};

std::string capital(std::string text) {
  if (!text.empty() && text[0] >= 'a' && text[0] <= 'z') text[0] = static_cast<char>(text[0] - 'a' + 'A');
  return text;
}

std::string plural(std::string word) {
  if (word.ends_with("es")) return word;
  if (word.ends_with("y") && !word.ends_with("ay")) return word.substr(0, word.size() - 1) + "ies";
  return word + (word.ends_with("s") || word.ends_with("x") ? "es" : "s");
}

std::string ec2_member_name(const std::string& wire) {
  for (const auto& renamed : kEc2Renamed) {
    if (renamed.wire == wire) return std::string(renamed.member);
  }
  return wire.ends_with("Set") ? capital(plural(wire.substr(0, wire.size() - 3))) : capital(wire);
}

}  // namespace

bool is_query_map(Name service, Name member) {
  if (service == "sns") return member == "Attributes" || member == "attributes" || member == "MessageAttributes";
  return service == "cloudformation" && member == "ResourceIdentifier";
}

bool is_query_time(Name service, Name member) { return service == "ec2" && (member == "StartTime" || member == "EndTime"); }

XmlOptions query_xml_options(Name service) {
  XmlOptions options;
  if (service != "ec2") options.wrappers = kQueryLists;
  options.numbers = kQueryNumbers;
  options.booleans = kQueryBooleans;
  options.times = kQueryTimes;
  return options;
}

std::string ec2_request_name(const std::string& member) {
  constexpr Name kSingular[] = {"Filters", "Values", "TagSpecifications", "Tags", "InstanceTypes", "ProductDescriptions", "TagKeys"};
  if (member == "Resources") return "ResourceId";
  const bool is_list = member.ends_with("Ids") || member.ends_with("Names") || has_name(kSingular, member);
  return is_list ? member.substr(0, member.size() - 1) : member;
}

Json ec2_answer(Json value) {
  if (value.is_array()) {
    for (auto& item : value) item = ec2_answer(std::move(item));
    return value;
  }
  if (!value.is_object()) return value;
  Json out = Json::object();
  for (auto& [name, member] : value.items()) {
    // An empty list has no children that would tell it from an empty text.
    const bool empty_list = member == Json("") && (name.ends_with("Set") || name.ends_with("Info") || has_name(kEc2Lists, name));
    out[ec2_member_name(name)] = empty_list ? Json::array() : ec2_answer(std::move(member));
  }
  return out;
}

}  // namespace redoubt::provider::aws
