// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/api/rest_operations.h"

#include <fmt/format.h>

#include <algorithm>

namespace redoubt::provider::aws {
namespace {

constexpr std::string_view kDetectorPages = "MaxResults=maxResults NextToken=nextToken";

constexpr RestOperation kOperations[] = {
    {"accessanalyzer", "CreateAnalyzer", "PUT", "/analyzer"},
    {"accessanalyzer", "DeleteAnalyzer", "DELETE", "/analyzer/{analyzerName}", "clientToken"},
    {"accessanalyzer", "ListAnalyzers", "GET", "/analyzer", "nextToken maxResults type"},
    {"accessanalyzer", "GetAnalyzer", "GET", "/analyzer/{analyzerName}"},
    {"accessanalyzer", "ListFindings", "POST", "/finding"},
    {"accessanalyzer", "ListFindingsV2", "POST", "/findingv2"},
    {"accessanalyzer", "GetFinding", "GET", "/finding/{id}", "analyzerArn"},
    {"accessanalyzer", "GetFindingV2", "GET", "/findingv2/{id}", "analyzerArn maxResults nextToken"},
    {"accessanalyzer", "UpdateFindings", "PUT", "/finding"},
    {"accessanalyzer", "ValidatePolicy", "POST", "/policy/validation", "maxResults nextToken"},
    {"accessanalyzer", "CheckNoPublicAccess", "POST", "/policy/check-no-public-access"},
    {"accessanalyzer", "CheckNoNewAccess", "POST", "/policy/check-no-new-access"},
    {"accessanalyzer", "CheckAccessNotGranted", "POST", "/policy/check-access-not-granted"},
    {"accessanalyzer", "CreateArchiveRule", "PUT", "/analyzer/{analyzerName}/archive-rule"},
    {"accessanalyzer", "ListAccessPreviews", "GET", "/access-preview", "analyzerArn nextToken maxResults"},
    {"accessanalyzer", "StartResourceScan", "POST", "/resource/scan"},
    {"accessanalyzer", "GetFindingsStatistics", "POST", "/analyzer/findings/statistics"},
    {"accessanalyzer", "TagResource", "POST", "/tags/{resourceArn}"},
    {"accessanalyzer", "StartPolicyGeneration", "PUT", "/policy/generation"},
    {"accessanalyzer", "GetGeneratedPolicy", "GET", "/policy/generation/{jobId}", "includeResourcePlaceholders includeServiceLevelTemplate"},

    {"guardduty", "ListDetectors", "GET", "/detector", kDetectorPages},
    {"guardduty", "GetDetector", "GET", "/detector/{DetectorId}"},
    {"guardduty", "CreateDetector", "POST", "/detector"},
    {"guardduty", "UpdateDetector", "POST", "/detector/{DetectorId}"},
    {"guardduty", "DeleteDetector", "DELETE", "/detector/{DetectorId}"},
    {"guardduty", "ListFindings", "POST", "/detector/{DetectorId}/findings"},
    {"guardduty", "GetFindings", "POST", "/detector/{DetectorId}/findings/get"},
    {"guardduty", "GetFindingsStatistics", "POST", "/detector/{DetectorId}/findings/statistics"},
    {"guardduty", "ArchiveFindings", "POST", "/detector/{DetectorId}/findings/archive"},
    {"guardduty", "CreateSampleFindings", "POST", "/detector/{DetectorId}/findings/create"},
    {"guardduty", "ListPublishingDestinations", "GET", "/detector/{DetectorId}/publishingDestination", kDetectorPages},
    {"guardduty", "CreatePublishingDestination", "POST", "/detector/{DetectorId}/publishingDestination"},
    {"guardduty", "DescribePublishingDestination", "GET", "/detector/{DetectorId}/publishingDestination/{DestinationId}"},
    {"guardduty", "TagResource", "POST", "/tags/{ResourceArn}"},
    {"guardduty", "ListTagsForResource", "GET", "/tags/{ResourceArn}"},

    {"inspector2", "Enable", "POST", "/enable"},
    {"inspector2", "Disable", "POST", "/disable"},
    {"inspector2", "BatchGetAccountStatus", "POST", "/status/batch/get"},
    {"inspector2", "ListFindings", "POST", "/findings/list"},
    {"inspector2", "ListCoverage", "POST", "/coverage/list"},
    {"inspector2", "ListCoverageStatistics", "POST", "/coverage/statistics/list"},
    {"inspector2", "ListFindingAggregations", "POST", "/findings/aggregation/list"},
    {"inspector2", "GetConfiguration", "POST", "/configuration/get"},
    {"inspector2", "UpdateConfiguration", "POST", "/configuration/update"},
    {"inspector2", "BatchGetFindingDetails", "POST", "/findings/details/batch/get"},
    {"inspector2", "ListAccountPermissions", "POST", "/accountpermissions/list"},

    {"route53", "ListHostedZones", "GET", "/2013-04-01/hostedzone", "Marker=marker MaxItems=maxitems HostedZoneType=hostedzonetype"},
    {"route53", "ListHostedZonesByName", "GET", "/2013-04-01/hostedzonesbyname", "DNSName=dnsname HostedZoneId=hostedzoneid MaxItems=maxitems"},
    {"route53", "GetHostedZone", "GET", "/2013-04-01/hostedzone/{Id}"},
    {"route53", "CreateHostedZone", "POST", "/2013-04-01/hostedzone", "", "", "CreateHostedZoneRequest"},
    {"route53", "DeleteHostedZone", "DELETE", "/2013-04-01/hostedzone/{Id}"},
    {"route53", "ListResourceRecordSets", "GET", "/2013-04-01/hostedzone/{HostedZoneId}/rrset",
     "StartRecordName=name StartRecordType=type StartRecordIdentifier=identifier MaxItems=maxitems"},
    {"route53", "ChangeResourceRecordSets", "POST", "/2013-04-01/hostedzone/{HostedZoneId}/rrset/", "", "", "ChangeResourceRecordSetsRequest"},
    {"route53", "GetChange", "GET", "/2013-04-01/change/{Id}"},
    {"route53", "CreateHealthCheck", "POST", "/2013-04-01/healthcheck", "", "", "CreateHealthCheckRequest"},
    {"route53", "GetHealthCheck", "GET", "/2013-04-01/healthcheck/{HealthCheckId}"},
    {"route53", "GetHealthCheckStatus", "GET", "/2013-04-01/healthcheck/{HealthCheckId}/status"},
    {"route53", "ListHealthChecks", "GET", "/2013-04-01/healthcheck", "Marker=marker MaxItems=maxitems"},
    {"route53", "UpdateHealthCheck", "POST", "/2013-04-01/healthcheck/{HealthCheckId}", "", "", "UpdateHealthCheckRequest"},
    {"route53", "DeleteHealthCheck", "DELETE", "/2013-04-01/healthcheck/{HealthCheckId}"},
    {"route53", "ChangeTagsForResource", "POST", "/2013-04-01/tags/{ResourceType}/{ResourceId}", "", "", "ChangeTagsForResourceRequest"},
    {"route53", "ListTagsForResource", "GET", "/2013-04-01/tags/{ResourceType}/{ResourceId}"},

    // What is streamed goes through Client::send; these are a bucket's settings and its listings.
    {"s3", "CreateBucket", "PUT", "/{Bucket}", "", "ACL=x-amz-acl ObjectLockEnabledForBucket=x-amz-bucket-object-lock-enabled ObjectOwnership=x-amz-object-ownership", "CreateBucketConfiguration"},
    {"s3", "DeleteBucket", "DELETE", "/{Bucket}"},
    {"s3", "HeadBucket", "HEAD", "/{Bucket}"},
    {"s3", "ListBuckets", "GET", "/", "MaxBuckets=max-buckets ContinuationToken=continuation-token Prefix=prefix BucketRegion=bucket-region"},
    {"s3", "GetBucketLocation", "GET", "/{Bucket}?location"},
    {"s3", "GetBucketVersioning", "GET", "/{Bucket}?versioning"},
    {"s3", "PutBucketVersioning", "PUT", "/{Bucket}?versioning", "", "MFA=x-amz-mfa", "VersioningConfiguration"},
    {"s3", "GetBucketEncryption", "GET", "/{Bucket}?encryption"},
    {"s3", "PutBucketEncryption", "PUT", "/{Bucket}?encryption", "", "", "ServerSideEncryptionConfiguration"},
    {"s3", "GetPublicAccessBlock", "GET", "/{Bucket}?publicAccessBlock"},
    {"s3", "PutPublicAccessBlock", "PUT", "/{Bucket}?publicAccessBlock", "", "", "PublicAccessBlockConfiguration"},
    {"s3", "GetBucketPolicy", "GET", "/{Bucket}?policy"},
    {"s3", "PutBucketPolicy", "PUT", "/{Bucket}?policy", "", "", "Policy"},
    {"s3", "DeleteBucketPolicy", "DELETE", "/{Bucket}?policy"},
    {"s3", "GetBucketPolicyStatus", "GET", "/{Bucket}?policyStatus"},
    {"s3", "GetBucketLogging", "GET", "/{Bucket}?logging"},
    {"s3", "PutBucketLogging", "PUT", "/{Bucket}?logging", "", "", "BucketLoggingStatus"},
    {"s3", "GetBucketLifecycleConfiguration", "GET", "/{Bucket}?lifecycle"},
    {"s3", "PutBucketLifecycleConfiguration", "PUT", "/{Bucket}?lifecycle", "", "", "LifecycleConfiguration"},
    {"s3", "GetBucketTagging", "GET", "/{Bucket}?tagging"},
    {"s3", "PutBucketTagging", "PUT", "/{Bucket}?tagging", "", "", "Tagging"},
    {"s3", "GetBucketOwnershipControls", "GET", "/{Bucket}?ownershipControls"},
    {"s3", "PutBucketOwnershipControls", "PUT", "/{Bucket}?ownershipControls", "", "", "OwnershipControls"},
    {"s3", "GetBucketReplication", "GET", "/{Bucket}?replication"},
    {"s3", "GetObjectLockConfiguration", "GET", "/{Bucket}?object-lock"},
    {"s3", "GetBucketAcl", "GET", "/{Bucket}?acl"},
    {"s3", "GetBucketNotificationConfiguration", "GET", "/{Bucket}?notification"},
    {"s3", "PutBucketNotificationConfiguration", "PUT", "/{Bucket}?notification", "", "", "NotificationConfiguration"},
    {"s3", "ListBucketIntelligentTieringConfigurations", "GET", "/{Bucket}?intelligent-tiering", "ContinuationToken=continuation-token"},
    {"s3", "ListObjectsV2", "GET", "/{Bucket}?list-type=2",
     "Delimiter=delimiter EncodingType=encoding-type MaxKeys=max-keys Prefix=prefix ContinuationToken=continuation-token StartAfter=start-after"},
    {"s3", "ListObjectVersions", "GET", "/{Bucket}?versions",
     "Delimiter=delimiter EncodingType=encoding-type KeyMarker=key-marker MaxKeys=max-keys Prefix=prefix VersionIdMarker=version-id-marker"},
    {"s3", "ListMultipartUploads", "GET", "/{Bucket}?uploads",
     "Delimiter=delimiter EncodingType=encoding-type KeyMarker=key-marker MaxUploads=max-uploads Prefix=prefix UploadIdMarker=upload-id-marker"},
    {"s3", "ListParts", "GET", "/{Bucket}/{Key+}", "MaxParts=max-parts PartNumberMarker=part-number-marker UploadId=uploadId"},
    {"s3", "DeleteObject", "DELETE", "/{Bucket}/{Key+}", "VersionId=versionId"},
    {"s3", "AbortMultipartUpload", "DELETE", "/{Bucket}/{Key+}", "UploadId=uploadId"},

    {"sagemaker-runtime", "InvokeEndpointAsync", "POST", "/endpoints/{EndpointName}/async-invocations", "",
     "ContentType=X-Amzn-SageMaker-Content-Type Accept=X-Amzn-SageMaker-Accept CustomAttributes=X-Amzn-SageMaker-Custom-Attributes "
     "InferenceId=X-Amzn-SageMaker-Inference-Id InputLocation=X-Amzn-SageMaker-InputLocation"},

    {"scheduler", "CreateSchedule", "POST", "/schedules/{Name}"},
    {"scheduler", "UpdateSchedule", "PUT", "/schedules/{Name}"},
    {"scheduler", "GetSchedule", "GET", "/schedules/{Name}", "GroupName=groupName"},
    {"scheduler", "DeleteSchedule", "DELETE", "/schedules/{Name}", "GroupName=groupName ClientToken=clientToken"},
    {"scheduler", "ListSchedules", "GET", "/schedules", "GroupName=ScheduleGroup NamePrefix State NextToken MaxResults"},

    {"securityhub", "EnableSecurityHub", "POST", "/accounts"},
    {"securityhub", "DisableSecurityHub", "DELETE", "/accounts"},
    {"securityhub", "DescribeHub", "GET", "/accounts", "HubArn"},
    {"securityhub", "GetFindings", "POST", "/findings"},
    {"securityhub", "GetEnabledStandards", "POST", "/standards/get"},
    {"securityhub", "BatchEnableStandards", "POST", "/standards/register"},
    {"securityhub", "BatchDisableStandards", "POST", "/standards/deregister"},
    {"securityhub", "BatchImportFindings", "POST", "/findings/import"},
    {"securityhub", "BatchUpdateFindings", "PATCH", "/findings/batchupdate"},
    {"securityhub", "DescribeStandards", "GET", "/standards", "NextToken MaxResults"},
    {"securityhub", "DescribeStandardsControls", "GET", "/standards/controls/{StandardsSubscriptionArn+}", "NextToken MaxResults"},
    {"securityhub", "ListSecurityControlDefinitions", "GET", "/securityControls/definitions", "StandardsArn NextToken MaxResults"},
    {"securityhub", "BatchGetSecurityControls", "POST", "/securityControls/batchGet"},
    {"securityhub", "ListStandardsControlAssociations", "GET", "/associations", "SecurityControlId NextToken MaxResults"},
    {"securityhub", "UpdateSecurityHubConfiguration", "PATCH", "/accounts"},
    {"securityhub", "TagResource", "POST", "/tags/{ResourceArn}"},

    {"sso", "GetRoleCredentials", "GET", "/federation/credentials", "roleName=role_name accountId=account_id", "accessToken=x-amz-sso_bearer_token"},
    {"sso-oidc", "CreateToken", "POST", "/token"},
};

}  // namespace

Result<const RestOperation*> find_rest_operation(const Service& service, std::string_view operation) {
  const auto found = std::find_if(std::begin(kOperations), std::end(kOperations),
                                  [&](const RestOperation& row) { return row.service == service.name && row.name == operation; });
  if (found != std::end(kOperations)) return &*found;
  return fail(ErrorCode::unsupported, fmt::format("{}.{} has no row in the table of operations", service.name, operation), "rest_operations.cc");
}

}  // namespace redoubt::provider::aws
