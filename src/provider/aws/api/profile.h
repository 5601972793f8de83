// SPDX-License-Identifier: Apache-2.0
//
// The files that AWS's tools share: ~/.aws/config and ~/.aws/credentials.
// https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "provider/aws/api/environment.h"

namespace redoubt::provider::aws {

// Keys are lower case. A nested value ("s3 =" followed by indented lines) is found under "s3.name".
struct Section {
  std::map<std::string, std::string> values;
  std::map<std::string, std::string> where;  // key -> "FILE:LINE"

  const std::string* find(const std::string& key) const;
  std::string text(const std::string& key) const;  // empty where there is none
};

// Sections by name as they stand between the brackets, blanks normalised: "default", "profile dev", "sso-session corp".
// At most 1 MiB and 10,000 sections. invalid_argument names FILE:LINE and never shows the line, which may hold a secret.
Result<std::map<std::string, Section>> parse_ini(std::string_view text, const std::string& file);

class Profiles {
 public:
  // AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE, else the files in ~/.aws; a file that is not there is empty.
  static Result<Profiles> load(const Environment& environment);

  // The profile's values; those of the credentials file win. Null when neither file has it.
  const Section* profile(const std::string& name) const;
  const Section* sso_session(const std::string& name) const;
  const Section* services(const std::string& name) const;
  // Whether a setting of a profile stands in the credentials file rather than in the config file.
  bool is_of_credentials_file(const Section& profile, const std::string& key) const;
  // "~/.aws/config and ~/.aws/credentials", as errors name them.
  const std::string& files() const { return files_; }

 private:
  std::map<std::string, Section> profiles_, sso_sessions_, services_;
  std::string files_, credentials_file_;
};

}  // namespace redoubt::provider::aws
