// SPDX-License-Identifier: Apache-2.0
//
// The XML of AWS's answers as JSON. An element without children is a string, `member` and `item` lists are arrays, `entry`
// lists of key and value are objects, everything else is an object; attributes and namespaces are left out. XML says nothing
// about types, so what is to be a number, a boolean, a time or always a list is named by the caller.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/json.h"

namespace redoubt::provider::aws {

struct XmlOptions {
  std::span<const std::string_view> lists = {};     // elements that may stand several times and make an array, even when alone
  std::span<const std::string_view> wrappers = {};  // elements whose children of whatever name are an array ("Buckets")
  std::span<const std::string_view> numbers = {}, booleans = {}, times = {};  // a time becomes seconds since 1970
  std::size_t bytes_max = 32 << 20;
  std::size_t depth_max = 48;
  std::size_t elements_max = 500'000;
};

struct XmlDocument {
  std::string root;  // its name
  Json value;
};

// invalid_argument for what is no well-formed XML or declares entities, limit_exceeded for what is too long or too deep.
Result<XmlDocument> parse_xml(std::string_view text, std::string_view where, const XmlOptions& options = {});

// The text with what XML needs escaped.
std::string xml_escape(std::string_view text);

}  // namespace redoubt::provider::aws
