// SPDX-License-Identifier: Apache-2.0
//
// What a service of AWS, or whoever stands in its place, answers, in each of the protocols. What we escape reads back as it was.
#include "base/check.h"
#include "fuzz_input.h"
#include "provider/aws/api/protocol.h"
#include "provider/aws/api/xml.h"

using namespace redoubt;
using namespace redoubt::provider::aws;

namespace {

struct Asked {
  const char *service, *operation;
};
constexpr Asked kAsked[] = {{"s3", "GetBucketLifecycleConfiguration"}, {"s3", "ListObjectsV2"}, {"ec2", "DescribeVpcs"}, {"iam", "GetRole"}, {"sts", "AssumeRole"},
                            {"kms", "Encrypt"}, {"scheduler", "GetSchedule"}, {"route53", "ListResourceRecordSets"}};

void read_it(const Asked& asked, int status, std::string_view body) {
  const auto service = find_service(asked.service);
  CHECK(service);
  http::ClientResponse response;
  response.status = status;
  const auto answer = read_answer(**service, asked.operation, response, body);
  if (!answer) CHECK(!answer.error().message.empty() && !answer.error().where.empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto body = fuzz_text(data + 1, size - 1);
  read_it(kAsked[data[0] % std::size(kAsked)], data[0] & 0x80 ? 403 : 200, body);
  const auto escaped = parse_xml("<a>" + xml_escape(body) + "</a>", "fuzz");
  if (escaped && escaped->value.is_string()) CHECK(escaped->value.get_ref<const std::string&>() == body);
  return 0;
}
