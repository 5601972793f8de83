// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/api/rest_xml.h"

#include <algorithm>
#include <vector>

#include "provider/aws/api/member_names.h"

namespace redoubt::provider::aws {
namespace {

struct ListForm {
  Name service, member;
  Name item;
  bool flattened = false;  // the items stand in the parent, without an element of the list's own
};

constexpr ListForm kListForms[] = {
    {"route53", "Changes", "Change"}, {"route53", "ResourceRecords", "ResourceRecord"}, {"route53", "ChildHealthChecks", "ChildHealthCheck"},
    {"route53", "Regions", "Region"}, {"route53", "ResetElements", "ResettableElementName"}, {"route53", "AddTags", "Tag"},
    {"route53", "RemoveTagKeys", "Key"}, {"s3", "Rules", "Rule", true}, {"s3", "Transitions", "Transition", true},
    {"s3", "NoncurrentVersionTransitions", "NoncurrentVersionTransition", true}, {"s3", "TagSet", "Tag"}, {"s3", "Tags", "Tag", true},
    {"s3", "TargetGrants", "Grant"}, {"s3", "TopicConfigurations", "TopicConfiguration", true}, {"s3", "QueueConfigurations", "QueueConfiguration", true},
    {"s3", "LambdaFunctionConfigurations", "CloudFunctionConfiguration", true}, {"s3", "Events", "Event", true}, {"s3", "FilterRules", "FilterRule", true},
    {"s3", "Objects", "Object", true}, {"s3", "Tierings", "Tiering", true}, {"s3", "EncryptionType", "EncryptionType", true},
};

struct S3Renamed {
  Name member, wire;
};
constexpr S3Renamed kS3Renamed[] = {{"MFADelete", "MfaDelete"}, {"TopicArn", "Topic"}, {"QueueArn", "Queue"}, {"LambdaFunctionArn", "CloudFunction"}};

// Route 53's schema is a sequence: elements come in the order of its reference. By the element that holds them.
struct Order {
  Name parent;
  Name children;  // with a blank on both sides of each
};
constexpr Order kOrders[] = {
    {"CreateHostedZoneRequest", " Name VPC CallerReference HostedZoneConfig DelegationSetId "},
    {"VPC", " VPCRegion VPCId "},
    {"HostedZoneConfig", " Comment PrivateZone "},
    {"ChangeBatch", " Comment Changes "},
    {"Change", " Action ResourceRecordSet "},
    {"ResourceRecordSet",
     " Name Type SetIdentifier Weight Region GeoLocation Failover MultiValueAnswer TTL ResourceRecords AliasTarget HealthCheckId "
     "TrafficPolicyInstanceId CidrRoutingConfig GeoProximityLocation "},
    {"AliasTarget", " HostedZoneId DNSName EvaluateTargetHealth "},
    {"CreateHealthCheckRequest", " CallerReference HealthCheckConfig "},
    {"HealthCheckConfig",
     " IPAddress Port Type ResourcePath FullyQualifiedDomainName SearchString RequestInterval FailureThreshold MeasureLatency Inverted Disabled "
     "HealthThreshold ChildHealthChecks EnableSNI Regions AlarmIdentifier InsufficientDataHealthStatus RoutingControlArn "},
    {"UpdateHealthCheckRequest",
     " HealthCheckVersion IPAddress Port ResourcePath FullyQualifiedDomainName SearchString FailureThreshold Inverted Disabled HealthThreshold "
     "ChildHealthChecks EnableSNI Regions AlarmIdentifier InsufficientDataHealthStatus ResetElements "},
    {"AlarmIdentifier", " Region Name "},
    {"ChangeTagsForResourceRequest", " AddTags RemoveTagKeys "},
};

constexpr Name kRoute53Wrappers[] = {"HostedZones", "NameServers", "VPCs", "ResourceRecordSets", "ResourceRecords", "ChildHealthChecks", "Regions",
                                     "Dimensions", "HealthCheckObservations", "HealthChecks", "Tags"};
constexpr Name kS3Wrappers[] = {"Buckets", "TargetGrants", "TagSet", "AccessControlList"};
constexpr Name kS3Lists[] = {"Rule", "EncryptionType", "Tag", "Transition", "NoncurrentVersionTransition", "TopicConfiguration", "Event", "FilterRule",
                             "QueueConfiguration", "CloudFunctionConfiguration", "IntelligentTieringConfiguration", "Tiering", "Contents", "ChecksumAlgorithm",
                             "CommonPrefixes", "Version", "Upload", "Part", "Deleted"};
constexpr Name kXmlNumbers[] = {"Bias", "HealthThreshold", "ResourceRecordSetCount", "Threshold", "HealthCheckVersion", "Period", "RequestInterval",
                             "FailureThreshold", "Port", "TTL", "Weight", "EvaluationPeriods", "NewerNoncurrentVersions", "MaxKeys", "ObjectSizeLessThan",
                             "MaxUploads", "PartNumberMarker", "KeyCount", "MaxParts", "DaysAfterInitiation", "Priority", "PartNumber", "NoncurrentDays",
                             "ObjectSizeGreaterThan", "NextPartNumberMarker", "Years", "Minutes", "Days", "Size"};
constexpr Name kXmlBooleans[] = {"EvaluateTargetHealth", "MeasureLatency", "EnableSNI", "Disabled", "Inverted", "MultiValueAnswer", "PrivateZone", "IsTruncated",
                              "BlockPublicPolicy", "RestrictPublicBuckets", "BlockPublicAcls", "IsPublic", "IsLatest", "IgnorePublicAcls", "BucketKeyEnabled",
                              "ExpiredObjectDeleteMarker"};
constexpr Name kXmlTimes[] = {"SubmittedAt", "CheckedTime", "Initiated", "CreationDate", "Date", "LastModified"};

// Flattened elements of S3's answers whose list has another name.
constexpr S3Renamed kS3Plural[] = {
    {"Rules", "Rule"}, {"Tags", "Tag"}, {"Transitions", "Transition"}, {"NoncurrentVersionTransitions", "NoncurrentVersionTransition"},
    {"TopicConfigurations", "TopicConfiguration"}, {"Events", "Event"}, {"FilterRules", "FilterRule"}, {"QueueConfigurations", "QueueConfiguration"},
    {"LambdaFunctionConfigurations", "CloudFunctionConfiguration"}, {"IntelligentTieringConfigurationList", "IntelligentTieringConfiguration"},
    {"Tierings", "Tiering"}, {"Versions", "Version"}, {"Uploads", "Upload"}, {"Parts", "Part"}, {"Grants", "AccessControlList"},
};

const ListForm* list_form(Name service, Name member) {
  const auto found = std::find_if(std::begin(kListForms), std::end(kListForms), [&](const ListForm& form) { return form.service == service && form.member == member; });
  return found == std::end(kListForms) ? nullptr : &*found;
}

std::size_t rank_of(Name parent, Name child) {
  for (const auto& order : kOrders) {
    if (order.parent == parent) return order.children.find(" " + std::string(child) + " ");
  }
  return 0;
}

class Writer {
 public:
  explicit Writer(Name service) : service_(service) {}

  void put(Name element, const Json& value) {
    out_.append("<").append(element).append(">");
    content(element, value);
    out_.append("</").append(element).append(">");
  }

  void content(Name element, const Json& value) {
    if (!value.is_object()) {
      out_ += xml_escape(value.is_string() ? value.get_ref<const std::string&>() : value.dump());
      return;
    }
    std::vector<std::string> names;
    for (const auto& [name, member] : value.items()) names.push_back(name);
    std::stable_sort(names.begin(), names.end(), [&](const auto& a, const auto& b) { return rank_of(element, a) < rank_of(element, b); });
    for (const auto& name : names) put_member(name, value[name]);
  }

  std::string take() { return std::move(out_); }

 private:
  void put_member(Name name, const Json& value) {
    if (value.is_null()) return;
    if (!value.is_array()) return put(wire_name(name), value);
    const auto* form = list_form(service_, name);
    const Name item = form != nullptr ? form->item : name;
    const bool wrapped = form != nullptr && !form->flattened;
    if (wrapped) out_.append("<").append(name).append(">");
    for (const auto& member : value) put(item, member);
    if (wrapped) out_.append("</").append(name).append(">");
  }

  Name wire_name(Name member) const {
    for (const auto& renamed : kS3Renamed) {
      if (service_ == "s3" && renamed.member == member) return renamed.wire;
    }
    return member;
  }

  const Name service_;
  std::string out_;
};

}  // namespace

std::string write_rest_xml(Name service, Name root, const Json& value) {
  Writer writer(service);
  writer.content(root, value);
  const Name space = service == "s3" ? "http://s3.amazonaws.com/doc/2006-03-01/" : "https://route53.amazonaws.com/doc/2013-04-01/";
  return "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<" + std::string(root) + " xmlns=\"" + std::string(space) + "\">" + writer.take() + "</" + std::string(root) + ">";
}

XmlOptions rest_xml_options(Name service) {
  XmlOptions options;
  if (service == "s3") {
    options.wrappers = kS3Wrappers;
    options.lists = kS3Lists;
  } else {
    options.wrappers = kRoute53Wrappers;
  }
  options.numbers = kXmlNumbers;
  options.booleans = kXmlBooleans;
  options.times = kXmlTimes;
  return options;
}

Json rest_xml_answer(Name service, Json value) {
  if (service != "s3" || !value.is_structured()) return value;
  if (value.is_array()) {
    for (auto& item : value) item = rest_xml_answer(service, std::move(item));
    return value;
  }
  Json out = Json::object();
  for (auto& [name, member] : value.items()) {
    std::string renamed = name;
    for (const auto& pair : kS3Plural) {
      if (pair.wire == name && member.is_array()) renamed = pair.member;
    }
    for (const auto& pair : kS3Renamed) {
      if (pair.wire == name) renamed = pair.member;
    }
    // Each marker is an object of a listing of versions, but a text where a single deletion tells of it.
    if (name == "DeleteMarker" && member.is_structured()) {
      renamed = "DeleteMarkers";
      if (member.is_object()) member = Json::array({std::move(member)});
    }
    out[renamed] = rest_xml_answer(service, std::move(member));
  }
  return out;
}

}  // namespace redoubt::provider::aws
