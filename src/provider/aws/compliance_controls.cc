// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/compliance_controls.h"

namespace redoubt::provider::aws {

const char* to_string(Framework framework) {
  switch (framework) {
    case Framework::soc2: return "soc2";
    case Framework::hipaa: return "hipaa";
    case Framework::gdpr: return "gdpr";
    case Framework::pci_dss: return "pci-dss";
  }
  return "soc2";
}

std::optional<Framework> framework_of(std::string_view name) {
  for (const auto framework : kFrameworks) {
    if (to_string(framework) == name) return framework;
  }
  return std::nullopt;
}

std::string_view Control::clauses(Framework framework) const {
  switch (framework) {
    case Framework::soc2: return soc2;
    case Framework::hipaa: return hipaa;
    case Framework::gdpr: return gdpr;
    case Framework::pci_dss: return pci_dss;
  }
  return soc2;
}

std::span<const Control> controls() {
  static const std::vector<Control> kControls = {
      {"encryption-at-rest", "What rests is encrypted under our own keys", "CC6.1", "164.312(a)(2)(iv)", "Art. 32(1)(a)", "3.5.1",
       {"S3_DEFAULT_ENCRYPTION_KMS", "CLOUDWATCH_LOG_GROUP_ENCRYPTED", "SAGEMAKER_ENDPOINT_CONFIGURATION_KMS_KEY_CONFIGURED"}, {"S3.17", "EC2.7", "ECR.5"}, {"AWS::S3::Bucket", "AWS::Logs::LogGroup", "AWS::SecretsManager::Secret"}},
      {"encryption-in-transit", "What travels is encrypted", "CC6.7", "164.312(e)(1)", "Art. 32(1)(a)", "4.2.1", {"S3_BUCKET_SSL_REQUESTS_ONLY"}, {"S3.5"}, {"AWS::S3::BucketPolicy"}},
      {"key-rotation", "Keys are rotated and their policies stand", "CC6.1", "164.312(a)(2)(iv)", "Art. 32(1)(a)", "3.7.4", {"CMK_BACKING_KEY_ROTATION_ENABLED"}, {"KMS.4"}, {"AWS::KMS::Key"}},
      {"secret-rotation", "Tokens are rotated every 90 days", "CC6.1", "164.308(a)(5)(ii)(D)", "Art. 32(1)(b)", "8.6.3", {"SECRETSMANAGER_ROTATION_ENABLED_CHECK", "SECRETSMANAGER_SECRET_PERIODIC_ROTATION"}, {"SecretsManager.1", "SecretsManager.4"}, {"secrets"}},
      {"audit-trail", "Every step and every call is recorded", "CC7.2", "164.312(b)", "Art. 5(2)", "10.2.1", {"MULTI_REGION_CLOUD_TRAIL_ENABLED", "CLOUD_TRAIL_ENABLED"}, {"CloudTrail.1"}, {"AWS::CloudTrail::Trail", "ledger"}},
      {"record-integrity", "Records can't be changed unseen", "CC7.2", "164.312(c)(2)", "Art. 5(1)(f)", "10.3.4", {"CLOUD_TRAIL_LOG_FILE_VALIDATION_ENABLED"}, {"CloudTrail.4"}, {"AWS::CloudTrail::Trail", "ledger"}},
      {"log-retention", "Logs are kept for their time", "CC7.2", "164.316(b)(2)(i)", "Art. 5(1)(e)", "10.5.1", {"CW_LOGGROUP_RETENTION_PERIOD_CHECK"}, {"CloudWatch.16"}, {"AWS::Logs::LogGroup"}},
      {"least-privilege", "Roles may do what their step needs, and no more", "CC6.3", "164.312(a)(1)", "Art. 25(2)", "7.2.2", {"IAM_POLICY_NO_STATEMENTS_WITH_ADMIN_ACCESS", "IAM_ROOT_ACCESS_KEY_CHECK"}, {"IAM.1", "IAM.4", "IAM.21"}, {"AWS::IAM::Role", "AWS::IAM::ManagedPolicy"}},
      {"access-reviewed", "Access from outside and access that nobody uses are found", "CC6.2", "164.308(a)(3)(ii)(C)", "Art. 32(1)(b)", "7.2.4", {"IAM_USER_UNUSED_CREDENTIALS_CHECK", "IAM_EXTERNAL_ACCESS_ANALYZER_ENABLED"}, {"IAM.22", "IAM.28"}, {}},
      {"multi-factor", "People sign in with a second factor", "CC6.1", "164.312(d)", "Art. 32(1)(b)", "8.4.2", {"MFA_ENABLED_FOR_IAM_CONSOLE_ACCESS", "ROOT_ACCOUNT_MFA_ENABLED"}, {"IAM.5", "IAM.9"}, {}},
      {"network-isolation", "Jobs and endpoints have no way to or from the internet", "CC6.6", "164.312(e)(1)", "Art. 32(1)(b)", "1.3.1, 1.3.2", {"VPC_DEFAULT_SECURITY_GROUP_CLOSED", "INTERNET_GATEWAY_AUTHORIZED_VPC_ONLY"}, {"EC2.2", "SageMaker.5"}, {"AWS::EC2::VPC", "AWS::EC2::SecurityGroup"}},
      {"network-watched", "What the network refuses is seen", "CC7.2", "164.308(a)(1)(ii)(D)", "Art. 32(1)(d)", "10.2.1", {"VPC_FLOW_LOGS_ENABLED"}, {"EC2.6"}, {"AWS::EC2::FlowLog"}},
      {"no-public-access", "Nothing is public", "CC6.6", "164.312(a)(1)", "Art. 25(2)", "1.4.4", {"S3_BUCKET_LEVEL_PUBLIC_ACCESS_PROHIBITED", "S3_ACCOUNT_LEVEL_PUBLIC_ACCESS_BLOCKS"}, {"S3.1", "S3.2", "S3.8"}, {"AWS::S3::Bucket", "AWS::S3::BucketPolicy"}},
      {"vulnerabilities", "Images are scanned, again and again", "CC7.1", "164.308(a)(1)(ii)(A)", "Art. 32(1)(d)", "11.3.1", {"ECR_PRIVATE_IMAGE_SCANNING_ENABLED"}, {"ECR.1", "Inspector.2"}, {"AWS::ECR::Repository", "AWS::Events::Rule"}},
      {"threats-detected", "Threats are detected and told", "CC7.3", "164.308(a)(6)(ii)", "Art. 33", "11.5.1", {"GUARDDUTY_ENABLED_CENTRALIZED"}, {"GuardDuty.1"}, {"AWS::GuardDuty::Detector", "AWS::CloudWatch::Alarm", "AWS::SNS::Topic"}},
      {"changes-controlled", "What was approved is what runs", "CC8.1", "164.312(c)(1)", "Art. 5(1)(f)", "6.5.1", {"ECR_PRIVATE_TAG_IMMUTABILITY_ENABLED"}, {"ECR.2"}, {"AWS::ECR::Repository", "ledger"}},
      {"recoverable", "What is lost can be restored", "A1.2", "164.308(a)(7)(ii)(A)", "Art. 32(1)(c)", "10.3.3", {"S3_BUCKET_VERSIONING_ENABLED"}, {"S3.14"}, {"AWS::S3::Bucket"}},
  };
  return kControls;
}

}  // namespace redoubt::provider::aws
